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

Task Engine::move(Operation& operation) {
  const OperationKind kind = operation.request().kind;
  if (kind == OperationKind::Barrier || kind == OperationKind::Agreement) co_return;
  operation.goes_by_slices = mixes_by_slices(operation);
  Task movement = operation.goes_by_slices ? mix_slices(operation) : exchange(operation);
  co_await movement;
  if (operation.crossing != nullptr && operation.crossing->has_private_output()) co_await copy_out(operation);
}

bool Engine::mixes_by_slices(const Operation& operation) const {
  if (operation.crossing != nullptr) return true;
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

mixing::StoreKind Engine::store_for(std::size_t bytes) const {
  return bytes >= tuning_.streaming_threshold ? mixing::StoreKind::Streaming : mixing::StoreKind::Plain;
}

/// @param member  this rank, or one that is gone, in whose name it acts
Task Engine::mix_slice(Operation& operation, int member) {
  Slice slice(transport_, stores_, operation, rank_, member, store_for(operation.request().input.bytes()));
  while (!slice.finished()) {
    slice.advance();
    Yield others(operation.suspension);
    co_await others;
  }
  transport_.set_phase(slice.owner(), Phase::Done);
  for (const PeerView& peer : operation.peers) {
    if (!peer.is_far) transport_.show(peer.rank, slice.owner());
  }
}

Engine::Remainder Engine::remainder_of(const Operation& operation) const {
  using transport::PeerState;
  Remainder rest;
  bool is_lowest = true;
  for (const PeerView& peer : operation.peers) {
    if (peer.is_far) continue;
    const PeerState state = transport_.state(peer.rank);  // before the look: it may finish and go in between
    const Phase phase = transport_.phase(peer.slot);
    if (peer.rank < rank_ && state == PeerState::Alive && phase != Phase::Withdrawn) is_lowest = false;
    if (phase >= Phase::Done) continue;
    const bool can_be_finished = state == PeerState::Lost && is_recoverable(operation, peer.post);
    if (state != PeerState::Alive && !can_be_finished) {
      rest.lost = peer.rank;
      continue;
    }
    rest.is_over = false;
    if (can_be_finished && rest.orphan < 0) rest.orphan = peer.rank;
  }
  // One at a time acts for the dead: this rank only when all members below it are proven gone, or gave up.
  if (!is_lowest) rest.orphan = -1;
  return rest;
}

namespace {

/// Allocates the output of a gather, now that the first extents of all sources are known.
void allocate_gathered(Operation& operation, int rank) {
  const Request& request = operation.request();
  std::vector<std::int64_t> extents(request.input.shape.extents().begin(),
                                    request.input.shape.extents().end());
  extents[0] = 0;
  for (const int source : request.plan->gather_order) {
    extents[0] += source == rank ? request.input.shape[0] : operation.find_peer(source)->post.extents[0];
  }
  operation.gathered_shape = Shape(extents);
  const std::size_t bytes = operation.gathered_shape.count() * size_of(request.input.dtype);
  operation.gathered = std::shared_ptr<std::byte[]>(new std::byte[std::max<std::size_t>(bytes, 1)]);
}

}  // namespace

Task Engine::exchange(Operation& operation) {
  const Request& request = operation.request();
  if (gathers(request.kind)) allocate_gathered(operation, rank_);
  if (operation.post.meets != 0) transport_.set_phase(operation.slot, Phase::Running);
  for (const PeerView& peer : operation.peers) {
    if (peer.is_far) transport_.show(peer.rank, operation.slot);
  }
  Publication own(transport_, operation, tuning_.streaming_threshold);
  Undo undo(undo_memory_, request.output, store_for(request.output.bytes()));
  std::exception_ptr failure;
  try {
    Task moving = exchange_chunks(operation, own, undo);
    co_await moving;
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    undo.restore();
    std::rethrow_exception(failure);
  }
  transport_.set_phase(operation.slot, Phase::Done);
  show_peers(operation);
  Until released(operation.suspension, [&] { return own.readers_are_done(); });
  co_await released;
}

Task Engine::exchange_chunks(Operation& operation, Publication& own, Undo& undo) {
  const bool may_tear = operation.in_place() && operation.post.logs != 0 && chunks_of(operation.post) > 1;
  const mixing::StoreKind store =
      operation.in_place() ? mixing::StoreKind::Plain : store_for(operation.request().input.bytes());
  const mixing::ResolvedRow* row = reduces(operation.request().kind) ? &resolve_row(operation) : nullptr;
  Exchange sources(transport_, operation, own, row, store, may_tear ? &undo : nullptr);
  while (!own.is_complete() || !sources.is_complete()) {
    bool moved = false;
    if (own.can_advance()) {
      own.advance();
      transport_.set_produced(operation.slot, operation.produced);
      moved = true;
    }
    if (sources.can_advance()) {
      sources.advance();
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
      if (own.can_advance() || sources.can_advance() || operation.trouble) return true;
      failed = sources.failed_source();
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
}

}  // namespace bluefog::engine
