#pragma once
/// @file accounts.hpp  The counters behind Context::stats().

#include <array>
#include <vector>

#include <bluefog/stats.hpp>

#include "engine/operation.hpp"

namespace bluefog::engine {

/// Plain counters, under the engine's lock. Room for the peers that are met, not for all of the job.
class Accounts {
 public:
  [[nodiscard]] PeerStats& of_peer(int rank);
  [[nodiscard]] OperationStats& of_kind(OperationKind kind) { return kinds_[static_cast<std::size_t>(kind)]; }
  /// What the accounts hold; the rest of the Stats is empty.
  [[nodiscard]] Stats snapshot() const;

 private:
  std::vector<PeerStats> peers_;  ///< ascending
  std::array<OperationStats, transport::operation_kinds> kinds_;
};

}  // namespace bluefog::engine
