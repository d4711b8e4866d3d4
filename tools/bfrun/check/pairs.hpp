#pragma once
/// @file pairs.hpp  How each host reaches every other, and how fast.

#include <optional>

#include <bluefog/context.hpp>

#include "check/findings.hpp"
#include "check/plan.hpp"

namespace bfrun {

/// The rank with which `rank` of `size` is paired in a round of a tournament of everybody against everybody,
/// which has size - 1 rounds, or size if that is odd; nothing: it pauses.
[[nodiscard]] std::optional<int> partner_in_round(int rank, int size, int round);

/// Collective. Each pair exchanges small and large tensors, one pair at a time for each rank; the lower rank
/// tells what came of it.
void check_pairs(bluefog::Context& context, const CheckPlan& plan, Findings& findings);

}  // namespace bfrun
