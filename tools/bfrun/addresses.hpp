#pragma once
/// @file addresses.hpp  Under which addresses hosts reach each other.

#include <string>
#include <vector>

#include "hosts.hpp"
#include "messages/events.hpp"

namespace bfrun {

/// What this host has to say about itself. @throws std::system_error  no TCP port is free
[[nodiscard]] Greeting greeting_of_this_host();

/// One address for each host, by which the others reach it; 127.0.0.1 for a job of this machine alone. An
/// interface's address if one is given; else what the host is called, if that is an address; else that by
/// which ssh has come there (or from where); else the first it has.
/// @param greetings  by host
/// @throws InvalidArgument  a host lacks the interface, or an address on it; names both
[[nodiscard]] std::vector<std::string> choose_addresses(const std::vector<HostRanks>& hosts,
                                                        const std::vector<Greeting>& greetings,
                                                        const std::string& network_interface);

/// Where ranks of this host listen for those of others, for BLUEFOG_LISTEN: all of the interface's addresses,
/// or of all interfaces that are no loopback device, if there are any.
/// @param preferred  the one that comes first; not taken if it is none of these
[[nodiscard]] std::string addresses_to_listen_at(const std::string& network_interface,
                                                 const std::string& preferred);

}  // namespace bfrun
