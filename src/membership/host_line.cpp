#include "membership/host_line.hpp"

#include <array>
#include <utility>

#include <asio/buffer.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>
#include <sys/socket.h>

#include "base/little_endian.hpp"

namespace bluefog::membership {

using transport::tcp::TlsSession;

asio::awaitable<void> HostLine::read_all(Take on_message) {
  const auto self = shared_from_this();
  asio::error_code error;
  // The end of the handshake may have brought the first messages.
  while (take_records(on_message) && socket_->is_open()) {
    const std::span<std::byte> space = tls_->space();
    const std::size_t bytes = co_await socket_->stream().async_read_some(
        asio::buffer(space.data(), space.size()), asio::redirect_error(asio::use_awaitable, error));
    if (error || !socket_->is_open()) break;
    tls_->received(bytes);
  }
  close();
}

/// @returns whether more may come
bool HostLine::take_records(const Take& on_message) {
  std::array<std::byte, TlsSession::record_bytes> plain;
  while (socket_->is_open()) {
    const TlsSession::Read read = tls_->decrypt(plain);
    if (read.has_reply) write_soon();
    if (read.status == TlsSession::Read::Status::NeedsMore) return true;
    if (read.status != TlsSession::Read::Status::Data) return false;
    unread_.insert(unread_.end(), plain.begin(), plain.begin() + static_cast<std::ptrdiff_t>(read.bytes));
    if (!take_messages(on_message)) return false;
  }
  return false;
}

bool HostLine::take_messages(const Take& on_message) {
  constexpr std::size_t header = sizeof(std::uint32_t);
  std::span<const std::byte> rest = unread_;
  while (rest.size() >= header) {
    const auto length = base::ByteReader(rest.first(header)).take<std::uint32_t>();
    if (length > longest_) return false;
    if (rest.size() - header < length) break;
    if (!on_message(rest.subspan(header, length))) return false;
    rest = rest.subspan(header + length);
  }
  unread_.erase(unread_.begin(), unread_.end() - static_cast<std::ptrdiff_t>(rest.size()));
  return true;
}

void HostLine::send(std::span<const std::byte> message) {
  if (!socket_->is_open() || is_finishing_) return;
  std::vector<std::byte> bytes;
  base::ByteWriter to(bytes);
  to.put(static_cast<std::uint32_t>(message.size()));
  to.put(message);
  for (base::Bytes left = bytes; !left.empty();) {
    const std::size_t taken = tls_->encrypt(left);
    if (taken == 0) return close();
    left = left.subspan(taken);
  }
  write_soon();
}

void HostLine::finish() {
  if (std::exchange(is_finishing_, true) || !socket_->is_open()) return;
  tls_->encrypt_end();
  write_soon();
}

void HostLine::write_soon() {
  if (!std::exchange(is_writing_, true)) asio::co_spawn(io_, write_all(), asio::detached);
}

asio::awaitable<void> HostLine::write_all() {
  const auto self = shared_from_this();
  asio::error_code error;
  while (socket_->is_open()) {
    const base::Bytes bytes = tls_->to_send();
    if (bytes.empty()) break;
    co_await asio::async_write(socket_->stream(), asio::buffer(bytes.data(), bytes.size()),
                               asio::redirect_error(asio::use_awaitable, error));
    if (error) close();
    tls_->sent(bytes.size());
  }
  is_writing_ = false;
  if (is_finishing_ && socket_->is_open()) ::shutdown(socket_->fd(), SHUT_WR);
}

}  // namespace bluefog::membership
