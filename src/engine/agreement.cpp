// Does this operation happen? Between neighbours each edge is agreed on by its two ends. Where a component
// meets, it happens for all of its members or for none: they vote on what they see, and one word decides.

#include <algorithm>

#include <bluefog/error.hpp>

#include "base/hash.hpp"
#include "engine/engine.hpp"

namespace bluefog::engine {

namespace {

bool has_found_all(const Operation& operation) {
  return std::all_of(operation.peers.begin(), operation.peers.end(),
                     [](const PeerView& peer) { return peer.found; });
}

}  // namespace

Engine::Sight Engine::sight(const Operation& operation, PeerView& peer) const {
  if (peer.found) return Sight::Found;
  const bool was_gone = is_gone(peer.rank);  // before the look: it may post and go in between
  const transport::Lookup lookup = transport_.find(peer.rank, operation.key, peer.slot, peer.post);
  peer.found = lookup == transport::Lookup::Found;
  if (peer.found) return Sight::Found;
  if (lookup == transport::Lookup::Passed) return Sight::Passed;
  return was_gone ? Sight::Gone : Sight::MayCome;
}

/// @returns whether the peer's post was found, or there is trouble with it
bool Engine::look_for(Operation& operation, PeerView& peer) {
  switch (sight(operation, peer)) {
    case Sight::Found:
      break;
    case Sight::Passed:
      if (!operation.trouble) operation.trouble = passed_error(operation, peer.rank);
      return true;
    case Sight::Gone:
      if (!operation.trouble) operation.trouble = lost_error(operation, peer.rank);
      return true;
    case Sight::MayCome:
      return false;
  }
  if (transport_.phase(peer.slot) == Phase::Withdrawn && !has_enough_of(operation, peer) &&
      !operation.trouble) {
    operation.trouble = withdrawn_error(operation, peer);
  }
  return true;
}

/// The peer has made the call, and is through with it: it has not waited for this rank.
std::exception_ptr Engine::passed_error(const Operation& operation, int peer) {
  const std::string text = operation.describe(rank_) + ": " + rank_text(peer) +
                           " has made this call without naming " + rank_text(rank_) +
                           " as its neighbour, but " + rank_text(rank_) +
                           " names it; give both ends of an edge on both ranks, unless " + rank_text(peer) +
                           " has failed earlier: then see its first error";
  transport_.complain(peer, operation.key, text);
  return std::make_exception_ptr(Mismatch(text));
}

bool Engine::look_for_all(Operation& operation) {
  bool all = true;
  for (PeerView& peer : operation.peers) {
    all = look_for(operation, peer) && all;
    if (operation.trouble) return true;
  }
  return all;
}

std::shared_ptr<const mixing::MixingRow> Engine::row_of(const PeerView& peer) {
  constexpr std::size_t remembered_rows = 8192;
  if (const auto known = rows_.find(peer.post.row_hash); known != rows_.end()) return known->second;
  const auto words = transport_.row(peer.slot, peer.post);
  if (words.empty()) return nullptr;
  auto row = std::make_shared<const mixing::MixingRow>(mixing::decode(words));
  if (rows_.size() >= remembered_rows) rows_.clear();
  rows_.emplace(peer.post.row_hash, row);
  return row;
}

/// The own row with the factors that its sources gave; remembered while those stay the same.
const mixing::ResolvedRow& Engine::resolve_row(Operation& operation) {
  Plan& plan = *operation.request().plan;
  if (operation.component != nullptr && !operation.component->spans_hosts) {
    return operation.component->rows[operation.component->index_of(rank_)];
  }
  std::vector<std::uint64_t> hashes;
  for (const PeerView& peer : operation.peers) hashes.push_back(peer.post.row_hash);
  if (plan.resolved == nullptr || plan.resolved_for != hashes) {
    plan.resolved = std::make_shared<const mixing::ResolvedRow>(mixing::resolve(plan.row, [&](int source) {
      return row_of(*operation.find_peer(source))->destination(rank_)->weight;
    }));
    plan.resolved_for = std::move(hashes);
  }
  operation.resolved = plan.resolved;
  return *operation.resolved;
}

Task Engine::agree_with_neighbors(Operation& operation) {
  const Request& request = operation.request();
  if (!request.checks_topology && operation.produced > 0) {
    // All that the destinations need is published; nothing is to be waited for.
    std::erase_if(operation.peers,
                  [&](const PeerView& peer) { return request.plan->row.source(peer.rank) == nullptr; });
  }
  Until all_found(operation.suspension, [&] { return look_for_all(operation) || operation.trouble; });
  co_await all_found;
  check_trouble(operation);
  for (const PeerView& peer : operation.peers) {
    compare_posts(operation, peer);
    check_edges(operation, peer);
  }
  transport_.set_phase(operation.slot, Phase::Running);
  // A source that withdraws looks for this phase after it said so: one of the two sees the other.
  for (const PeerView& peer : operation.peers) {
    if (transport_.phase(peer.slot) == Phase::Withdrawn && !has_enough_of(operation, peer)) {
      std::rethrow_exception(withdrawn_error(operation, peer));
    }
  }
}

std::uint64_t Engine::vote_for(const Operation& operation, std::uint64_t component) const {
  const Post& post = operation.post;
  std::uint64_t vote = base::hash_combine(component, post.digest);
  vote = base::hash_combine(vote, static_cast<std::uint64_t>(post.kind) << 16 |
                                      static_cast<std::uint64_t>(post.dtype) << 8 | post.dims);
  vote = base::hash_combine(vote, post.chunk_bytes);
  for (std::size_t dim = gathers(post.kind) ? 1 : 0; dim < post.dims; ++dim) {
    vote = base::hash_combine(vote, static_cast<std::uint64_t>(post.extents[dim]));
  }
  return vote | 1;  // 0 means: not voted
}

void Engine::remember_component(Operation& operation, const mixing::Closure& closure, Rows rows) {
  Plan& plan = *operation.request().plan;
  auto component = std::make_shared<Component>();
  component->members = closure.members;
  component->inputs = closure.members;
  component->spans_hosts = closure.has_far_edges;
  rows[rank_] = std::shared_ptr<const mixing::MixingRow>(operation.request().plan, &plan.row);
  for (const int member : closure.members) {
    const auto& row = rows.at(member);
    component->row_hashes.push_back(row->hash());
    if (!component->spans_hosts) {
      component->rows.push_back(
          mixing::resolve(*row, [&](int source) { return rows.at(source)->destination(member)->weight; }));
    }
    component->hash = base::hash_combine(component->hash, static_cast<std::uint64_t>(member));
    component->hash = base::hash_combine(component->hash, component->row_hashes.back());
  }
  if (!component->spans_hosts) plan.component = component;
  operation.component = std::move(component);
}

Engine::Memory Engine::compare_with_memory(Operation& operation) {
  const Component& component = *operation.component;
  bool knows_all = true;
  bool has_withdrawn = false;
  for (PeerView& peer : operation.peers) {
    const Sight seen = sight(operation, peer);
    if (seen == Sight::Passed || seen == Sight::Gone) return Memory::Differs;
    if (seen == Sight::MayCome) {
      knows_all = false;
    } else if (peer.post.row_hash != component.row_hashes[component.index_of(peer.rank)]) {
      return Memory::Differs;
    } else {
      has_withdrawn |= transport_.phase(peer.slot) == Phase::Withdrawn;
    }
  }
  if (knows_all) return Memory::Fits;
  return has_withdrawn ? Memory::Differs : Memory::Open;
}

/// Waits until it is known whether the component of the last time meets again. If so all of its members have
/// voted, this rank too. Else this rank has taken its vote back, and the edges of its neighbours lead to the
/// others anew: who was met the last time need have nothing to do with this call.
Task Engine::recognize_component(Operation& operation) {
  Memory memory = Memory::Open;
  Until known(operation.suspension, [&] {
    memory = compare_with_memory(operation);
    return memory != Memory::Open || operation.trouble;
  });
  co_await known;
  if (memory == Memory::Fits) co_return;
  // Nobody starts who has not found all members. Whoever finds the last one from now on sees that this vote
  // is gone; or this rank finds it too.
  transport_.set_vote(operation.slot, 0);
  if (compare_with_memory(operation) == Memory::Fits) {
    transport_.set_vote(operation.slot, vote_for(operation, operation.component->hash));
    show_peers(operation);
    co_return;
  }
  check_trouble(operation);
  const std::vector<int>& neighbors = operation.request().plan->neighbors;
  std::erase_if(operation.peers, [&](const PeerView& peer) {
    return !std::binary_search(neighbors.begin(), neighbors.end(), peer.rank);
  });
  for (PeerView& peer : operation.peers)
    peer.found = false;  // looked for anew, in case that it has withdrawn
  operation.component.reset();
}

/// Follows the edges both ways until every member's post is known. Sources alone are not enough: members
/// would disagree about their component.
Task Engine::close_component(Operation& operation) {
  const mixing::MixingRow& own = operation.request().plan->row;
  Rows rows;
  while (true) {
    for (PeerView& peer : operation.peers) {
      if (!peer.found) continue;
      compare_posts(operation, peer);
      if (peer.is_far) {
        check_edges(operation, peer);
      } else if (const auto row = row_of(peer)) {
        rows[peer.rank] = row;
      } else {
        peer.found = false;  // it is through with the call; whether that matters, the edges tell
      }
    }
    const mixing::Closure closure = mixing::close_component(
        own,
        [&](int rank) -> const mixing::MixingRow* {
          const auto known = rows.find(rank);
          return known == rows.end() ? nullptr : known->second.get();
        },
        [this](int rank) { return transport_.shares_memory(rank); });
    if (!closure.one_sided.empty()) {
      const auto& edge = closure.one_sided.front();
      const std::string text = operation.describe(rank_) + ": " + describe_edge(edge);
      const int unaware = edge.sender_knows ? edge.receiver : edge.sender;
      if (unaware != rank_) transport_.complain(unaware, operation.key, text);
      throw Mismatch(text);
    }
    std::erase_if(operation.peers, [&](const PeerView& peer) {
      return !peer.is_far && !std::binary_search(closure.members.begin(), closure.members.end(), peer.rank);
    });
    for (const int member : closure.members) {
      if (member == rank_ || operation.find_peer(member) != nullptr) continue;
      add_peer(operation, member);
      transport_.show(
          member, operation.slot);  // it may wait for this post, which was shown to direct neighbours only
    }
    std::sort(operation.peers.begin(), operation.peers.end(),
              [](const PeerView& a, const PeerView& b) { return a.rank < b.rank; });
    if (closure.unknown.empty() && has_found_all(operation)) {
      remember_component(operation, closure, std::move(rows));
      co_return;
    }
    Until one_more(operation.suspension, [&] {
      bool found = false;
      for (PeerView& peer : operation.peers) {
        const bool was_found = peer.found;
        found = (look_for(operation, peer) && !was_found) || found;
      }
      return found || operation.trouble;
    });
    co_await one_more;
    check_trouble(operation);
  }
}

Engine::Tally Engine::count_votes(Operation& operation, std::uint64_t own_vote) {
  if (const SlotRef* slot = decision_slot(operation);
      slot != nullptr && transport_.decision(*slot).state != transport::Decision::State::Open) {
    return Tally::Decided;
  }
  if (operation.trouble) return Tally::Trouble;
  bool unanimous = true;
  for (const PeerView& peer : operation.peers) {
    if (peer.is_far) continue;
    const bool was_gone = is_gone(peer.rank);
    const bool has_withdrawn = transport_.phase(peer.slot) == Phase::Withdrawn;
    const std::uint64_t vote = transport_.vote(peer.slot);
    if (vote == own_vote && !has_withdrawn) continue;
    unanimous = false;
    if (has_withdrawn) {
      operation.trouble = withdrawn_error(operation, peer);
    } else if (was_gone) {  // also with a vote that fits no more: it will not vote anew
      operation.trouble = lost_error(operation, peer.rank);
    } else if (vote != 0 || peer.post.meets == 0) {
      try {
        compare_posts(operation, peer);  // else it has not seen the present rows yet, and will vote anew
      } catch (...) {
        operation.trouble = std::current_exception();
      }
    }
    if (operation.trouble) return Tally::Trouble;
  }
  return unanimous ? Tally::Unanimous : Tally::Open;
}

namespace {

std::vector<PeerView>::iterator lowest_near_peer(Operation& operation) {
  return std::find_if(operation.peers.begin(), operation.peers.end(),
                      [](const PeerView& peer) { return !peer.is_far; });
}

}  // namespace

/// The slot of the component's lowest member.
const SlotRef* Engine::decision_slot(Operation& operation) {
  const auto lowest = lowest_near_peer(operation);
  if (lowest == operation.peers.end() || lowest->rank > rank_) return &operation.slot;
  return lowest->found ? &lowest->slot : nullptr;
}

/// Moves the decision as far as the tally allows. Throws unless the meeting has started.
void Engine::settle(Operation& operation, Tally tally) {
  using State = transport::Decision::State;
  const SlotRef& slot = *decision_slot(operation);
  transport::Decision decision = transport_.decision(slot);
  if (tally == Tally::Unanimous) {
    decision = transport_.decide(slot, {State::Started, -1});
  } else if (tally == Tally::Trouble) {
    transport_.set_reason(operation.slot, reason_of(operation.trouble));
    decision = transport_.decide(slot, {State::Aborted, rank_});
  }
  show_peers(operation);
  if (decision.state == State::Started) {
    operation.has_started = true;
    operation.trouble = nullptr;  // too late to give up
    return;
  }
  check_trouble(operation);
  for (const PeerView& peer : operation.peers) {
    if (peer.rank == decision.aborted_by) std::rethrow_exception(withdrawn_error(operation, peer));
  }
  throw Mismatch(operation.describe(rank_) + ": rank " + std::to_string(decision.aborted_by) +
                 " gave up this operation");
}

Task Engine::agree_as_component(Operation& operation) {
  if (operation.component != nullptr) {
    Task recognition = recognize_component(operation);
    co_await recognition;
  }
  if (operation.component == nullptr) {
    Task closing = close_component(operation);
    co_await closing;
    transport_.set_vote(operation.slot, vote_for(operation, operation.component->hash));
    show_peers(operation);
  }
  const std::uint64_t own_vote = vote_for(operation, operation.component->hash);
  Tally tally = Tally::Open;
  Until decided(operation.suspension, [&] {
    tally = count_votes(operation, own_vote);
    return tally != Tally::Open;
  });
  co_await decided;
  settle(operation, tally);
}

}  // namespace bluefog::engine
