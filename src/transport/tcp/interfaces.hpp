#pragma once
/// @file interfaces.hpp  The network interfaces of this host, and their addresses.

#include <cstddef>
#include <string>
#include <vector>

#include "transport/tcp/endpoint.hpp"

namespace bluefog::transport::tcp {

struct InterfaceAddress {
  std::string interface;
  std::string address;
};

struct Interfaces {
  std::vector<InterfaceAddress> addresses;  ///< of those that are up, IPv4 first; no link-local ones
  std::vector<std::string> names;           ///< of all
};

[[nodiscard]] Interfaces interfaces_of_this_host();

/// "127.0.0.1", "::1" and their like.
[[nodiscard]] bool is_loopback_address(const std::string& address);
/// Of both ends of a connection, without ports; empty if it is none.
[[nodiscard]] std::string own_address_of(int socket);
[[nodiscard]] std::string address_of_peer(int socket);
/// Whether this host has the address, so that it can listen there.
[[nodiscard]] bool is_of_this_host(Endpoint endpoint);

/// Where ranks of this host listen for those of others, for BLUEFOG_LISTEN: all of the interface's addresses,
/// or of all interfaces that are no loopback device, if there are any.
/// @param preferred  the one that comes first; not taken if it is none of these
/// @param most       so many at most
[[nodiscard]] std::string addresses_to_listen_at(const std::string& network_interface,
                                                 const std::string& preferred, std::size_t most);

}  // namespace bluefog::transport::tcp
