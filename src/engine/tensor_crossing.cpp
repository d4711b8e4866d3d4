#include "engine/tensor_crossing.hpp"

#include <algorithm>
#include <utility>

namespace bluefog::engine {

namespace {

ByteRange range_of(const ConstTensor& tensor, std::size_t slices, std::size_t slice) {
  const std::size_t element = size_of(tensor.dtype);
  return bytes_of(mixing::slice_of(tensor.count(), element, slices, slice), element);
}

}  // namespace

TensorCrossing::TensorCrossing(transport::Transport& transport, std::shared_ptr<StagingPool> pool,
                               Operation& operation, std::size_t chunk_bytes)
    : Crossing(transport, std::move(pool), operation),
      plan_(*operation.request().plan->across),
      read_(plan_.members.size()) {
  add_streams(plan_, chunk_bytes);
  stage(plan_);
  stand_in(false);
}

void TensorCrossing::add_streams(const mixing::HostPlan& plan, std::size_t chunk_bytes) {
  const ConstTensor& tensor = operation().request().input;
  std::vector<const mixing::HostPlan::Outgoing*> ordered;
  for (const auto& out : plan.outgoing) ordered.push_back(&out);
  // Around the circle of ranks from the own one on, lest all send to the same one first.
  const int own_rank = transport().rank();
  const auto next = std::stable_partition(ordered.begin(), ordered.end(),
                                          [&](const auto* out) { return out->carrier > own_rank; });
  const auto by_rank = [](const auto* a, const auto* b) { return a->carrier < b->carrier; };
  std::sort(ordered.begin(), next, by_rank);
  std::sort(next, ordered.end(), by_rank);
  for (const auto* out : ordered) {
    const ByteRange range = range_of(tensor, out->slices, out->slice);
    add_outgoing({out->carrier, out->tensors.size(), range.bytes, chunk_bytes});
    sources_.push_back({&out->tensors, range.first});
  }
  const ByteRange own = range_of(tensor, plan.members.size(), plan.own);
  for (const auto& in : plan.incoming) {
    add_incoming({in.carrier, in.tensors.size(), own.bytes, chunk_bytes});
  }
}

void TensorCrossing::stage(const mixing::HostPlan& plan) {
  if (plan.staged.empty()) return;
  const std::size_t stride = staging_stride(incoming().front().stream.bytes);
  std::byte* const staging = take_staging(stride * plan.staged.size());
  for (const auto& in : plan.incoming) {
    auto& places = places_.emplace_back();
    for (const int tensor : in.tensors) {
      const auto at = std::lower_bound(plan.staged.begin(), plan.staged.end(), tensor) - plan.staged.begin();
      places.push_back(staging + static_cast<std::size_t>(at) * stride);
    }
  }
}

const std::byte* TensorCrossing::chunk_to_send(std::size_t flow, const Chunk& chunk) {
  const int owner = (*sources_[flow].tensors)[chunk.tensor];
  const std::size_t first = sources_[flow].first + chunk.offset;
  if (owner == transport().rank()) return static_cast<const std::byte*>(input()) + first;
  read_[operation().component->index_of(owner)] += chunk.bytes;
  return transport().map(owner, view_of(owner).post.input_offset + first, chunk.bytes);
}

std::byte* TensorCrossing::place_of(std::size_t flow, const Chunk& chunk) {
  return places_[flow][chunk.tensor] + chunk.offset;
}

void TensorCrossing::for_each_peer(base::FunctionRef<void(int, std::size_t, std::size_t)> visit) const {
  Crossing::for_each_peer(visit);
  for (std::size_t i = 0; i < plan_.members.size(); ++i) {
    if (plan_.members[i] != transport().rank()) visit(plan_.members[i], 0, read_[i]);
  }
}

}  // namespace bluefog::engine
