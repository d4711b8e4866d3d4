// What operations wait for, told to people: warnings about slow peers, and the end of a user's patience.

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>
#include <utility>

#include <bluefog/error.hpp>

#include "base/log.hpp"
#include "engine/engine.hpp"
#include "engine/errand.hpp"

namespace bluefog::engine {

namespace {

constexpr std::size_t most_listed = 8;
/// The lock is held for moments only, unless something is wrong.
constexpr base::Duration patience_with_a_pass = std::chrono::seconds(2);

/// "a, b and 3 more".
std::string join(const std::vector<std::string>& texts) {
  std::string text;
  for (std::size_t i = 0; i < std::min(texts.size(), most_listed); ++i)
    text += (i > 0 ? ", " : "") + texts[i];
  if (texts.size() > most_listed) text += " and " + std::to_string(texts.size() - most_listed) + " more";
  return text;
}

std::string describe(const transport::PendingCall& call, const Operation& seen_from) {
  const Post& post = call.post;
  const bool looks_alike =
      post.kind == seen_from.post.kind && shown_name(seen_from.request().name) == call.name;
  const bool is_other = looks_alike && post.key.stream != seen_from.key.stream;
  return describe_call(post.kind, call.name, post.key) + (is_other ? " of another group" : "");
}

/// Whether a rank's input goes through chunks.
bool is_published(const Post& post, bool mixes_by_slices) {
  return !mixes_by_slices && (post.publishes != 0 || (post.meets != 0 && reduces(post.kind)));
}

}  // namespace

/// What an operation needs of a peer before it can go on.
Engine::Need Engine::need_of(const Operation& operation, const PeerView& peer) const {
  if (!peer.found) return Need::Call;
  const Phase own = transport_.phase(operation.slot);
  Need need = Need::Nothing;
  if (operation.crossing != nullptr && !operation.has_started) {
    need = need_over_hosts(operation, peer);
  } else if (own == Phase::Posted) {
    const bool votes = operation.post.meets != 0 && !peer.is_far;
    const std::uint64_t vote = votes ? transport_.vote(operation.slot) : 0;
    if (vote != 0 && transport_.vote(peer.slot) != vote) need = Need::Vote;
  } else {
    need = need_of_movement(operation, peer, own);
  }
  if (need == Need::Nothing) return need;
  return transport_.phase(peer.slot) >= Phase::Done || is_gone(peer.rank) ? Need::Nothing : need;
}

Engine::Need Engine::need_of_movement(const Operation& operation, const PeerView& peer, Phase own) const {
  if (operation.crossing != nullptr && peer.is_far) return Need::Nothing;
  const mixing::MixingRow& row = operation.request().plan->row;
  const bool by_slices = operation.goes_by_slices;
  const bool is_destination = row.destination(peer.rank) != nullptr;
  const bool publishes = is_published(operation.post, by_slices);
  if (own != Phase::Running) return by_slices || (is_destination && !publishes) ? Need::End : Need::Nothing;
  const bool is_source = row.source(peer.rank) != nullptr && is_published(peer.post, by_slices);
  const std::uint64_t taken = operation.consumed;
  if (is_source && taken < chunks_of(peer.post) && transport_.produced(peer.slot) <= taken) return Need::Data;
  const std::uint64_t depth = transport_.chunk_ring(operation.slot).size() / operation.post.chunk_bytes;
  const bool has_more = is_destination && publishes && operation.produced < chunks_of(operation.post);
  return has_more && transport_.consumed(peer.slot) + depth <= operation.produced ? Need::Room
                                                                                  : Need::Nothing;
}

/// What is missing, and of whom.
std::string Engine::describe_wait(const Operation& operation) const {
  constexpr std::array<std::pair<Need, const char*>, 5> needs{{
      {Need::Call, "; these ranks have not made the call: "},
      {Need::Vote, "; these ranks have made the call, but wait for others in it: "},
      {Need::Data, "; these ranks have not sent all their data: "},
      {Need::Room, "; these ranks have not taken all data of this rank: "},
      {Need::End, "; these ranks have not finished their part: "},
  }};
  std::string text;
  for (const auto& [need, intro] : needs) {
    std::vector<std::string> ranks;
    for (const PeerView& peer : operation.peers) {
      if (need_of(operation, peer) == need) ranks.push_back(std::to_string(peer.rank));
    }
    if (!ranks.empty()) text += intro + join(ranks);
  }
  return text.empty() ? "; nothing that this rank can see is missing" : text;
}

/// What this rank, and those that it waits for, are in the middle of.
std::string Engine::describe_pending(const Operation& operation) {
  std::vector<int> ranks{rank_};
  for (const PeerView& peer : operation.peers) {
    if (need_of(operation, peer) != Need::Nothing) ranks.push_back(peer.rank);
  }
  std::string text = "In flight";
  for (std::size_t i = 0; i < std::min(ranks.size(), most_listed); ++i) {
    std::vector<std::string> calls;
    for (const auto& call : transport_.pending(ranks[i])) calls.push_back(describe(call, operation));
    text += (i > 0 ? "; on " : " on ") + rank_text(ranks[i]);
    if (ranks[i] != rank_ && !transport_.shares_memory(ranks[i])) text += ", as far as it has told";
    text += ": " + (calls.empty() ? "nothing" : join(calls));
  }
  return text;
}

std::string Engine::elapsed(const Operation& operation) const {
  const auto seconds = std::chrono::duration<double>(clock().now() - operation.started).count();
  return std::to_string(seconds).substr(0, std::to_string(seconds).find('.') + 2) + " s";
}

/// From now on it may warn, and take as long as is configured.
void Engine::start_clock(Operation& operation) const {
  operation.started = clock().now();
  operation.next_warning = operation.started + config_.stall_warning;
}

void Engine::check_time(base::TimePoint now) {
  check_time_of_next(now);
  for (const auto& operation : open_) {
    check_time(*operation, now,
               ". Every rank must make every call on its group; raise BLUEFOG_OP_TIMEOUT if this is meant");
  }
  for (const auto& operation : errands_) {
    if (!operation->request().errand->is_service()) {
      check_time(*operation, now, "; raise BLUEFOG_OP_TIMEOUT if this is meant");
    }
  }
}

void Engine::check_time(Operation& operation, base::TimePoint now, const char* way_out) {
  const bool is_overdue = now >= operation.started + config_.op_timeout;
  if (operation.trouble || (!is_overdue && now < operation.next_warning)) return;
  const std::string state =
      operation.describe(rank_) + " has waited " + elapsed(operation) + describe_state(operation);
  if (is_overdue) {
    operation.trouble = std::make_exception_ptr(Timeout(state + way_out));
    return;
  }
  log::warning(state);
  operation.next_warning = now + config_.stall_warning;
}

std::string Engine::describe_state(const Operation& operation) {
  if (const auto& errand = operation.request().errand) return errand->describe_wait();
  if (operation.request().ready != nullptr) return "; its tensor is not ready yet, and others wait behind it";
  return describe_wait(operation) + ". " + describe_pending(operation);
}

/// Under both locks: of those submitted.
std::string Engine::why_none_begins() {
  if (waits_for_word()) return describe_state(*incoming_.front());
  return lacks_slot_ ? ": too many are in flight" : ": it was called just now";
}

void Engine::report() {
  std::unique_lock lock(mutex_, std::try_to_lock);
  for (const auto until = clock().now() + patience_with_a_pass; !lock.owns_lock();) {
    if (clock().now() >= until) {
      return log::report(rank_text(rank_) + ": a thread is moving data all the time, or hangs while it does");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    static_cast<void>(lock.try_lock());
  }
  const std::lock_guard submitting(submit_mutex_);
  for (const auto& operation : open_) {
    log::report(operation->describe(rank_) + " has been in flight for " + elapsed(*operation) +
                describe_state(*operation));
  }
  for (const auto& operation : errands_) {
    if (operation->request().errand->is_service()) continue;
    log::report(operation->describe(rank_) + " has been in flight for " + elapsed(*operation) +
                describe_state(*operation));
  }
  for (const auto& operation : incoming_) {
    log::report(operation->describe(rank_) + " waits for its turn" + why_none_begins());
  }
  if (open_.empty() && incoming_.empty()) {
    log::report(rank_text(rank_) +
                ": no operation is in flight; calls made so far: " + std::to_string(next_sequence_));
  }
}

}  // namespace bluefog::engine
