#pragma once
/// @file endpoint.hpp  An IP address with a port, and where a rank listens.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <sys/socket.h>

#include "base/unique_fd.hpp"

namespace bluefog::transport::tcp {

/// IPv4 or IPv6. A plain value that can travel.
struct Endpoint {
  std::array<std::uint8_t, 16> address{};  ///< in network order; IPv4 in the first four
  std::uint16_t port = 0;
  std::uint8_t is_v6 = 0;
  std::uint8_t is_set = 0;

  [[nodiscard]] bool is_loopback() const;
  /// "127.0.0.1:5000", "[::1]:5000".
  [[nodiscard]] std::string to_string() const;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

struct SocketName {
  sockaddr_storage storage{};
  socklen_t length = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};
[[nodiscard]] SocketName name_of(const Endpoint& endpoint);

/// "127.0.0.1,::1"; numbers only, for a name may mean one address here and another there.
/// @throws InvalidArgument, naming BLUEFOG_LISTEN
[[nodiscard]] std::vector<Endpoint> parse_addresses(std::string_view text);

struct PortRange {
  std::uint16_t first = 0;  ///< 0: any port that is free
  std::uint16_t last = 0;
};
/// "5000-5100", "5000", or nothing. @throws InvalidArgument, naming BLUEFOG_PORT_RANGE
[[nodiscard]] PortRange parse_port_range(std::string_view text);

/// A socket that listens.
struct Listener {
  base::UniqueFd fd;
  Endpoint endpoint;
};

/// Listens on each address, at the first free port of the range. Without addresses: on the loopback device.
/// @throws Error if an address is not of this host, or the range has no free port
[[nodiscard]] std::vector<Listener> listen_on(const std::vector<Endpoint>& addresses, PortRange ports);

}  // namespace bluefog::transport::tcp
