#include "engine/accounts.hpp"

#include <algorithm>

#include "engine/engine.hpp"
#include "engine/errand.hpp"

namespace bluefog::engine {

PeerStats& Accounts::of(std::vector<PeerStats>& peers, int rank) {
  auto at = std::lower_bound(peers.begin(), peers.end(), rank,
                             [](const PeerStats& peer, int wanted) { return peer.rank < wanted; });
  if (at == peers.end() || at->rank != rank) {
    at = peers.insert(at, PeerStats{});
    at->rank = rank;
  }
  return *at;
}

Stats Accounts::snapshot() const {
  Stats stats;
  stats.peers = peers_;
  for (std::size_t kind = 0; kind < kinds_.size(); ++kind) {
    if (kinds_[kind].count == 0) continue;
    stats.operations.emplace(name_of(static_cast<OperationKind>(kind)), kinds_[kind]);
  }
  const std::lock_guard lock(errands_mutex_);
  for (const auto& [name, errand] : errands_) stats.operations.emplace(name, errand);
  for (const auto& [rank, traffic] : errand_peers_) {
    PeerStats& peer = of(stats.peers, rank);
    peer.operations += traffic.operations;
    peer.bytes_sent += traffic.bytes_sent;
    peer.bytes_received += traffic.bytes_received;
    peer.waited += traffic.waited;
  }
  return stats;
}

void Accounts::add_errand(const Errand& errand, base::Duration time, bool has_failed) {
  const std::lock_guard lock(errands_mutex_);
  auto at = errands_.find(errand.name());
  if (at == errands_.end()) at = errands_.emplace(errand.name(), OperationStats{}).first;
  ++at->second.count;
  at->second.failed += has_failed ? 1 : 0;
  at->second.bytes += errand.bytes();
  at->second.time += time;
  errand.for_each_peer([this](int rank, std::size_t sent, std::size_t received) {
    PeerStats& peer = errand_peers_[rank];
    ++peer.operations;
    peer.bytes_sent += sent;
    peer.bytes_received += received;
  });
}

void Accounts::add_errand_wait(int rank, base::Duration time) {
  const std::lock_guard lock(errands_mutex_);
  errand_peers_[rank].waited += time;
}

/// After a look that found an operation unable to go on.
void Engine::note_wait(Operation& operation) {
  // Of very many peers, not every look need see which of them are missing still.
  constexpr std::size_t peers_per_look = 64;
  if (operation.looks_in_vain++ % (1 + operation.peers.size() / peers_per_look) != 0) return;
  base::TimePoint now{};
  for (PeerView& peer : operation.peers) {
    const bool is_missing = need_of(operation, peer) != Need::Nothing;
    const bool was_missing = peer.missing_since != base::TimePoint{};
    if (is_missing == was_missing) continue;
    if (now == base::TimePoint{}) now = clock().now();
    if (was_missing) accounts_.of_peer(peer.rank).waited += now - peer.missing_since;
    peer.missing_since = is_missing ? now : base::TimePoint{};
  }
}

void Engine::end_wait(Operation& operation) {
  operation.looks_in_vain = 0;
  base::TimePoint now{};
  for (PeerView& peer : operation.peers) {
    if (peer.missing_since == base::TimePoint{}) continue;
    if (now == base::TimePoint{}) now = clock().now();
    accounts_.of_peer(peer.rank).waited += now - peer.missing_since;
    peer.missing_since = base::TimePoint{};
  }
}

/// At the end of an operation.
void Engine::account(const Operation& operation, bool has_failed) {
  const Request& request = operation.request();
  OperationStats& kind = accounts_.of_kind(request.kind);
  ++kind.count;
  kind.failed += has_failed ? 1 : 0;
  kind.time += clock().now() - operation.started;
  for (const PeerView& peer : operation.peers) {
    if (peer.found) ++accounts_.of_peer(peer.rank).operations;
  }
  if (!moves_data(request.kind)) return;
  kind.bytes += request.input.bytes();
  if (operation.crossing != nullptr) account_crossing(operation);
  if (operation.goes_by_slices || operation.crossing != nullptr)
    return has_failed ? void() : account_slices(operation);
  const mixing::MixingRow& row = request.plan->row;
  for (const PeerView& peer : operation.peers) {
    if (!peer.found || row.source(peer.rank) == nullptr) continue;
    const std::size_t bytes = bytes_of(peer.post);
    const std::size_t taken = operation.consumed * peer.post.chunk_bytes;
    accounts_.of_peer(peer.rank).bytes_received += std::min(bytes, taken);
  }
  // What is read in place has been read when the operation has ended well.
  const bool is_read_in_place = operation.produced == 0 && !has_failed;
  const std::size_t given = operation.produced * operation.post.chunk_bytes;
  for (const auto& destination : row.destinations) {
    accounts_.of_peer(destination.rank).bytes_sent +=
        is_read_in_place ? request.input.bytes() : std::min(request.input.bytes(), given);
  }
}

void Engine::account_slices(const Operation& operation) {
  const Component& component = *operation.component;
  const MachineStep* const machines = operation.request().plan->machines.get();
  const std::size_t element = size_of(operation.request().input.dtype);
  const std::size_t count = operation.request().input.count();
  const auto slice = machines != nullptr ? machines->map->slice_of(rank_, count, element)
                                         : mixing::slice_of(count, element, component.members.size(),
                                                            component.index_of(rank_));
  const std::size_t bytes = (slice.last - slice.first) * element;
  for (const PeerView& peer : operation.peers) {
    if (peer.is_far) continue;
    if (machines != nullptr && machines->map->machine_of(peer.rank) != machines->map->machine_of(rank_))
      continue;
    PeerStats& stats = accounts_.of_peer(peer.rank);
    stats.bytes_received += bytes;
    stats.bytes_sent += bytes;
  }
}

void Engine::account_crossing(const Operation& operation) {
  operation.crossing->for_each_peer([this](int peer, std::size_t sent, std::size_t received) {
    PeerStats& stats = accounts_.of_peer(peer);
    stats.bytes_sent += sent;
    stats.bytes_received += received;
  });
}

Stats Engine::stats() {
  require_home();
  Stats stats;
  {
    const std::lock_guard lock(mutex_);
    stats = accounts_.snapshot();
    const std::lock_guard submitting(submit_mutex_);
    const auto is_errand_in_flight = [](const auto& operation) {
      return !operation->request().errand->is_service();
    };
    stats.in_flight = open_.size() + incoming_.size() +
                      static_cast<std::size_t>(std::ranges::count_if(errands_, is_errand_in_flight)) +
                      static_cast<std::size_t>(std::ranges::count_if(incoming_errands_, is_errand_in_flight));
  }
  for (PeerStats& peer : stats.peers) peer.path = transport_.path_to(peer.rank);
  stats.memory = transport_.memory();
  return stats;
}

}  // namespace bluefog::engine
