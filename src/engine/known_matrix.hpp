#pragma once
/// @file known_matrix.hpp  A mixing matrix that all ranks of a group know: of a round of a schedule, or of
/// the topology. Only of those can tensors cross between hosts in slices, for all ranks of a host must see
/// alike.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <bluefog/topology.hpp>

#include "engine/operation.hpp"
#include "mixing/host_plan.hpp"
#include "mixing/row.hpp"

namespace bluefog::engine {

struct KnownMatrix {
  std::shared_ptr<const Topology> topology;       ///< over positions in the group
  std::shared_ptr<const std::vector<int>> ranks;  ///< of the group, in its order
  mixing::RowForm form = mixing::RowForm::Uniform;
  bool weighted = false;  ///< the topology's weights count; else all are equal
  std::string name;       ///< for people

  [[nodiscard]] mixing::MixingRow row_of(int rank) const;
  /// Of all rows; never 0.
  [[nodiscard]] std::uint64_t digest() const;
};

/// The part of `rank`: over hosts where tensors must cross between hosts of which any holds several members
/// of the group; else as without hosts.
[[nodiscard]] Plan plan_over_hosts(const KnownMatrix& matrix, int rank, const mixing::Placement& placement);

}  // namespace bluefog::engine
