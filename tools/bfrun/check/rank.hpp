#pragma once
/// @file rank.hpp  The rank that `bfrun --check` starts on each host.

#include "check/plan.hpp"

namespace bfrun {

/// Joins the job of the check and tells what it finds. Returns the exit code: 1 if something is in the way.
[[nodiscard]] int check_this_host(const CheckPlan& plan);

}  // namespace bfrun
