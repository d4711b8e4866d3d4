#pragma once
/// @file rendezvous_address.hpp  "unix:@name": an abstract UNIX socket, which leaves nothing in the file
/// system.

#include <cstddef>
#include <string>
#include <string_view>

#include <sys/socket.h>
#include <sys/un.h>

#include <bluefog/error.hpp>

namespace bluefog::membership {

struct SocketAddress {
  sockaddr_un name{};
  socklen_t length = 0;

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&name); }
};

/// @throws InvalidArgument  if the text is no such address
inline SocketAddress parse_rendezvous_address(const std::string& text) {
  constexpr std::string_view prefix = "unix:@";
  const std::string_view view = text;
  SocketAddress address;
  // The name's first byte is zero: that makes the socket abstract, unix(7).
  if (view.substr(0, prefix.size()) != prefix || view.size() == prefix.size() ||
      view.size() - prefix.size() >= sizeof(address.name.sun_path)) {
    throw InvalidArgument("\"" + text +
                          "\" is no rendezvous address: expected \"unix:@name\", as bfrun sets it in "
                          "BLUEFOG_RENDEZVOUS");
  }
  const std::string_view name = view.substr(prefix.size());
  address.name.sun_family = AF_UNIX;
  name.copy(address.name.sun_path + 1, name.size());
  address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return address;
}

}  // namespace bluefog::membership
