#include "engine/crossing.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "mixing/kernels.hpp"

namespace bluefog::engine {

namespace {

const mixing::HostPlan& plan_of(const Operation& operation) {
  return *operation.request().plan->across;
}

struct Range {
  std::size_t first;  ///< bytes
  std::size_t bytes;
};

Range range_of(const ConstTensor& tensor, std::size_t slices, std::size_t slice) {
  const std::size_t element = size_of(tensor.dtype);
  const auto bounds = mixing::slice_of(tensor.count(), element, slices, slice);
  return {bounds.first * element, (bounds.last - bounds.first) * element};
}

}  // namespace

Crossing::Crossing(transport::Transport& transport, std::shared_ptr<StagingPool> pool, Operation& operation,
                   std::size_t chunk_bytes)
    : transport_(transport),
      pool_(std::move(pool)),
      operation_(operation),
      input_(operation.request().input.data),
      output_(operation.request().output.data),
      read_(plan_of(operation).members.size()) {
  add_streams(plan_of(operation), chunk_bytes);
  take_staging(plan_of(operation));
  stand_in();
}

Crossing::~Crossing() {
  for (SharedMemory* block : {&stand_in_, &staging_}) {
    if (block->bytes() > 0) pool_->give_back(std::move(*block));
  }
}

void Crossing::add_streams(const mixing::HostPlan& plan, std::size_t chunk_bytes) {
  const ConstTensor& tensor = operation_.request().input;
  for (const auto& out : plan.outgoing) {
    const Range range = range_of(tensor, out.slices, out.slice);
    outgoing_.push_back(
        {{out.carrier, out.tensors.size(), range.bytes, chunk_bytes}, &out.tensors, range.first});
  }
  // Around the circle of ranks from the own one on, lest all send to the same one first.
  const auto next = std::stable_partition(outgoing_.begin(), outgoing_.end(), [this](const Outgoing& out) {
    return out.stream.peer > transport_.rank();
  });
  const auto by_rank = [](const Outgoing& a, const Outgoing& b) { return a.stream.peer < b.stream.peer; };
  std::sort(outgoing_.begin(), next, by_rank);
  std::sort(next, outgoing_.end(), by_rank);
  const Range own = range_of(tensor, plan.members.size(), plan.own);
  for (const auto& in : plan.incoming) {
    incoming_.push_back({{in.carrier, in.tensors.size(), own.bytes, chunk_bytes}, {}});
    expected_.push_back(incoming_.back().stream);
  }
}

void Crossing::take_staging(const mixing::HostPlan& plan) {
  if (plan.staged.empty()) return;
  const std::size_t stride = staging_stride(incoming_.front().stream.bytes);
  staging_ = pool_->take(std::max<std::size_t>(1, stride * plan.staged.size()));
  staging_offset_ = transport_.offset_of(staging_.data(), staging_.bytes());
  for (std::size_t i = 0; i < incoming_.size(); ++i) {
    for (const int tensor : plan.incoming[i].tensors) {
      const auto at = std::lower_bound(plan.staged.begin(), plan.staged.end(), tensor) - plan.staged.begin();
      incoming_[i].staging.push_back(static_cast<std::byte*>(staging_.data()) +
                                     static_cast<std::size_t>(at) * stride);
    }
  }
}

/// Where memory lies must not decide how the host mixes: other hosts cannot know it.
void Crossing::stand_in() {
  const std::size_t bytes = operation_.request().input.bytes();
  const bool is_input_private = transport_.offset_of(input_, bytes) == transport::no_offset;
  const bool is_output_private = transport_.offset_of(output_, bytes) == transport::no_offset;
  if (!is_input_private && !is_output_private) return;
  stand_in_ = pool_->take(bytes);
  if (is_output_private) output_ = stand_in_.data();
  if (!is_input_private) return;
  mixing::copy_bytes(stand_in_.data(), input_, bytes, mixing::StoreKind::Plain);
  input_ = stand_in_.data();
}

const PeerView& Crossing::view_of(int rank) const {
  return *std::lower_bound(operation_.peers.begin(), operation_.peers.end(), rank,
                           [](const PeerView& view, int wanted) { return view.rank < wanted; });
}

bool Crossing::can_send(const Outgoing& out) const {
  return out.chunks < out.stream.chunks() && view_of(out.stream.peer).found &&
         transport_.can_send(out.stream.peer, operation_.slot);
}

bool Crossing::can_land(const Incoming& in) const {
  const PeerView& carrier = view_of(in.stream.peer);
  return carrier.found && in.chunks < transport_.produced(carrier.slot);
}

bool Crossing::can_advance() const {
  return std::any_of(outgoing_.begin(), outgoing_.end(), [this](const auto& out) { return can_send(out); }) ||
         std::any_of(incoming_.begin(), incoming_.end(), [this](const auto& in) { return can_land(in); });
}

void Crossing::advance() {
  for (Outgoing& out : outgoing_) {
    if (can_send(out)) send(out);
  }
  for (Incoming& in : incoming_) {
    if (can_land(in)) land(in);
  }
}

bool Crossing::is_complete() const {
  const auto is_over = [](const auto& side) { return side.chunks == side.stream.chunks(); };
  return std::all_of(outgoing_.begin(), outgoing_.end(), is_over) &&
         std::all_of(incoming_.begin(), incoming_.end(), is_over);
}

void Crossing::send(Outgoing& out) {
  const transport::Stream::Chunk chunk = out.stream.chunk(out.chunks);
  const int owner = (*out.tensors)[chunk.tensor];
  const std::size_t first = out.first + chunk.offset;
  const std::byte* data = nullptr;
  if (owner == transport_.rank()) {
    data = static_cast<const std::byte*>(input_) + first;
  } else {
    data = transport_.map(owner, view_of(owner).post.input_offset + first, chunk.bytes);
    read_[operation_.component->index_of(owner)] += chunk.bytes;
  }
  transport_.send_chunk(out.stream.peer, operation_.slot, {data, chunk.bytes});
  ++out.chunks;
  out.bytes += chunk.bytes;
}

void Crossing::land(Incoming& in) {
  const transport::Stream::Chunk chunk = in.stream.chunk(in.chunks);
  const PeerView& carrier = view_of(in.stream.peer);
  mixing::copy_bytes(in.staging[chunk.tensor] + chunk.offset,
                     transport_.chunk(carrier.slot, carrier.post, in.chunks), chunk.bytes,
                     mixing::StoreKind::Plain);
  ++in.chunks;
  in.bytes += chunk.bytes;
  transport_.release(carrier.rank, operation_.slot, in.chunks);
}

bool Crossing::is_out_of_reach(const PeerView& peer) const {
  return peer.found && (transport_.state(peer.rank) != transport::PeerState::Alive ||
                        transport_.phase(peer.slot) == Phase::Withdrawn);
}

const PeerView* Crossing::failed_peer() const {
  for (const Incoming& in : incoming_) {
    const PeerView& carrier = view_of(in.stream.peer);
    if (is_out_of_reach(carrier) && transport_.produced(carrier.slot) < in.stream.chunks()) return &carrier;
  }
  // One that has got all may have gone on, and left.
  for (const Outgoing& out : outgoing_) {
    const PeerView& carrier = view_of(out.stream.peer);
    if (is_out_of_reach(carrier) && transport_.consumed(carrier.slot) < out.stream.chunks()) return &carrier;
  }
  return nullptr;
}

bool Crossing::awaits_data_of(int peer) const {
  return std::any_of(incoming_.begin(), incoming_.end(), [peer](const Incoming& in) {
    return in.stream.peer == peer && in.chunks < in.stream.chunks();
  });
}

bool Crossing::awaits_room_at(int peer) const {
  return std::any_of(outgoing_.begin(), outgoing_.end(), [peer](const Outgoing& out) {
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
  for (const Outgoing& out : outgoing_) visit(out.stream.peer, out.bytes, 0);
  for (const Incoming& in : incoming_) visit(in.stream.peer, 0, in.bytes);
  const auto& members = plan_of(operation_).members;
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (members[i] != transport_.rank()) visit(members[i], 0, read_[i]);
  }
}

}  // namespace bluefog::engine
