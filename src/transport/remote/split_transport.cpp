#include "transport/remote/split_transport.hpp"

#include <bluefog/error.hpp>

namespace bluefog::transport::remote {

void SplitTransport::leave() {
  near_.leave();
  std::vector<int> far;
  for (int peer = 0; peer < size(); ++peer) {
    if (!shares_memory(peer)) far.push_back(peer);
  }
  remote_.leave(far);
}

std::byte* SplitTransport::map(int rank, std::uint64_t offset, std::size_t bytes) {
  if (shares_memory(rank)) return near_.map(rank, offset, bytes);
  throw Error("rank " + std::to_string(rank) + " shares no memory with rank " + std::to_string(this->rank()) +
              ", but announced a tensor to be read in place");
}

void SplitTransport::publish(const SlotRef& own, const Announcement& announcement) {
  near_.publish(own, announcement);
  remote_.publish(own.slot, announcement, near_.chunk_ring(own));
}

void SplitTransport::set_phase(const SlotRef& at, Phase phase) {
  near_.set_phase(at, phase);
  if (at.rank == rank()) remote_.set_phase(at.slot, phase);
}
void SplitTransport::set_produced(const SlotRef& at, std::uint64_t chunks) {
  near_.set_produced(at, chunks);
  if (at.rank == rank()) remote_.set_produced(at.slot, chunks);
}
void SplitTransport::set_consumed(const SlotRef& own, std::uint64_t chunks) {
  near_.set_consumed(own, chunks);
  remote_.set_consumed(own.slot, chunks);
}
void SplitTransport::set_reason(const SlotRef& own, const Reason& reason) {
  near_.set_reason(own, reason);
  remote_.set_reason(own.slot, reason);
}

void SplitTransport::show(int peer, const SlotRef& at) {
  shares_memory(peer) ? near_.show(peer, at) : remote_.show(peer, at.slot);
}

void SplitTransport::begin_batch() {
  near_.begin_batch();
  wire_.begin_batch();
}
void SplitTransport::end_batch() {
  near_.end_batch();
  wire_.end_batch();
}

void SplitTransport::reclaim(const SlotRef& own, const Key& key) {
  near_.reclaim(own, key);
  remote_.reclaim(own.slot, key);
}

void SplitTransport::send_note(int peer, const Note& note) {
  Message message;
  message.kind = Message::Kind::Note;
  message.key = {note.topic, note.request};
  message.words = note.words;
  message.payload = Payload::borrowed(note.bytes);
  message.text = note.text;
  wire_.send(peer, std::move(message));
}

bool SplitTransport::is_settled(int peer, const SlotRef& own) const {
  return shares_memory(peer) || remote_.is_settled(peer, own.slot);
}

Lookup SplitTransport::find(int peer, const Key& key, SlotRef& found, Post& post) {
  return shares_memory(peer) ? near_.find(peer, key, found, post) : remote_.find(peer, key, found, post);
}
Phase SplitTransport::phase(const SlotRef& at) const {
  return shares_memory(at.rank) ? near_.phase(at) : remote_.phase(at);
}
std::uint64_t SplitTransport::vote(const SlotRef& at) const {
  return shares_memory(at.rank) ? near_.vote(at) : 0;
}
std::uint64_t SplitTransport::produced(const SlotRef& at) const {
  return shares_memory(at.rank) ? near_.produced(at) : remote_.produced(at);
}
std::uint64_t SplitTransport::consumed(const SlotRef& at) const {
  return shares_memory(at.rank) ? near_.consumed(at) : remote_.consumed(at);
}
Reason SplitTransport::reason(const SlotRef& at) const {
  return shares_memory(at.rank) ? near_.reason(at) : remote_.reason(at);
}
std::vector<std::uint64_t> SplitTransport::row(const SlotRef& at, const Post& post) {
  return shares_memory(at.rank) ? near_.row(at, post) : remote_.row(at);
}
std::uint64_t SplitTransport::oldest_open(int peer) const {
  return shares_memory(peer) ? near_.oldest_open(peer) : 0;
}
const std::byte* SplitTransport::chunk(const SlotRef& at, const Post& post, std::uint64_t index) {
  return shares_memory(at.rank) ? near_.chunk(at, post, index) : remote_.chunk(at, index);
}
std::vector<PendingCall> SplitTransport::pending(int peer) {
  return shares_memory(peer) ? near_.pending(peer) : remote_.pending(peer);
}

void SplitTransport::complain(int peer, const Key& key, std::string_view text) {
  shares_memory(peer) ? near_.complain(peer, key, text) : remote_.complain(peer, key, text);
}
std::optional<ComplaintText> SplitTransport::take_complaint() {
  auto taken = near_.take_complaint();
  return taken ? taken : remote_.take_complaint();
}

}  // namespace bluefog::transport::remote
