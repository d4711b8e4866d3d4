#pragma once
/// @file socket.hpp  A TCP socket of the event loop's.

#include <chrono>
#include <cstddef>
#include <string>

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>

#include "base/fork_guard.hpp"
#include "base/unique_fd.hpp"

namespace bluefog::transport::tcp {

/// Non-blocking; closed in forked children. Only the event loop's thread may wait on it or close it.
class Socket {
 public:
  Socket(asio::io_context& io, base::UniqueFd fd) : fd_(std::move(fd)), stream_(io, fd_.get()) {}
  ~Socket() { close(); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] bool is_open() const noexcept { return fd_.valid(); }
  [[nodiscard]] asio::posix::stream_descriptor& stream() noexcept { return stream_; }
  /// What waits on it ends with an error.
  void close() noexcept {
    if (stream_.is_open()) stream_.release();
    fd_.reset();
  }

 private:
  base::UnsharedFd fd_;                    // closes it
  asio::posix::stream_descriptor stream_;  // only borrows it
};

/// How connections are to behave.
struct SocketOptions {
  /// Name of a congestion control; "auto": the kernel's, but not bbr on short paths.
  std::string congestion = "auto";
  /// Of each of a socket's buffers, in bytes; 0: the kernel sizes them.
  std::size_t buffer_bytes = 0;
  std::chrono::milliseconds heartbeat = std::chrono::seconds(1);
};

/// Before the socket connects, or right after it was accepted. @param is_loopback  the peer is on this host
void configure(int fd, const SocketOptions& options, bool is_loopback);
/// Once it is open, and its round-trip time is known: where that is short, "auto" replaces bbr, which leaves
/// some of a local link unused.
void settle_congestion_control(int fd, const SocketOptions& options);
/// @throws InvalidArgument, naming BLUEFOG_TCP_CONGESTION, for a congestion control that this kernel refuses
void check(const SocketOptions& options);

}  // namespace bluefog::transport::tcp
