#include "transport/sim/sim_transport.hpp"

#include <cassert>

namespace bluefog::transport::sim {

SimTransport::SimTransport(Network& network, SimExecutor& executor, int rank, int size)
    : SplitTransport(memory_, *this, size),
      network_(network),
      memory_(network, executor, rank, size),
      lost_(static_cast<std::size_t>(size)) {
  network.attach(rank, *this);
}

void SimTransport::receive(int from, remote::Message message) {
  const bool is_note = message.kind == remote::Message::Kind::Note;
  [[maybe_unused]] const bool fits =
      is_note ? sink_ == nullptr || sink_->take_note(from, remote::note_of(message))
              : remote_.receive(from, std::move(message));
  assert(fits);
  doorbell().ring();
}

void SimTransport::set_lost(int peer) {
  lost_[static_cast<std::size_t>(peer)] = true;
  doorbell().ring();
}

PeerState SimTransport::state(int peer) const {
  if (lost_[static_cast<std::size_t>(peer)]) return PeerState::Lost;
  if (shares_memory(peer)) return memory_.state(peer);
  return remote_.has_left(peer) ? PeerState::Left : PeerState::Alive;
}

}  // namespace bluefog::transport::sim
