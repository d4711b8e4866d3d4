#include "engine/crossing.hpp"

#include <algorithm>
#include <utility>

#include "mixing/kernels.hpp"

namespace bluefog::engine {

Crossing::Crossing(transport::Transport& transport, std::shared_ptr<StagingPool> pool, Operation& operation)
    : transport_(transport),
      pool_(std::move(pool)),
      operation_(operation),
      input_(operation.request().input.data),
      output_(operation.request().output.data) {}

Crossing::~Crossing() {
  for (SharedMemory* block : {&stand_in_, &staging_}) {
    if (block->bytes() > 0) pool_->give_back(std::move(*block));
  }
}

void Crossing::add_incoming(const transport::Stream& stream) {
  incoming_.push_back({stream});
  expected_.push_back(stream);
}

std::byte* Crossing::take_staging(std::size_t bytes) {
  staging_ = pool_->take(std::max<std::size_t>(1, bytes));
  staging_offset_ = transport_.offset_of(staging_.data(), staging_.bytes());
  return static_cast<std::byte*>(staging_.data());
}

void Crossing::stand_in(bool always_output) {
  const std::size_t bytes = operation_.request().input.bytes();
  const auto is_private = [&](const void* data) {
    return transport_.offset_of(data, bytes) == transport::no_offset;
  };
  const bool is_input_private = is_private(input_);
  const bool is_output_private = always_output || is_private(output_);
  if (!is_input_private && !is_output_private) return;
  stand_in_ = pool_->take(std::max<std::size_t>(1, bytes));
  if (is_output_private) output_ = stand_in_.data();
  if (!is_input_private) return;
  if (bytes > 0) mixing::copy_bytes(stand_in_.data(), input_, bytes, mixing::StoreKind::Plain);
  input_ = stand_in_.data();
}

const PeerView& Crossing::view_of(int rank) const {
  return *std::lower_bound(operation_.peers.begin(), operation_.peers.end(), rank,
                           [](const PeerView& view, int wanted) { return view.rank < wanted; });
}

bool Crossing::can_send(std::size_t flow) const {
  const Flow& out = outgoing_[flow];
  return out.chunks < out.stream.chunks() && view_of(out.stream.peer).found &&
         has_chunk(flow, out.stream.chunk(out.chunks)) &&
         transport_.can_send(out.stream.peer, operation_.slot);
}

bool Crossing::can_land(const Flow& in) const {
  const PeerView& peer = view_of(in.stream.peer);
  return peer.found && in.chunks < transport_.produced(peer.slot);
}

bool Crossing::can_advance() const {
  for (std::size_t flow = 0; flow < outgoing_.size(); ++flow) {
    if (can_send(flow)) return true;
  }
  return can_work() ||
         std::any_of(incoming_.begin(), incoming_.end(), [this](const Flow& in) { return can_land(in); });
}

void Crossing::advance() {
  for (std::size_t flow = 0; flow < outgoing_.size(); ++flow) {
    if (can_send(flow)) send(flow);
  }
  for (std::size_t flow = 0; flow < incoming_.size(); ++flow) {
    if (can_land(incoming_[flow])) land(flow);
  }
  if (can_work()) work();
}

bool Crossing::is_complete() const {
  const auto is_over = [](const Flow& side) { return side.chunks == side.stream.chunks(); };
  return std::all_of(outgoing_.begin(), outgoing_.end(), is_over) &&
         std::all_of(incoming_.begin(), incoming_.end(), is_over) && has_worked();
}

void Crossing::send(std::size_t flow) {
  Flow& out = outgoing_[flow];
  const Chunk chunk = out.stream.chunk(out.chunks);
  transport_.send_chunk(out.stream.peer, operation_.slot, {chunk_to_send(flow, chunk), chunk.bytes});
  ++out.chunks;
  out.bytes += chunk.bytes;
}

void Crossing::land(std::size_t flow) {
  Flow& in = incoming_[flow];
  const Chunk chunk = in.stream.chunk(in.chunks);
  const PeerView& peer = view_of(in.stream.peer);
  mixing::copy_bytes(place_of(flow, chunk), transport_.chunk(peer.slot, peer.post, in.chunks), chunk.bytes,
                     mixing::StoreKind::Plain);
  ++in.chunks;
  in.bytes += chunk.bytes;
  transport_.release(peer.rank, operation_.slot, in.chunks);
}

bool Crossing::is_out_of_reach(const PeerView& peer) const {
  return peer.found && (transport_.state(peer.rank) != transport::PeerState::Alive ||
                        transport_.phase(peer.slot) == Phase::Withdrawn);
}

const PeerView* Crossing::failed_peer() const {
  for (const Flow& in : incoming_) {
    const PeerView& peer = view_of(in.stream.peer);
    if (is_out_of_reach(peer) && transport_.produced(peer.slot) < in.stream.chunks()) return &peer;
  }
  // One that has got all may have gone on, and left.
  for (const Flow& out : outgoing_) {
    const PeerView& peer = view_of(out.stream.peer);
    if (is_out_of_reach(peer) && transport_.consumed(peer.slot) < out.stream.chunks()) return &peer;
  }
  return nullptr;
}

bool Crossing::awaits_data_of(int peer) const {
  return std::any_of(incoming_.begin(), incoming_.end(), [peer](const Flow& in) {
    return in.stream.peer == peer && in.chunks < in.stream.chunks();
  });
}

bool Crossing::awaits_room_at(int peer) const {
  return std::any_of(outgoing_.begin(), outgoing_.end(), [peer](const Flow& out) {
    return out.stream.peer == peer && out.chunks < out.stream.chunks();
  });
}

bool Crossing::has_private_output() const {
  return output_ != operation_.request().output.data;
}

void Crossing::copy_out(std::size_t first, std::size_t bytes) const {
  mixing::copy_bytes(static_cast<std::byte*>(operation_.request().output.data) + first,
                     static_cast<const std::byte*>(output_) + first, bytes, mixing::StoreKind::Plain);
}

void Crossing::for_each_peer(base::FunctionRef<void(int, std::size_t, std::size_t)> visit) const {
  for (const Flow& out : outgoing_) visit(out.stream.peer, out.bytes, 0);
  for (const Flow& in : incoming_) visit(in.stream.peer, 0, in.bytes);
}

}  // namespace bluefog::engine
