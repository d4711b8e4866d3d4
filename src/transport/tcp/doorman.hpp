#pragma once
/// @file doorman.hpp  Lets ranks of the job in, and nobody else.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>

#include "transport/tcp/alarm.hpp"
#include "transport/tcp/endpoint.hpp"
#include "transport/tcp/handshake.hpp"
#include "transport/tcp/opened.hpp"
#include "transport/tcp/socket.hpp"

namespace bluefog::transport::tcp {

/// Accepts connections. Until a stranger has proved the job key it costs one socket and a hundred bytes, for
/// at most handshake_time, and there are never more than a bounded number: whoever is silent for longest goes
/// first. Who has proved it is trusted to end what it does not use. Lives on the thread of the event loop,
/// but for its numbers.
class Doorman {
 public:
  struct Callbacks {
    /// What becomes of a rank that has proved the key. One that is accepted is admitted or forgone later.
    std::function<Verdict(const Hello& hello)> judge;
    /// Gets the connection of one that was accepted, when it uses it.
    std::function<void(const Hello& hello, Opened opened)> admit;
    /// One that was accepted has ended the connection instead.
    std::function<void(const Hello& hello)> forgo;
  };
  Doorman(asio::io_context& io, std::vector<Listener> listeners, const Identity& self,
          const SocketOptions& options, Callbacks callbacks);

  void start();

  /// Strangers that were sent away so far.
  [[nodiscard]] std::uint64_t refused() const noexcept { return refused_.load(std::memory_order_relaxed); }

 private:
  struct Door {
    Door(asio::io_context& io, base::UniqueFd fd) : listener(io, std::move(fd)), retry(io) {}
    Socket listener;
    asio::steady_timer retry;
  };
  void wait_for_connection(Door& door);
  void accept_some(Door& door);
  void pause_accepting(Door& door);
  void meet(base::UniqueFd fd, bool is_loopback);
  [[nodiscard]] asio::awaitable<void> question(std::shared_ptr<Socket> stranger);
  /// A rank that has proved the key.
  struct Proven {
    Hello hello;
    HelloBytes hello_text{};
    ChallengeBytes challenge{};
  };
  [[nodiscard]] asio::awaitable<std::optional<Proven>> hear(std::shared_ptr<Socket> stranger);
  /// @returns whether it has become a member
  [[nodiscard]] asio::awaitable<bool> receive(Proven rank, std::shared_ptr<Socket> socket);

  asio::io_context& io_;
  const Identity& self_;
  SocketOptions options_;
  Callbacks callbacks_;
  std::size_t most_strangers_;
  std::vector<std::unique_ptr<Door>> doors_;
  std::list<std::shared_ptr<Socket>> strangers_;  ///< who have proved nothing yet, oldest first
  std::atomic<std::uint64_t> refused_{0};
};

}  // namespace bluefog::transport::tcp
