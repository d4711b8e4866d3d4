// Who reads and writes what, once an operation has been agreed on. Two ways: slices, where the members of a
// component share the elements among them and write each other's outputs; and the exchange of chunks, where
// everyone computes its own output, from tensors that are read in place or from chunks that their owners
// publish.

#include <algorithm>
#include <cstring>

#include <bluefog/error.hpp>

#include "engine/engine.hpp"
#include "engine/exchange.hpp"
#include "engine/slices.hpp"

namespace bluefog::engine {

namespace {

bool reduces(OperationKind kind) {
  return kind == OperationKind::NeighborAllreduce || kind == OperationKind::Allreduce;
}

}  // namespace

Task Engine::move(Operation& operation) {
  const OperationKind kind = operation.request().kind;
  if (kind == OperationKind::Barrier || kind == OperationKind::Agreement) co_return;
  Task movement = mixes_by_slices(operation) ? mix_slices(operation) : exchange(operation);
  co_await movement;
}

bool Engine::mixes_by_slices(const Operation& operation) const {
  if (operation.post.meets == 0 || !reduces(operation.post.kind)) return false;
  if (operation.request().input.bytes() <= eager_bytes) return false;
  if (operation.component->spans_hosts) return false;
  const auto is_shared = [](const Post& post) {
    return post.input_offset != transport::no_offset && post.output_offset != transport::no_offset;
  };
  return is_shared(operation.post) && std::all_of(operation.peers.begin(), operation.peers.end(),
                                                  [&](const PeerView& peer) { return is_shared(peer.post); });
}

/// Mixes the own slice, then those that the dead left behind: so the operation completes for everybody who
/// lives, with its original weights.
Task Engine::mix_slices(Operation& operation) {
  transport_.set_phase(operation.slot, Phase::Running);
  Task own = mix_slice(operation, rank_);
  co_await own;
  Remainder rest;
  Until wanted(operation.suspension, [&] {
    rest = remainder_of(operation);
    return rest.is_over || rest.orphan >= 0;
  });
  co_await wanted;
  while (!rest.is_over) {
    Task left_behind = mix_slice(operation, rest.orphan);
    co_await left_behind;
    co_await wanted;
  }
  if (rest.lost >= 0) std::rethrow_exception(lost_error(operation, rest.lost));
}

/// @param member  this rank, or one that is gone, in whose name it acts
Task Engine::mix_slice(Operation& operation, int member) {
  const bool streams = operation.request().input.bytes() >= tuning_.streaming_threshold;
  Slice slice(transport_, stores_, operation, rank_, member,
              streams ? mixing::StoreKind::Streaming : mixing::StoreKind::Plain);
  while (!slice.finished()) {
    slice.advance();
    Yield others(operation.suspension);
    co_await others;
  }
  transport_.set_phase(slice.owner(), Phase::Done);
  for (const PeerView& peer : operation.peers) transport_.show(peer.rank, slice.owner());
}

Engine::Remainder Engine::remainder_of(const Operation& operation) const {
  Remainder rest;
  bool is_lowest = true;
  for (const PeerView& peer : operation.peers) {
    const bool was_gone = is_gone(peer.rank);  // before the look: it may finish and go in between
    if (!was_gone && peer.rank < rank_) is_lowest = false;
    if (transport_.phase(peer.slot) >= Phase::Done) continue;
    if (was_gone && !is_recoverable(operation, peer.post)) {
      rest.lost = peer.rank;
      continue;
    }
    rest.is_over = false;
    if (was_gone && rest.orphan < 0) rest.orphan = peer.rank;
  }
  // One at a time acts for the dead: this rank only when all members below it are proven gone.
  if (!is_lowest) rest.orphan = -1;
  return rest;
}

void Engine::publish_chunk(Operation& operation, std::uint64_t index) {
  const ConstTensor& input = operation.request().input;
  const std::size_t chunk = operation.post.chunk_bytes;
  const std::span<std::byte> ring = transport_.chunk_ring(operation.slot);
  const std::size_t bytes = std::min(chunk, input.bytes() - index * chunk);
  std::byte* slot = transport_.map(
      rank_, transport_.offset_of(ring.data(), ring.size()) + index % (ring.size() / chunk) * chunk, bytes);
  const bool streams = bytes >= tuning_.streaming_threshold;
  mixing::copy_bytes(slot, static_cast<const std::byte*>(input.data) + index * chunk, bytes,
                     streams ? mixing::StoreKind::Streaming : mixing::StoreKind::Plain);
  operation.produced = index + 1;
}

namespace {

/// Allocates the output of a gather, now that the first extents of all sources are known.
void allocate_gathered(Operation& operation, int rank) {
  const Request& request = operation.request();
  std::vector<std::int64_t> extents(request.input.shape.extents().begin(),
                                    request.input.shape.extents().end());
  extents[0] = 0;
  for (const int source : request.plan->gather_order) {
    const auto peer = std::find_if(operation.peers.begin(), operation.peers.end(),
                                   [&](const PeerView& view) { return view.rank == source; });
    extents[0] += source == rank ? request.input.shape[0] : peer->post.extents[0];
  }
  operation.gathered_shape = Shape(extents);
  const std::size_t bytes = operation.gathered_shape.count() * size_of(request.input.dtype);
  operation.gathered = std::shared_ptr<std::byte[]>(new std::byte[std::max<std::size_t>(bytes, 1)]);
}

}  // namespace

Task Engine::exchange(Operation& operation) {
  const Request& request = operation.request();
  const bool is_gather =
      request.kind == OperationKind::Allgather || request.kind == OperationKind::NeighborAllgather;
  if (is_gather) allocate_gathered(operation, rank_);
  const mixing::ResolvedRow* row = reduces(request.kind) ? &resolve_row(operation) : nullptr;
  const bool streams = !operation.in_place() && request.input.bytes() >= tuning_.streaming_threshold;
  Exchange chunks(transport_, operation, row, rank_,
                  streams ? mixing::StoreKind::Streaming : mixing::StoreKind::Plain);

  while (!chunks.all_published() || !chunks.all_consumed()) {
    bool moved = false;
    if (chunks.can_publish()) {
      publish_chunk(operation, operation.produced);
      transport_.set_produced(operation.slot, operation.produced);
      moved = true;
    }
    if (chunks.can_consume()) {
      chunks.consume();
      moved = true;
    }
    if (moved) {
      show_peers(operation);
      Yield others(operation.suspension);
      co_await others;
      continue;
    }
    const PeerView* failed = nullptr;
    Until movable(operation.suspension, [&] {
      if (chunks.can_publish() || chunks.can_consume() || operation.trouble) return true;
      failed = chunks.failed_source();
      return failed != nullptr;
    });
    co_await movable;
    check_trouble(operation);
    if (failed != nullptr) {
      const bool withdrawn = transport_.phase(failed->slot) == Phase::Withdrawn;
      std::rethrow_exception(withdrawn ? withdrawn_error(operation, *failed)
                                       : lost_error(operation, failed->rank));
    }
  }
  transport_.set_phase(operation.slot, Phase::Done);
  show_peers(operation);
  Until released(operation.suspension, [&] { return chunks.readers_are_done(); });
  co_await released;
}

}  // namespace bluefog::engine
