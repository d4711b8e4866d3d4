// When an operation cannot happen, or not any more: what this rank throws, and what it tells its peers.

#include <algorithm>

#include <bluefog/error.hpp>

#include "engine/engine.hpp"

namespace bluefog::engine {

namespace {

constexpr const char* gave_up = " gave up this operation: ";

/// Of ranks that gave up one because of the other, the part about the first: texts have a longest length.
std::string first_cause(const std::string& text) {
  const std::size_t last = text.rfind(gave_up);
  const std::size_t before = text.rfind(": ", last);
  return before == std::string::npos || last == std::string::npos ? text : text.substr(before + 2);
}

}  // namespace

bool Engine::is_gone(int peer) const {
  return transport_.state(peer) != transport::PeerState::Alive;
}

std::exception_ptr Engine::lost_error(const Operation& operation, int lost) const {
  return lost_error(operation, lost, rank_);
}

/// @param witness  who knows it: this rank, or one that has given up for this reason
std::exception_ptr Engine::lost_error(const Operation& operation, int lost, int witness) const {
  const auto state = transport_.state(lost);
  const PeerView* const peer = operation.find_peer(lost);
  std::string text = operation.describe(rank_) + " after " + elapsed(operation) + ": " + rank_text(lost);
  if (state == transport::PeerState::Left) {
    text += " has left the job (it called shutdown, or its program ended)";
  } else {
    const std::string why = transport_.why_lost(lost);
    text += !why.empty() ? " is lost (" + why + ")"
            : transport_.shares_memory(lost)
                ? " has died"
                : " is lost (its connection broke, or it gave no sign of life in time)";
  }
  if (peer != nullptr) text += peer->found ? " in the middle of it" : " without making this call";
  if (witness != rank_) text += ", as " + rank_text(witness) + " reports";
  return std::make_exception_ptr(PeerLost(text + "; restart the job, or leave this rank out", lost));
}

std::exception_ptr Engine::withdrawn_error(const Operation& operation, const PeerView& peer) const {
  const transport::Reason reason = transport_.reason(peer.slot);
  if (reason.lost >= 0) return lost_error(operation, reason.lost, peer.rank);
  const std::string text = rank_text(peer.rank) + gave_up + reason.text;
  return std::make_exception_ptr(Mismatch(operation.describe(rank_) + ": " + first_cause(text)));
}

/// Whether this rank needs nothing more of a peer that gave up: because a third was lost, which need not
/// concern this rank.
bool Engine::has_enough_of(const Operation& operation, const PeerView& peer) const {
  if (operation.post.meets != 0 || transport_.reason(peer.slot).lost < 0) return false;
  if (operation.request().plan->row.source(peer.rank) == nullptr) return true;
  return peer.post.publishes != 0 && transport_.produced(peer.slot) >= chunks_of(peer.post);
}

/// This rank fails because another was lost. Destinations that are in the middle of the operation, and did
/// not need that one, still get their chunks. This goes on until none of them needs any, or there is new
/// trouble: the caller's patience ends, for one.
Task Engine::serve(Operation& operation) {
  Publication own(transport_, operation, tuning_.streaming_threshold);
  if (!own.is_awaited()) co_return;
  // What there was is what this rank throws.
  operation.trouble = nullptr;
  transport_.set_phase(operation.slot, Phase::Done);  // it needs nothing more itself
  while (own.is_awaited() && !operation.trouble) {
    if (own.can_advance()) {
      own.advance();
      transport_.set_produced(operation.slot, operation.produced);
    }
    show_peers(operation);
    Until movable(operation.suspension,
                  [&] { return own.can_advance() || !own.is_awaited() || operation.trouble; });
    co_await movable;
    Yield others(operation.suspension);
    co_await others;
  }
}

Task Engine::withdraw(Operation& operation, std::exception_ptr error) {
  transport_.set_reason(operation.slot, reason_of(error));
  transport_.set_phase(operation.slot, Phase::Withdrawn);
  show_peers(operation);
  if (operation.post.publishes != 0 || operation.request().local_error) co_return;
  // Readers of the tensor itself must have let go of it before its owner may.
  const auto& row = operation.request().plan->row;
  const auto may_read = [&](const PeerView& peer) {
    return operation.crossing != nullptr || row.destination(peer.rank) != nullptr;
  };
  Until let_go(operation.suspension, [&] {
    return std::all_of(operation.peers.begin(), operation.peers.end(), [&](PeerView& peer) {
      if (!may_read(peer) || peer.is_far || is_gone(peer.rank)) return true;
      if (!peer.found) {
        peer.found =
            transport_.find(peer.rank, operation.key, peer.slot, peer.post) == transport::Lookup::Found;
      }
      return !peer.found || transport_.phase(peer.slot) != Phase::Running;
    });
  });
  co_await let_go;
}

}  // namespace bluefog::engine
