#pragma once
/// @file recursion.hpp  When ranks end their steps by a recursion in maximum and sum, without an engine: what
/// waiting for each other costs where the wires are simple.
///
/// t_i is when rank i ends a step, c_i what it computes in the next.

#include <bluefog/schedule.hpp>

#include "compute_time.hpp"
#include "experiment.hpp"
#include "step_times.hpp"

namespace bfsim {

/// t' = max over all i of (t_i + c_i), plus the time of the all-reduce.
[[nodiscard]] StepTimes recur_all_reduce(const ComputeTime& compute, int ranks, int steps,
                                         Nanoseconds all_reduce);

/// ATC: t_i' = max over in-neighbours j of step k, and i, of (t_j + c_j), plus the time of a message.
/// AWC: t_i' = max(t_i + c_i, max over in-neighbours j of t_j plus the time of a message).
[[nodiscard]] StepTimes recur_mixing(const ComputeTime& compute, const bluefog::Schedule& schedule,
                                     Algorithm algorithm, int steps, Nanoseconds message = {});

}  // namespace bfsim
