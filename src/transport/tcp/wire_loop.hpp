#pragma once
/// @file wire_loop.hpp  The event loop of a TcpWire: opens links, reads from them, and watches over the
/// peers.

#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <asio/awaitable.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>

#include "base/function_ref.hpp"
#include "transport/tcp/dialer.hpp"
#include "transport/tcp/doorman.hpp"
#include "transport/tcp/link.hpp"
#include "transport/tcp/tcp_wire.hpp"

namespace bluefog::transport::tcp {

class TcpWire::Impl {
 public:
  Impl(WireOptions options, std::vector<Listener> listeners, base::Executor& executor,
       std::function<void()> ring);
  ~Impl();

  // --- any thread
  [[nodiscard]] Link* link(int peer) { return links_[static_cast<std::size_t>(peer)].get(); }
  void send(int peer, remote::Message message);
  void begin_batch() { is_batching_ = true; }
  void end_batch();
  void leave(std::span<const int> peers);
  void set_note_sink(NoteSink* sink);
  [[nodiscard]] bool has_news() const { return has_news_.load(std::memory_order_acquire); }
  [[nodiscard]] std::vector<News> take_news();
  void give_up(int peer, const std::string& reason);
  void tell_death(int peer, const std::string& reason);
  void finish(base::Duration patience);
  [[nodiscard]] std::uint64_t refused_strangers() const { return doorman_.refused(); }

 private:
  using Clock = std::chrono::steady_clock;

  // --- the event loop's thread: wire_loop.cpp
  void run();
  /// An exception is the end of that link only.
  void spawn(Link& link, asio::awaitable<void> body);
  void guard(Link& link, base::FunctionRef<void()> call);
  void lose(Link& link, const std::exception_ptr& error);
  void wait_until_writable(Link& link, std::shared_ptr<Connection> connection);
  [[nodiscard]] asio::awaitable<void> receive(Link& link, std::shared_ptr<Connection> connection);
  /// So many bytes have come. @returns whether there may be more
  [[nodiscard]] bool take_bytes(Link& link, const std::shared_ptr<Connection>& connection, std::size_t bytes);
  [[nodiscard]] bool take_messages(Link& link, Connection& connection);
  [[nodiscard]] bool take_note(const Link& link, const remote::Message& message);
  void connection_ended(Link& link, Connection& connection, const std::string& why);
  void end(Link& link, const std::string& why);
  void lose(Link& link, const std::string& why);
  void report_loss(const Link& link, const std::string& reason);
  [[nodiscard]] asio::awaitable<void> tick();
  void watch(Link& link);
  void look_whether_finished();
  void report(std::vector<News> news);

  // --- links.cpp: how links come to be
  [[nodiscard]] Verdict judge(const Hello& hello);
  [[nodiscard]] Verdict judge_data(const Link& from, const Hello& hello) const;
  void admit(const Hello& hello, Opened opened);
  void forgo(const Hello& hello);
  [[nodiscard]] std::string encryption_differs(const Link& link) const;
  [[nodiscard]] asio::awaitable<void> open(Link& link);
  /// @returns whether there is nothing more to try
  [[nodiscard]] bool conclude(Link& link, Dialled dialled);
  [[nodiscard]] asio::awaitable<void> open_data(Link& link, std::uint8_t index);
  void use_as_control(Link& link, Opened opened);
  void use_for_data(Link& link, Opened opened);
  [[nodiscard]] asio::awaitable<void> sleep(Clock::duration duration);
  [[nodiscard]] Hello hello_to(int peer, Role role, std::uint8_t index) const;
  [[nodiscard]] const std::vector<Endpoint>& addresses_of(const Link& link) const {
    return options_.addresses[static_cast<std::size_t>(link.peer.rank)];
  }

  WireOptions options_;
  std::function<void()> ring_;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard_{io_.get_executor()};
  std::vector<std::unique_ptr<Link>> links_;  ///< by rank; none to those that this rank does not talk to
  Doorman doorman_;
  std::atomic<bool> is_leaving_{false};
  bool is_finishing_ = false;
  std::atomic<bool> is_batching_{false};
  bool holds_messages_ = false;  ///< of this batch; for the thread that has begun it

  std::mutex news_mutex_;
  std::vector<News> news_;
  std::atomic<bool> has_news_{false};

  std::mutex sink_mutex_;
  NoteSink* sink_ = nullptr;

  std::mutex finish_mutex_;
  std::condition_variable finished_;
  bool is_finished_ = false;

  std::unique_ptr<base::Background> thread_;
};

}  // namespace bluefog::transport::tcp
