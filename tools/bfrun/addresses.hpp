#pragma once
/// @file addresses.hpp  Under which addresses hosts reach each other.

#include <string>
#include <vector>

#include "events.hpp"
#include "hosts.hpp"

namespace bfrun {

/// What this host has to say about itself. @throws std::system_error  no TCP port is free
[[nodiscard]] Greeting greeting_of_this_host();

/// One address for each host, by which the others reach it; 127.0.0.1 for a job of this machine alone. An
/// interface's address if one is given; else that by which ssh has come there (or from where); else what the
/// host is called, if that is an address, or the first it has.
/// @param greetings  by host
/// @throws InvalidArgument  a host lacks the interface, or an address on it; names both
[[nodiscard]] std::vector<std::string> choose_addresses(const std::vector<HostRanks>& hosts,
                                                        const std::vector<Greeting>& greetings,
                                                        const std::string& network_interface);

}  // namespace bfrun
