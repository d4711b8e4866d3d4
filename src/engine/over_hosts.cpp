// Mixing over hosts. Where all ranks know the matrix, every member of a host takes part for all of them: it
// sends slices of their tensors to other hosts, and lands its own slice of what comes from there. When it has
// done both it votes; when all have voted, the host mixes by slices, with the staged ones as further inputs.
// Nothing is written to any tensor before that, so whoever fails until then leaves all whole. Machines that
// mix their means do it in the same way, whether their hosts are real or pretended.

#include <algorithm>

#include <bluefog/error.hpp>

#include "engine/engine.hpp"
#include "engine/mean_crossing.hpp"
#include "engine/tensor_crossing.hpp"

namespace bluefog::engine {

namespace {

/// Private outputs are filled so many bytes at a time.
constexpr std::size_t copy_quantum = std::size_t{1} << 20;

}  // namespace

/// Memory for what crosses, before the operation is posted.
void Engine::prepare_crossing(Operation& operation) {
  Request& request = operation.request();
  if (request.local_error) return;
  const Plan& plan = *request.plan;
  try {
    if (plan.machines != nullptr) {
      operation.crossing =
          std::make_unique<MeanCrossing>(transport_, staging_, operation, tuning_.chunk_bytes);
    } else if (plan.across != nullptr) {
      operation.crossing =
          std::make_unique<TensorCrossing>(transport_, staging_, operation, tuning_.chunk_bytes);
    }
  } catch (const Error& error) {
    request.local_error = std::make_exception_ptr(Error(
        operation.describe(rank_) + ": no shared memory for what comes from other hosts: " + error.what()));
  }
}

/// Looks for the posts of peers on this host, or on others. @returns whether all were found
bool Engine::look_for_side(Operation& operation, bool far) {
  bool all = true;
  for (PeerView& peer : operation.peers) {
    if (peer.is_far != far || peer.found) continue;
    if (operation.trouble) return false;
    all = look_for(operation, peer) && all;
    if (peer.found) compare_in_time(operation, peer);
  }
  return all;
}

/// As compare_posts, where nothing may be thrown. A peer of another host may have finished already.
void Engine::compare_in_time(Operation& operation, const PeerView& peer) {
  if (operation.trouble) return;
  try {
    compare_posts(operation, peer);
    if (operation.request().plan->machines != nullptr) compare_machines(operation, peer);
  } catch (...) {
    operation.trouble = std::current_exception();
    if (peer.is_far) transport_.complain(peer.rank, operation.key, message_of(operation.trouble));
  }
}

/// As count_votes, where carriers can fail the operation too.
Engine::Tally Engine::count_votes_over_hosts(Operation& operation, std::uint64_t own_vote) {
  static_cast<void>(look_for_side(operation, true));
  if (const PeerView* const failed = operation.crossing->failed_peer();
      failed != nullptr && !operation.trouble) {
    const bool withdrawn = transport_.phase(failed->slot) == Phase::Withdrawn;
    operation.trouble = withdrawn ? withdrawn_error(operation, *failed) : lost_error(operation, failed->rank);
  }
  return count_votes(operation, own_vote);
}

Task Engine::agree_over_hosts(Operation& operation) {
  Until near_found(operation.suspension,
                   [&] { return look_for_side(operation, false) || operation.trouble; });
  co_await near_found;
  check_trouble(operation);
  // Whoever withdraws looks for this phase after it said so, and votes are counted after this: one of the two
  // sees the other, and no tensor is read that its owner may free.
  transport_.set_phase(operation.slot, Phase::Running);
  const std::uint64_t own_vote = vote_for(operation, operation.component->hash);
  Tally tally = Tally::Open;
  bool is_ready = false;
  // That all others have voted is no end as long as this rank has not.
  const auto is_over = [](Tally seen) { return seen == Tally::Trouble || seen == Tally::Decided; };
  Until movable(operation.suspension, [&] {
    tally = count_votes_over_hosts(operation, own_vote);
    const bool has_all_posts = std::all_of(operation.peers.begin(), operation.peers.end(),
                                           [](const PeerView& peer) { return peer.found; });
    is_ready = has_all_posts && operation.crossing->is_complete();
    return is_ready || is_over(tally) || operation.crossing->can_advance();
  });
  while (true) {
    co_await movable;
    if (is_over(tally)) settle(operation, tally);  // throws: without the own vote nothing can have started
    if (is_ready) break;
    operation.crossing->advance();
    Yield others(operation.suspension);
    co_await others;
  }
  transport_.set_vote(operation.slot, own_vote);
  show_peers(operation);
  Until decided(operation.suspension, [&] {
    tally = count_votes_over_hosts(operation, own_vote);
    return tally != Tally::Open;
  });
  co_await decided;
  settle(operation, tally);
}

Task Engine::copy_out(Operation& operation) {
  const std::size_t bytes = operation.request().output.bytes();
  for (std::size_t first = 0; first < bytes; first += copy_quantum) {
    operation.crossing->copy_out(first, std::min(copy_quantum, bytes - first));
    Yield others(operation.suspension);
    co_await others;
  }
}

/// Before the host has started to mix; afterwards it is as with slices of one host.
Engine::Need Engine::need_over_hosts(const Operation& operation, const PeerView& peer) const {
  if (operation.crossing->awaits_data_of(peer.rank)) return Need::Data;
  if (peer.is_far) {
    return operation.crossing->awaits_room_at(peer.rank) ? Need::Room : Need::Nothing;
  }
  const std::uint64_t vote = transport_.vote(operation.slot);
  return vote != 0 && transport_.vote(peer.slot) != vote ? Need::Vote : Need::Nothing;
}

}  // namespace bluefog::engine
