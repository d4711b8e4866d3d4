#include "transport/hosts/host_transport.hpp"

#include <chrono>
#include <utility>

namespace bluefog::transport::hosts {

namespace {

constexpr base::Duration patience_with_good_byes = std::chrono::seconds(10);

}  // namespace

HostTransport::HostTransport(std::unique_ptr<shm::ShmTransport> near, std::vector<int> hosts,
                             tcp::WireOptions options, std::vector<tcp::Listener> listeners,
                             base::Executor& executor)
    : SplitTransport(*near, wire_, near->size()),
      memory_(std::move(near)),
      hosts_(std::move(hosts)),
      own_host_(hosts_[static_cast<std::size_t>(memory_->rank())]),
      losses_(hosts_.size()),
      far_states_(hosts_.size()),
      wire_(std::move(options), std::move(listeners), executor, [this] { memory_->doorbell().ring(); }) {}

PeerState HostTransport::state(int peer) const {
  if (shares_memory(peer)) return memory_->state(peer);
  return far_states_[static_cast<std::size_t>(peer)].load(std::memory_order_acquire);
}

void HostTransport::leave() {
  SplitTransport::leave();
  wire_.finish(patience_with_good_byes);
}

void HostTransport::progress() {
  if (!wire_.has_news()) return;
  for (tcp::TcpWire::News& news : wire_.take_news()) {
    auto& loss = losses_[static_cast<std::size_t>(news.peer)];
    if (!news.message) {
      loss = std::move(news.loss);
    } else if (loss) {
      continue;
    } else if (!remote_.receive(news.peer, std::move(*news.message))) {
      loss = "it contradicts what it has sent before";  // what it has sent after that is not believed either
      wire_.give_up(news.peer, *loss);
    }
    const PeerState state = loss                          ? PeerState::Lost
                            : remote_.has_left(news.peer) ? PeerState::Left
                                                          : PeerState::Alive;
    far_states_[static_cast<std::size_t>(news.peer)].store(state, std::memory_order_release);
  }
  remote_.resume();
  while (auto complaint = remote_.take_complaint()) {
    const std::lock_guard lock(complaints_mutex_);
    complaints_.push_back(std::move(*complaint));
    has_complaints_.store(true, std::memory_order_release);
  }
}

std::string HostTransport::why_lost(int peer) const {
  if (shares_memory(peer)) return memory_->why_lost(peer);
  return losses_[static_cast<std::size_t>(peer)].value_or("");
}

std::string HostTransport::path_to(int peer) const {
  return shares_memory(peer) ? Transport::path_to(peer) : wire_.path_to(peer);
}

/// Also for threads that do not hold the engine's lock.
std::optional<ComplaintText> HostTransport::take_complaint() {
  if (auto taken = memory_->take_complaint()) return taken;
  if (!has_complaints_.load(std::memory_order_acquire)) return {};
  const std::lock_guard lock(complaints_mutex_);
  if (complaints_.empty()) return {};
  ComplaintText taken = std::move(complaints_.front());
  complaints_.pop_front();
  has_complaints_.store(!complaints_.empty(), std::memory_order_relaxed);
  return taken;
}

}  // namespace bluefog::transport::hosts
