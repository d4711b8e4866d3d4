#include "transport/tcp/link.hpp"

#include <algorithm>
#include <utility>

#include "transport/tcp/interfaces.hpp"

namespace bluefog::transport::tcp {

namespace {

/// Larger chunks go by the data connections, and nothing else does: names and texts are always encrypted. A
/// tensor that comes with its announcement does not leave it, for two messages take twice the time.
constexpr std::size_t small_bytes = std::size_t{4} << 10;
static_assert(small_bytes < most_held_bytes);
/// So much may wait before chunks stay where they are; and so little before they come again.
constexpr std::size_t full_bytes = std::size_t{4} << 20;
constexpr std::size_t drained_bytes = std::size_t{1} << 20;
/// More messages, or more of them, than any rank has in flight at a time cannot be early.
constexpr std::size_t most_early = std::size_t{1} << 16;
constexpr std::size_t most_early_bytes = std::size_t{1} << 30;

}  // namespace

// --- Link: any thread

bool Link::send(remote::Message message, bool may_wait) {
  const std::lock_guard lock(mutex_);
  if (state_ == State::Closed) return false;
  const bool is_first = state_ == State::Idle;
  if (is_first) state_ = State::Wanted;
  send_locked(std::move(message), may_wait);
  return is_first;
}

void Link::write_held() {
  if (!holds_messages_.exchange(false)) return;
  const std::lock_guard lock(mutex_);
  if (state_ != State::Up) return;
  control_->write_held();
  wait_if_full(*control_);
}

void Link::send_locked(remote::Message message, bool may_wait) {
  const std::uint64_t sequence = message.may_overtake() ? 0 : ++sent_;
  head_.clear();
  encode(message, sequence, head_);
  if (state_ == State::Up) {
    Connection& connection = connection_for(message);  // before its payload is moved
    if (may_wait && message.payload.size() <= small_bytes) {
      holds_messages_ = true;
      return connection.hold(head_, message.payload);
    }
    return write(connection, head_, std::move(message.payload));
  }
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
  if (state_ == State::Closed || unsent_bytes() < full_bytes) return true;
  wants_room_ = true;
  return false;
}

std::string Link::path() const {
  const std::lock_guard lock(mutex_);
  if (state_ != State::Up) return {};
  const int fd = control_->socket->fd();
  return "tcp " + own_address_of(fd) + " to " + address_of_peer(fd);
}

Connection& Link::connection_for(const remote::Message& message) {
  const bool is_data =
      message.kind == remote::Message::Kind::Chunk || message.kind == remote::Message::Kind::Note;
  const bool is_large = is_data && message.payload.size() > small_bytes;
  if (!is_large || data_.empty()) return *control_;
  return **std::min_element(data_.begin(), data_.end(), [](const auto& a, const auto& b) {
    return a->unsent_bytes() < b->unsent_bytes();
  });
}

void Link::write(Connection& connection, const std::vector<std::byte>& head, remote::Payload payload) {
  connection.send(head, std::move(payload));
  wait_if_full(connection);
}

void Link::wait_if_full(Connection& connection) {
  if (connection.unsent_bytes() == 0 || connection.is_waiting) return;
  connection.is_waiting = true;
  const auto is_this = [&](const std::shared_ptr<Connection>& other) { return other.get() == &connection; };
  on_full(is_this(control_) ? control_ : *std::find_if(data_.begin(), data_.end(), is_this));
}

std::size_t Link::unsent_bytes() const {
  std::size_t bytes = waiting_bytes_;
  if (control_ != nullptr) bytes += control_->unsent_bytes();
  for (const auto& connection : data_) bytes += connection->unsent_bytes();
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
  early_bytes_ = 0;
  return was_open;
}

bool Link::finish() {
  const std::lock_guard lock(mutex_);
  if (state_ == State::Idle) state_ = State::Closed;
  if (state_ != State::Up) return state_ == State::Closed;
  is_finishing_ = true;
  // None ends before all have written: signs of life go on, and the ends come close to each other.
  if (unsent_bytes() > 0) return false;
  control_->finish();
  for (const auto& connection : data_) connection->finish();
  wait_if_full(*control_);
  for (const auto& connection : data_) wait_if_full(*connection);
  return unsent_bytes() == 0;
}

void Link::send_heartbeat() {
  const std::lock_guard lock(mutex_);
  if (state_ != State::Up || control_->waits_for_socket() || control_->is_ending) return;
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
  if (!wants_room_ || unsent_bytes() > drained_bytes) return false;
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
  if (sequence <= received_) return false;
  if (sequence != received_ + 1) {
    early_bytes_ += message.payload.size();
    if (early_.size() >= most_early || early_bytes_ > most_early_bytes) return false;
    return early_.emplace(sequence, std::move(message)).second;
  }
  ready.push_back(std::move(message));
  ++received_;
  while (!early_.empty() && early_.begin()->first == received_ + 1) {
    early_bytes_ -= early_.begin()->second.payload.size();
    ready.push_back(std::move(early_.begin()->second));
    early_.erase(early_.begin());
    ++received_;
  }
  return true;
}

}  // namespace bluefog::transport::tcp
