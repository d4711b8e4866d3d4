#pragma once
/// @file opened.hpp  A connection that is open for use.

#include <cstddef>
#include <memory>
#include <string>

#include <asio/awaitable.hpp>

#include "transport/tcp/handshake.hpp"
#include "transport/tcp/socket.hpp"
#include "transport/tcp/tls.hpp"

namespace bluefog::transport::tcp {

struct Opened {
  std::shared_ptr<Socket> socket;
  std::unique_ptr<TlsSession> tls;  ///< none: it is not encrypted
};

/// What a dialer says to use a connection that is not encrypted.
inline constexpr std::byte use_byte{0x55};
/// Whether a connection that begins with this is encrypted; and what both ends call its key.
[[nodiscard]] inline bool is_encrypted(const Hello& hello) {
  return hello.role == Role::Control || hello.encrypts;
}
[[nodiscard]] std::string tls_identity(const Hello& hello);

/// What follows Verdict::Accepted: TLS, if the connection is to be encrypted, else a byte. The dialer has the
/// last word in both.
/// @param secret  of this connection
/// @returns what failed; nothing if it is open
[[nodiscard]] asio::awaitable<std::string> open_as(TlsSession::End end, Opened& opened, Hello hello,
                                                   base::JobKey secret);

}  // namespace bluefog::transport::tcp
