#pragma once
/// @file host_line.hpp  A TCP connection between the leaders of two hosts: messages with their lengths before
/// them.

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>

#include "transport/tcp/opened.hpp"

namespace bluefog::membership {

/// Lives on the thread of the event loop.
class HostLine : public std::enable_shared_from_this<HostLine> {
 public:
  /// @param opened   encrypted: both ends have proved the key
  /// @param longest  message, in bytes; who announces more is cut off
  HostLine(asio::io_context& io, transport::tcp::Opened opened, std::size_t longest)
      : io_(io), socket_(std::move(opened.socket)), tls_(std::move(opened.tls)), longest_(longest) {}

  /// Takes messages until the connection ends, from whichever side. @param on_message  @returns whether to go
  /// on
  using Take = std::function<bool(std::span<const std::byte>)>;
  [[nodiscard]] asio::awaitable<void> read_all(Take on_message);
  void send(std::span<const std::byte> message);
  /// Says no more; what the other end says is still read.
  void finish();
  void close() { socket_->close(); }

 private:
  [[nodiscard]] bool take_records(const Take& on_message);
  [[nodiscard]] bool take_messages(const Take& on_message);
  void write_soon();
  [[nodiscard]] asio::awaitable<void> write_all();

  asio::io_context& io_;
  std::shared_ptr<transport::tcp::Socket> socket_;
  std::unique_ptr<transport::tcp::TlsSession> tls_;
  std::size_t longest_;
  std::vector<std::byte> unread_;  ///< decrypted, and no whole message yet
  bool is_writing_ = false;
  bool is_finishing_ = false;
};

}  // namespace bluefog::membership
