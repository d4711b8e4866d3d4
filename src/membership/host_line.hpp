#pragma once
/// @file host_line.hpp  A TCP connection between the leaders of two hosts: messages with their lengths before
/// them.

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>

#include "transport/tcp/socket.hpp"

namespace bluefog::membership {

/// Lives on the thread of the event loop.
class HostLine : public std::enable_shared_from_this<HostLine> {
 public:
  /// @param socket   both ends have proved the key
  /// @param longest  message, in bytes; who announces more is cut off
  HostLine(asio::io_context& io, std::shared_ptr<transport::tcp::Socket> socket, std::size_t longest)
      : io_(io), socket_(std::move(socket)), longest_(longest) {}

  /// Takes messages until the connection ends, from whichever side. @param on_message  @returns whether to go
  /// on
  [[nodiscard]] asio::awaitable<void> read_all(std::function<bool(std::span<const std::byte>)> on_message);
  void send(std::span<const std::byte> message);
  /// Says no more; what the other end says is still read.
  void finish();
  void close() { socket_->close(); }

 private:
  [[nodiscard]] asio::awaitable<void> write_all();

  asio::io_context& io_;
  std::shared_ptr<transport::tcp::Socket> socket_;
  std::size_t longest_;
  std::deque<std::vector<std::byte>> unsent_;
  bool is_writing_ = false;
  bool is_finishing_ = false;
};

}  // namespace bluefog::membership
