#include "transport/tcp/link.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include <sys/socket.h>
#include <sys/uio.h>

namespace bluefog::transport::tcp {

namespace {

/// Larger payloads go by the data connections.
constexpr std::size_t small_bytes = std::size_t{4} << 10;
/// So much may wait before chunks stay where they are; and so little before they come again.
constexpr std::size_t full_bytes = std::size_t{4} << 20;
constexpr std::size_t drained_bytes = std::size_t{1} << 20;
/// More messages than any rank has in flight at a time cannot be early.
constexpr std::size_t most_early = std::size_t{1} << 16;
constexpr std::size_t parts_at_a_time = 32;

/// What is left of a message, as parts for one system call.
void add_parts(const Outgoing& message, std::array<iovec, parts_at_a_time>& parts, std::size_t& count) {
  std::size_t skip = message.sent;
  const auto add = [&](const std::byte* data, std::size_t bytes) {
    const std::size_t skipped = std::min(skip, bytes);
    skip -= skipped;
    if (skipped < bytes) parts[count++] = {const_cast<std::byte*>(data) + skipped, bytes - skipped};
  };
  add(message.head.data(), message.head.size());
  add(message.payload.data(), message.payload.size());
}

/// @returns bytes written, 0 if the socket takes none, or -1 if it is broken
ssize_t write_parts(int fd, std::array<iovec, parts_at_a_time>& parts, std::size_t count) {
  msghdr header{};
  header.msg_iov = parts.data();
  header.msg_iovlen = count;
  ssize_t written = 0;
  do {
    written = ::sendmsg(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (written < 0 && errno == EINTR);
  if (written >= 0) return written;
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? 0 : -1;
}

}  // namespace

// --- Connection

void Connection::send(const std::vector<std::byte>& head, remote::Payload payload) {
  if (is_broken || is_finished) return;
  std::size_t sent = 0;
  if (queue.empty()) {
    std::array<iovec, parts_at_a_time> parts;
    parts[0] = {const_cast<std::byte*>(head.data()), head.size()};
    parts[1] = {const_cast<std::byte*>(std::as_const(payload).data()), payload.size()};
    const ssize_t written = write_parts(socket->fd(), parts, payload.empty() ? 1 : 2);
    if (written < 0) {
      is_broken = true;
      return;
    }
    sent = static_cast<std::size_t>(written);
    if (sent == head.size() + payload.size()) return;
  }
  payload.own();
  queue.push_back({head, std::move(payload), sent});
  queued_bytes += queue.back().left();
}

void Connection::flush() {
  while (!queue.empty() && !is_broken) {
    std::array<iovec, parts_at_a_time> parts;
    std::size_t count = 0;
    std::size_t bytes = 0;
    for (auto at = queue.begin(); at != queue.end() && count + 2 <= parts.size(); ++at) {
      add_parts(*at, parts, count);
      bytes += at->left();
    }
    const ssize_t written = write_parts(socket->fd(), parts, count);
    if (written < 0) is_broken = true;
    std::size_t left = written > 0 ? static_cast<std::size_t>(written) : 0;
    queued_bytes -= left;
    const bool is_full = left < bytes;
    while (!queue.empty() && left >= queue.front().left()) {
      left -= queue.front().left();
      queue.pop_front();
    }
    if (!queue.empty()) queue.front().sent += left;
    if (is_full) break;
  }
  if (is_broken) {
    queue.clear();
    queued_bytes = 0;
  }
}

void Connection::finish() {
  if (is_finished) return;
  is_finished = true;
  ::shutdown(socket->fd(), SHUT_WR);
}

// --- Link: any thread

bool Link::send(remote::Message message) {
  const std::lock_guard lock(mutex_);
  if (state_ == State::Closed) return false;
  const bool is_first = state_ == State::Idle;
  if (is_first) state_ = State::Wanted;
  send_locked(std::move(message));
  return is_first;
}

void Link::send_locked(remote::Message message) {
  const std::uint64_t sequence = message.may_overtake() ? 0 : ++sent_;
  head_.clear();
  encode(message, sequence, head_);
  if (state_ == State::Up) return write(connection_for(message), head_, std::move(message.payload));
  message.payload.own();
  waiting_.push_back({head_, std::move(message.payload)});
  waiting_bytes_ += waiting_.back().left();
}

void Link::leave() {
  const std::lock_guard lock(mutex_);
  is_leaving_ = true;
  if (state_ == State::Idle) state_ = State::Closed;
  if (state_ != State::Closed) send_locked({});
}

bool Link::has_room() {
  const std::lock_guard lock(mutex_);
  if (state_ == State::Closed || queued_bytes() < full_bytes) return true;
  wants_room_ = true;
  return false;
}

Connection& Link::connection_for(const remote::Message& message) {
  if (message.payload.size() <= small_bytes || data_.empty()) return *control_;
  return **std::min_element(data_.begin(), data_.end(),
                            [](const auto& a, const auto& b) { return a->queued_bytes < b->queued_bytes; });
}

void Link::write(Connection& connection, const std::vector<std::byte>& head, remote::Payload payload) {
  connection.send(head, std::move(payload));
  wait_if_full(connection);
}

void Link::wait_if_full(Connection& connection) {
  if (connection.queue.empty() || connection.is_waiting) return;
  connection.is_waiting = true;
  const auto is_this = [&](const std::shared_ptr<Connection>& other) { return other.get() == &connection; };
  on_full(is_this(control_) ? control_ : *std::find_if(data_.begin(), data_.end(), is_this));
}

std::size_t Link::queued_bytes() const {
  std::size_t bytes = waiting_bytes_;
  if (control_ != nullptr) bytes += control_->queued_bytes;
  for (const auto& connection : data_) bytes += connection->queued_bytes;
  return bytes;
}

// --- Link: the event loop's thread

void Link::attach_control(std::shared_ptr<Connection> opened) {
  const std::lock_guard lock(mutex_);
  // A peer that came in just before the farewell has not heard it.
  const bool is_late = is_leaving_ && state_ == State::Closed;
  control_ = std::move(opened);
  state_ = State::Up;
  while (!waiting_.empty()) {
    write(*control_, waiting_.front().head, std::move(waiting_.front().payload));
    waiting_.pop_front();
  }
  waiting_bytes_ = 0;
  if (is_late) send_locked({});
}

void Link::attach_data(std::shared_ptr<Connection> opened) {
  const std::lock_guard lock(mutex_);
  if (is_finishing_) opened->finish();
  data_.push_back(std::move(opened));
}

bool Link::close() {
  const std::lock_guard lock(mutex_);
  const bool was_open = state_ != State::Closed;
  state_ = State::Closed;
  if (control_ != nullptr) control_->socket->close();
  for (const auto& connection : data_) connection->socket->close();
  control_.reset();
  data_.clear();
  waiting_.clear();
  waiting_bytes_ = 0;
  early_.clear();
  return was_open;
}

bool Link::finish() {
  const std::lock_guard lock(mutex_);
  if (state_ == State::Idle) state_ = State::Closed;
  if (state_ != State::Up) return state_ == State::Closed;
  is_finishing_ = true;
  // None ends before all have written: signs of life go on, and the ends come close to each other.
  if (queued_bytes() > 0) return false;
  control_->finish();
  for (const auto& connection : data_) connection->finish();
  return true;
}

void Link::send_heartbeat() {
  const std::lock_guard lock(mutex_);
  if (state_ != State::Up || !control_->queue.empty()) return;
  head_.clear();
  encode_heartbeat(head_);
  write(*control_, head_, {});
}

bool Link::flush(Connection& connection) {
  const std::lock_guard lock(mutex_);
  connection.is_waiting = false;
  if (state_ != State::Up) return false;
  connection.flush();
  wait_if_full(connection);
  if (!wants_room_ || queued_bytes() > drained_bytes) return false;
  wants_room_ = false;
  return true;
}

Link::State Link::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

std::vector<std::shared_ptr<Connection>> Link::connections() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Connection>> all(data_);
  if (control_ != nullptr) all.push_back(control_);
  return all;
}

bool Link::sort_in(std::uint64_t sequence, remote::Message message, std::vector<remote::Message>& ready) {
  if (sequence == 0) {
    ready.push_back(std::move(message));
    return true;
  }
  if (sequence <= received_ || early_.size() >= most_early) return false;
  if (sequence != received_ + 1) return early_.emplace(sequence, std::move(message)).second;
  ready.push_back(std::move(message));
  ++received_;
  while (!early_.empty() && early_.begin()->first == received_ + 1) {
    ready.push_back(std::move(early_.begin()->second));
    early_.erase(early_.begin());
    ++received_;
  }
  return true;
}

}  // namespace bluefog::transport::tcp
