#include "transport/tcp/endpoint.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <system_error>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

#include <bluefog/error.hpp>

namespace bluefog::transport::tcp {

namespace {

constexpr int backlog = 1024;

std::optional<Endpoint> parse_address(const std::string& text) {
  Endpoint endpoint;
  endpoint.is_set = 1;
  if (::inet_pton(AF_INET, text.c_str(), endpoint.address.data()) == 1) return endpoint;
  endpoint.is_v6 = 1;
  if (::inet_pton(AF_INET6, text.c_str(), endpoint.address.data()) == 1) return endpoint;
  return {};
}

bool parse_port(std::string_view text, std::uint16_t& port) {
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && stop == text.data() + text.size() && port > 0;
}

/// @returns a socket that does not listen yet, or none with errno
base::UniqueFd bind_to(const Endpoint& endpoint) {
  const int family = endpoint.is_v6 != 0 ? AF_INET6 : AF_INET;
  base::UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return fd;
  const int on = 1;
  // Else connections of an earlier job that linger would keep the port.
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (endpoint.is_v6 != 0) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
  const SocketName name = name_of(endpoint);
  if (::bind(fd.get(), name.get(), name.length) != 0) fd = base::UniqueFd();
  return fd;
}

std::uint16_t port_of(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof(storage);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length);
  return ntohs(storage.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(storage).sin6_port
                                             : reinterpret_cast<const sockaddr_in&>(storage).sin_port);
}

/// @returns a Listener without a socket, and errno, if no port is free
Listener listen_at(Endpoint endpoint, PortRange ports) {
  for (std::uint32_t port = ports.first; port <= ports.last; ++port) {
    endpoint.port = static_cast<std::uint16_t>(port);
    base::UniqueFd fd = bind_to(endpoint);
    // Two that share a port by SO_REUSEADDR find out here.
    if (fd.valid() && ::listen(fd.get(), backlog) == 0) {
      endpoint.port = port_of(fd.get());
      return {std::move(fd), endpoint};
    }
    if (errno != EADDRINUSE && errno != EACCES) break;
  }
  return {base::UniqueFd(), endpoint};
}

[[noreturn]] void fail(const Endpoint& endpoint, PortRange ports) {
  const std::string reason = std::generic_category().message(errno);
  const std::string address = endpoint.to_string();
  const std::string where = address.substr(0, address.rfind(':'));
  throw Error("cannot listen at " + where +
              (ports.first == 0
                   ? std::string()
                   : ", ports " + std::to_string(ports.first) + " to " + std::to_string(ports.last)) +
              ": " + reason + "; look at BLUEFOG_LISTEN and BLUEFOG_PORT_RANGE");
}

}  // namespace

bool Endpoint::is_loopback() const {
  if (is_v6 == 0) return address[0] == 127;
  return std::all_of(address.begin(), address.end() - 1, [](std::uint8_t octet) { return octet == 0; }) &&
         address.back() == 1;
}

std::string Endpoint::to_string() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(is_v6 != 0 ? AF_INET6 : AF_INET, address.data(), text.data(), text.size());
  std::string host;
  if (is_v6 != 0) host += '[';
  host += text.data();
  if (is_v6 != 0) host += ']';
  return host.append(":").append(std::to_string(port));
}

SocketName name_of(const Endpoint& endpoint) {
  SocketName name;
  if (endpoint.is_v6 != 0) {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(endpoint.port);
    std::memcpy(&in.sin6_addr, endpoint.address.data(), sizeof(in.sin6_addr));
    std::memcpy(&name.storage, &in, sizeof(in));
    name.length = sizeof(in);
  } else {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(endpoint.port);
    std::memcpy(&in.sin_addr, endpoint.address.data(), sizeof(in.sin_addr));
    std::memcpy(&name.storage, &in, sizeof(in));
    name.length = sizeof(in);
  }
  return name;
}

std::vector<Endpoint> parse_addresses(std::string_view text) {
  std::vector<Endpoint> addresses;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const std::string one(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
    const auto address = parse_address(one);
    if (!address) {
      throw InvalidArgument("BLUEFOG_LISTEN holds \"" + one + "\", which is no IPv4 or IPv6 address");
    }
    if (address->address == decltype(address->address){}) {
      throw InvalidArgument("BLUEFOG_LISTEN holds \"" + one +
                            "\", at which nobody can be reached; name the addresses that peers shall use");
    }
    addresses.push_back(*address);
  }
  return addresses;
}

PortRange parse_port_range(std::string_view text) {
  PortRange range;
  if (text.empty()) return range;
  const std::size_t dash = text.find('-');
  const bool is_range = dash != std::string_view::npos;
  const bool is_valid = parse_port(text.substr(0, dash), range.first) &&
                        parse_port(is_range ? text.substr(dash + 1) : text, range.last) &&
                        range.first <= range.last;
  if (!is_valid) {
    throw InvalidArgument("BLUEFOG_PORT_RANGE is \"" + std::string(text) +
                          "\", but must be two ports, as in 5000-5100, or one");
  }
  return range;
}

std::vector<Listener> listen_on(const std::vector<Endpoint>& addresses, PortRange ports) {
  std::vector<Listener> listeners;
  for (const Endpoint& address : addresses) {
    listeners.push_back(listen_at(address, ports));
    if (!listeners.back().fd.valid()) fail(address, ports);
  }
  if (!listeners.empty()) return listeners;
  const std::vector<Endpoint> loopback = parse_addresses("127.0.0.1,::1");
  for (const Endpoint& address : loopback) {
    listeners.push_back(listen_at(address, ports));
    if (listeners.back().fd.valid()) return listeners;
    listeners.pop_back();
  }
  fail(loopback.front(), ports);
}

}  // namespace bluefog::transport::tcp
