#pragma once
/// @file accounts.hpp  The counters behind Context::stats().

#include <array>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include <bluefog/stats.hpp>

#include "engine/operation.hpp"

namespace bluefog::engine {

/// Plain counters, under the engine's lock; those of errands under their own, for these need not pass it.
/// Room for the peers that are met, not for all of the job.
class Accounts {
 public:
  [[nodiscard]] PeerStats& of_peer(int rank) { return of(peers_, rank); }
  [[nodiscard]] OperationStats& of_kind(OperationKind kind) { return kinds_[static_cast<std::size_t>(kind)]; }
  void add_errand(const Errand& errand, base::Duration time, bool has_failed);
  void add_errand_wait(int rank, base::Duration time);
  /// What the accounts hold; the rest of the Stats is empty.
  [[nodiscard]] Stats snapshot() const;

 private:
  [[nodiscard]] static PeerStats& of(std::vector<PeerStats>& peers, int rank);
  std::vector<PeerStats> peers_;  ///< ascending
  std::array<OperationStats, transport::operation_kinds> kinds_;

  mutable std::mutex errands_mutex_;
  std::map<std::string, OperationStats, std::less<>> errands_;  ///< by name
  std::map<int, PeerStats> errand_peers_;
};

}  // namespace bluefog::engine
