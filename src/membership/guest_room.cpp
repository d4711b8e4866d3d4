#include "membership/guest_room.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <sys/socket.h>

#include "membership/fd_message.hpp"
#include "membership/rendezvous_socket.hpp"
#include "transport/tcp/alarm.hpp"

namespace bluefog::membership {
namespace {

using transport::tcp::Socket;
using Wait = asio::posix::stream_descriptor::wait_type;

constexpr int most_strangers = 256;
constexpr auto pause_without_descriptors = std::chrono::milliseconds(50);

/// A new connection has room for the one or two messages that a rank gets.
template <typename Message>
void say(const Socket& socket, const Message& message) {
  if (socket.is_open()) (void)send_message(socket.fd(), protocol::bytes_of(message), {});
}

void refuse(Socket& socket, const std::string& why) {
  protocol::NoPlace message;
  protocol::write_text(message.why, why);
  say(socket, message);
  socket.close();
}

}  // namespace

GuestRoom::GuestRoom(asio::io_context& io, base::UniqueFd listener, int size, Callbacks callbacks)
    : io_(io),
      listener_(io, std::move(listener)),
      retry_(io),
      size_(size),
      callbacks_(std::move(callbacks)) {}

void GuestRoom::start() {
  asio::co_spawn(io_, accept_all(), asio::detached);
}

void GuestRoom::stop() {
  listener_.close();
  retry_.cancel();
  for (const auto& [rank, guest] : std::exchange(guests_, {})) guest.socket->close();
}

void GuestRoom::place(const protocol::PlacedHere& answer, int first_rank, int ranks) {
  answer_ = {answer, first_rank, ranks};
  for (const auto& [rank, guest] : std::exchange(guests_, {})) {
    say(*guest.socket, answer);
    guest.socket->close();
  }
}

void GuestRoom::turn_away(int rank, const std::string& why) {
  const auto found = guests_.find(rank);
  if (found == guests_.end()) return;
  refuse(*found->second.socket, why);
  guests_.erase(found);
}

void GuestRoom::turn_all_away(const std::string& why) {
  refusal_ = why;
  for (const auto& [rank, guest] : std::exchange(guests_, {})) refuse(*guest.socket, why);
}

void GuestRoom::tell_missing(const MissingRanks& missing, const std::string& note) {
  protocol::NotAllHere message;
  for (const int rank : missing.ranks) {
    const auto index = static_cast<std::size_t>(message.count++);
    if (index < message.ranks.size()) message.ranks[index] = rank;
  }
  protocol::write_text(message.note, note);
  for (auto& [rank, guest] : guests_) {
    if (std::exchange(guest.is_impatient, false)) say(*guest.socket, message);
  }
}

std::vector<int> GuestRoom::ranks() const {
  std::vector<int> ranks;
  for (const auto& [rank, guest] : guests_) ranks.push_back(rank);
  return ranks;
}

asio::awaitable<void> GuestRoom::accept_all() {
  asio::error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  while (listener_.is_open()) {
    base::UniqueFd fd(::accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd.valid()) {
      if (!peer_is_same_user(fd.get()) || strangers_ >= most_strangers) continue;
      asio::co_spawn(io_, serve(std::make_shared<Socket>(io_, std::move(fd))), asio::detached);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      co_await listener_.stream().async_wait(Wait::wait_read, token);
    } else if (errno != EINTR && errno != ECONNABORTED) {
      retry_.expires_after(pause_without_descriptors);
      co_await retry_.async_wait(token);
    }
  }
}

asio::awaitable<void> GuestRoom::serve(std::shared_ptr<Socket> socket) {
  ++strangers_;
  const auto arrival = co_await hear(socket);
  --strangers_;
  if (!arrival || !socket->is_open()) co_return;
  if (!admit(*arrival, socket)) {
    socket->close();
    co_return;
  }
  callbacks_.on_arrival(arrival->rank);
  co_await wait_with(arrival->rank, socket);
}

asio::awaitable<std::optional<protocol::Arrival>> GuestRoom::hear(std::shared_ptr<Socket> socket) {
  const transport::tcp::Alarm alarm(io_, socket, transport::tcp::handshake_time);
  asio::error_code error;
  co_await socket->stream().async_wait(Wait::wait_read, asio::redirect_error(asio::use_awaitable, error));
  if (error || !socket->is_open()) co_return std::nullopt;
  protocol::MusterBuffer buffer;
  const Received received = receive_message(socket->fd(), buffer);
  const auto text = std::span<const std::byte>(buffer).first(std::min(received.bytes, buffer.size()));
  if (const std::string problem = problem_of_version(text); !problem.empty()) {
    refuse(*socket, problem);
    co_return std::nullopt;
  }
  co_return protocol::read_as<protocol::Arrival>(text);
}

std::string GuestRoom::problem_of(const protocol::Arrival& arrival) const {
  if (!refusal_.empty()) return refusal_;
  if (arrival.size != size_) {
    return "it expects " + std::to_string(arrival.size) + " ranks, but the job that meets here has " +
           std::to_string(size_);
  }
  if (arrival.rank < 0 || arrival.rank >= size_) return "there is no such rank";
  if (answer_ &&
      (arrival.rank < answer_->first_rank || arrival.rank >= answer_->first_rank + answer_->ranks)) {
    return "all ranks of the job have come already, this one on another host";
  }
  const auto found = guests_.find(arrival.rank);
  if (found != guests_.end() && !has_hung_up(found->second.socket->fd())) {
    return "a process of that rank is in the job and alive (pid " + std::to_string(found->second.pid) + ")";
  }
  return {};
}

bool GuestRoom::admit(const protocol::Arrival& arrival, const std::shared_ptr<Socket>& socket) {
  if (const std::string problem = problem_of(arrival); !problem.empty()) {
    refuse(*socket, problem);
    return false;
  }
  if (answer_) {
    say(*socket, answer_->text);
    return false;
  }
  guests_[arrival.rank] = {socket, static_cast<pid_t>(arrival.pid)};
  return true;
}

asio::awaitable<void> GuestRoom::wait_with(int rank, std::shared_ptr<Socket> socket) {
  asio::error_code error;
  while (socket->is_open()) {
    co_await socket->stream().async_wait(Wait::wait_read, asio::redirect_error(asio::use_awaitable, error));
    if (error || !socket->is_open()) break;
    protocol::MusterBuffer buffer;
    const Received received = receive_message(socket->fd(), buffer);
    if (received.state == Transfer::again) continue;
    const auto text = std::span<const std::byte>(buffer).first(std::min(received.bytes, buffer.size()));
    if (received.state == Transfer::closed || !protocol::read_as<protocol::GiveUp>(text)) break;
    const auto found = guests_.find(rank);
    if (found == guests_.end() || found->second.socket != socket) break;
    found->second.is_impatient = true;
    callbacks_.on_impatience();
  }
  socket->close();
  const auto found = guests_.find(rank);
  if (found == guests_.end() || found->second.socket != socket)
    co_return;  // answered, or a later one has come
  guests_.erase(found);
  callbacks_.on_departure(rank);
}

}  // namespace bluefog::membership
