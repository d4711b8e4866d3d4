#pragma once
/// @file alarm.hpp  The end of patience with whoever is at the other end of a socket.

#include <chrono>
#include <memory>

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>

#include "transport/tcp/socket.hpp"

namespace bluefog::transport::tcp {

/// So long a stranger has to prove the job key; and so long a dialler waits for the answers.
inline constexpr auto handshake_time = std::chrono::seconds(5);

/// Closes a socket after some time, unless it ends before.
class Alarm {
 public:
  Alarm(asio::io_context& io, const std::shared_ptr<Socket>& socket, std::chrono::nanoseconds time)
      : timer_(io), socket_(std::make_shared<std::weak_ptr<Socket>>(socket)) {
    timer_.expires_after(time);
    // A timer that has expired already cannot be cancelled any more: then the socket is gone from here.
    timer_.async_wait([weak = socket_](const asio::error_code& error) {
      const auto late = weak->lock();
      if (!error && late) late->close();
    });
  }
  ~Alarm() { socket_->reset(); }
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;

 private:
  asio::steady_timer timer_;  // its end cancels it
  std::shared_ptr<std::weak_ptr<Socket>> socket_;
};

}  // namespace bluefog::transport::tcp
