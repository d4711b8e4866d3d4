#include "membership/host_line.hpp"

#include <array>
#include <utility>

#include <asio/buffer.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/read.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>
#include <sys/socket.h>

#include "base/little_endian.hpp"

namespace bluefog::membership {

asio::awaitable<void> HostLine::read_all(std::function<bool(std::span<const std::byte>)> on_message) {
  const auto self = shared_from_this();
  asio::error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  std::vector<std::byte> message;
  while (true) {
    std::array<std::byte, sizeof(std::uint32_t)> header{};
    co_await asio::async_read(socket_->stream(), asio::buffer(header), token);
    const auto length = base::ByteReader(header).take<std::uint32_t>();
    if (error || length > longest_ || !socket_->is_open()) break;
    message.resize(length);
    co_await asio::async_read(socket_->stream(), asio::buffer(message), token);
    if (error || !socket_->is_open() || !on_message(message) || !socket_->is_open()) break;
  }
  close();
}

void HostLine::send(std::span<const std::byte> message) {
  if (!socket_->is_open() || is_finishing_) return;
  std::vector<std::byte> bytes;
  base::ByteWriter to(bytes);
  to.put(static_cast<std::uint32_t>(message.size()));
  to.put(message);
  unsent_.push_back(std::move(bytes));
  if (!std::exchange(is_writing_, true)) asio::co_spawn(io_, write_all(), asio::detached);
}

void HostLine::finish() {
  is_finishing_ = true;
  if (!is_writing_ && socket_->is_open()) ::shutdown(socket_->fd(), SHUT_WR);
}

asio::awaitable<void> HostLine::write_all() {
  const auto self = shared_from_this();
  asio::error_code error;
  while (!unsent_.empty() && socket_->is_open()) {
    const std::vector<std::byte> bytes = std::move(unsent_.front());
    unsent_.pop_front();
    co_await asio::async_write(socket_->stream(), asio::buffer(bytes),
                               asio::redirect_error(asio::use_awaitable, error));
    if (error) close();
  }
  is_writing_ = false;
  if (is_finishing_) finish();
}

}  // namespace bluefog::membership
