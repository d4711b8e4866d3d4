// How operations come on the board of this rank, and when they may go from it.

#include <algorithm>

#include <bluefog/error.hpp>

#include "engine/engine.hpp"

namespace bluefog::engine {

namespace {

/// Whether one of two operations writes what the other reads or writes.
bool conflict(const Operation& a, const Operation& b) {
  return a.written.overlaps(b.written) || a.written.overlaps(b.read) || a.read.overlaps(b.written);
}

}  // namespace

/// @returns false if no slot is free
bool Engine::post(Operation& operation) {
  if (!acquire_slot(operation.slot)) return false;
  refuse_overlap(operation);
  start_clock(operation);
  prepare_crossing(operation);
  try {
    announce(operation);
  } catch (const std::exception& error) {  // no memory; nobody has seen anything yet
    drop_plan(operation, error.what());
    announce(operation);
  }
  posted_through_ = operation.sequence + 1;
  show_peers(operation);
  operation.task = run(operation);
  operation.suspension.set(operation.task.handle(), nullptr, nullptr);
  return true;
}

bool Engine::acquire_slot(SlotRef& slot) {
  if (retired_.size() > tuning_.retired_before_reclaim) {
    reclaim(0);
  } else if (retired_large_ > tuning_.retired_large_to_keep) {
    reclaim(tuning_.retired_large_to_keep);
  }
  if (!transport_.acquire(slot)) {
    reclaim(0);
    if (!transport_.acquire(slot)) {
      forget_oldest_failure();
      if (!transport_.acquire(slot)) return false;
    }
  }
  return true;
}

void Engine::refuse_overlap(Operation& operation) const {
  Request& request = operation.request();
  if (request.local_error) return;
  operation.read = MemoryRange(request.input);
  operation.written = MemoryRange(request.output);
  for (const auto& other : open_) {
    if (!conflict(operation, *other)) continue;
    request.local_error = std::make_exception_ptr(
        InvalidArgument(operation.describe(rank_) + ": its tensors overlap those of " +
                        other->describe(rank_) + ", which is still in flight; wait for that first"));
    return;
  }
}

/// Makes the operation one that fails by itself and needs no memory.
void Engine::drop_plan(Operation& operation, const std::string& why) const {
  Request& request = operation.request();
  if (!request.local_error) {
    request.local_error = std::make_exception_ptr(Error(operation.describe(rank_) + ": " + why));
  }
  request.plan = std::make_shared<Plan>(mixing::MixingRow{});
  operation.crossing.reset();
  operation.component.reset();
  operation.peers.clear();
  operation.produced = 0;
}

void Engine::announce(Operation& operation) {
  fill_post(operation);
  const Request& request = operation.request();
  const Plan& plan = *request.plan;
  const bool publishes_now = operation.post.publishes != 0 && !plan.row.destinations.empty() &&
                             request.input.bytes() <= eager_bytes && request.input.bytes() > 0 &&
                             !request.local_error;
  if (publishes_now) Publication(transport_, operation, tuning_.streaming_threshold).advance();
  if (request.meets && !request.local_error) operation.component = plan.component;
  const bool crosses = operation.crossing != nullptr;
  const bool meets_as_before = operation.component != nullptr && !crosses;
  // NOLINTNEXTLINE(clang-analyzer-core.NullDereference): every request has a group
  const auto& expected = request.local_error ? *request.group  // anybody may be waiting for this call
                         : meets_as_before   ? operation.component->members
                                             : plan.neighbors;
  operation.peers.reserve(expected.size());
  for (const int peer : expected) {
    if (peer != rank_) add_peer(operation, peer);
  }
  const std::uint64_t vote = meets_as_before ? vote_for(operation, operation.component->hash) : 0;
  const std::string text = request.local_error ? message_of(request.local_error) : std::string();
  transport::Announcement announcement{operation.post,     plan.row_words, plan.row.destinations,   vote,
                                       operation.produced, text,           shown_name(request.name)};
  if (crosses) {
    announcement.destinations = {};  // nothing is published for all of them
    announcement.incoming = operation.crossing->expected();
  }
  transport_.publish(operation.slot, announcement);
}

void Engine::add_peer(Operation& operation, int peer) const {
  operation.peers.push_back({peer, false, {}, {}, !transport_.shares_memory(peer)});
}

void Engine::fill_post(Operation& operation) const {
  const Request& request = operation.request();
  Post& post = operation.post;
  post.key = operation.key;
  post.sequence = operation.sequence;
  post.digest = request.digest;
  post.row_hash = request.plan->row_hash;
  const Crossing* const crossing = operation.crossing.get();
  const void* const input = crossing != nullptr ? crossing->input() : request.input.data;
  const void* const output = crossing != nullptr ? crossing->output() : request.output.data;
  post.input_offset = transport_.offset_of(input, request.input.bytes());
  post.output_offset = transport_.offset_of(output, request.output.bytes());
  post.staging_offset = crossing != nullptr ? crossing->staging_offset() : transport::no_offset;
  post.chunk_bytes = tuning_.chunk_bytes;
  const auto extents = request.input.shape.extents();
  std::copy(extents.begin(), extents.end(), post.extents.begin());
  post.dims = static_cast<std::uint16_t>(extents.size());
  post.kind = request.kind;
  post.dtype = request.input.dtype;
  post.meets = request.meets ? 1 : 0;
  post.is_named = request.name.empty() ? 0 : 1;
  post.logs = request.undo_log.value_or(config_.undo_log) ? 1 : 0;
  const auto& destinations = request.plan->row.destinations;
  const bool readable_in_place =
      post.input_offset != transport::no_offset && !operation.in_place() &&
      std::all_of(destinations.begin(), destinations.end(),
                  [this](const auto& destination) { return transport_.shares_memory(destination.rank); });
  post.publishes = !readable_in_place || request.input.bytes() <= eager_bytes ? 1 : 0;
  if (!moves_data(request.kind) || crossing != nullptr) post.publishes = 0;
}

void Engine::retire(Operation& operation) {
  const bool is_large = operation.request().input.bytes() > eager_bytes;
  Retired retired{operation.slot, operation.key, std::move(operation.peers), is_large};
  const auto keep_for = [&](int peer) {
    const bool listed = std::any_of(retired.peers.begin(), retired.peers.end(),
                                    [&](const PeerView& view) { return view.rank == peer; });
    if (peer != rank_ && !listed) {
      retired.peers.push_back({peer, false, {}, {}, !transport_.shares_memory(peer)});
    }
  };
  // Destinations that were not waited for still read what is published here.
  const Request& request = operation.request();
  if (!request.checks_topology) {
    for (const auto& destination : request.plan->row.destinations) keep_for(destination.rank);
  }
  // After a failure anybody of the group may still look for the reason.
  if (transport_.phase(operation.slot) == Phase::Withdrawn) {
    for (const int member : *request.group) keep_for(member);
  }
  retired_.push_back(std::move(retired));
  if (is_large) ++retired_large_;
}

bool Engine::is_forgotten(const Retired& retired, const PeerView& peer) {
  if (is_gone(peer.rank)) return true;
  if (peer.is_far) return transport_.is_settled(peer.rank, retired.slot);
  PeerView view = peer;
  if (!view.found) {
    const auto lookup = transport_.find(view.rank, retired.key, view.slot, view.post);
    if (lookup != transport::Lookup::Found) return lookup == transport::Lookup::Passed;
  }
  if (transport_.oldest_open(view.rank) > view.post.sequence) return true;
  const Phase phase = transport_.phase(view.slot);
  return phase == Phase::Left || phase == Phase::Withdrawn;
}

/// @param kept  so many of the last calls stay, for ranks that name this one by mistake, and will ask
void Engine::reclaim(std::size_t kept) {
  std::size_t left = retired_.size();
  std::erase_if(retired_, [&](const Retired& retired) {
    if (left-- <= kept) return false;
    const bool forgotten = std::all_of(retired.peers.begin(), retired.peers.end(),
                                       [&](const PeerView& peer) { return is_forgotten(retired, peer); });
    if (!forgotten) return false;
    transport_.reclaim(retired.slot, retired.key);
    if (retired.is_large) --retired_large_;
    return true;
  });
}

/// A failed call waits in its slot for peers to read why. Some may never make it; then the oldest gives way,
/// and a peer that comes later learns only that the call has passed.
void Engine::forget_oldest_failure() {
  const auto oldest = std::find_if(retired_.begin(), retired_.end(), [&](const Retired& retired) {
    if (transport_.phase(retired.slot) != Phase::Withdrawn) return false;
    return std::none_of(retired.peers.begin(), retired.peers.end(), [&](PeerView peer) {
      peer.found = peer.found ||
                   transport_.find(peer.rank, retired.key, peer.slot, peer.post) == transport::Lookup::Found;
      return peer.found && transport_.phase(peer.slot) == Phase::Running;  // it reads what was published
    });
  });
  if (oldest == retired_.end()) return;
  transport_.reclaim(oldest->slot, oldest->key);
  if (oldest->is_large) --retired_large_;
  retired_.erase(oldest);
}

/// Around the circle of ranks from the own one on, lest all send to the same peer first.
void Engine::show_peers(const Operation& operation) {
  const auto& peers = operation.peers;
  const auto next =
      std::find_if(peers.begin(), peers.end(), [this](const PeerView& peer) { return peer.rank > rank_; });
  for (auto at = next; at != peers.end(); ++at) transport_.show(at->rank, operation.slot);
  for (auto at = peers.begin(); at != next; ++at) {
    if (at->rank != rank_) transport_.show(at->rank, operation.slot);
  }
}

}  // namespace bluefog::engine
