#include "transport/tcp/opened.hpp"

#include <utility>

#include <asio/buffer.hpp>
#include <asio/read.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <sys/socket.h>

namespace bluefog::transport::tcp {

namespace {

const std::string hung_up = "it hangs up before the connection is open";

/// A socket that is new has room for what ends a handshake.
bool send_all(const Socket& socket, base::Bytes bytes) {
  return ::send(socket.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

asio::awaitable<std::string> shake_hands(Socket& socket, TlsSession& tls) {
  while (true) {
    const TlsSession::Handshake state = tls.shake_hands();
    const base::Bytes out = tls.to_send();
    const bool is_sent = send_all(socket, out);
    tls.sent(out.size());
    if (state == TlsSession::Handshake::Failed) co_return "the TLS handshake with it fails";
    if (!is_sent) co_return hung_up;
    if (state == TlsSession::Handshake::Done) co_return std::string();
    asio::error_code error;
    const auto space = tls.space();
    const std::size_t bytes = co_await socket.stream().async_read_some(
        asio::buffer(space.data(), space.size()), asio::redirect_error(asio::use_awaitable, error));
    if (error || !socket.is_open()) co_return hung_up;
    tls.received(bytes);
  }
}

}  // namespace

std::string tls_identity(const Hello& hello) {
  return "rank " + std::to_string(hello.from) + " to rank " + std::to_string(hello.to) +
         (hello.role == Role::Control ? ", control" : ", data " + std::to_string(hello.index));
}

asio::awaitable<std::string> open_as(TlsSession::End end, Opened& opened, Hello hello, base::JobKey secret) {
  if (is_encrypted(hello)) {
    opened.tls = std::make_unique<TlsSession>(end, secret, tls_identity(hello));
    co_return co_await shake_hands(*opened.socket, *opened.tls);
  }
  if (end == TlsSession::End::Dialer) {
    co_return send_all(*opened.socket, std::span(&use_byte, 1)) ? std::string() : hung_up;
  }
  std::byte use{};
  asio::error_code error;
  co_await asio::async_read(opened.socket->stream(), asio::buffer(&use, 1),
                            asio::redirect_error(asio::use_awaitable, error));
  co_return !error && use == use_byte ? std::string() : hung_up;
}

}  // namespace bluefog::transport::tcp
