#pragma once
/// @file mixing_plan.hpp  Who mixes with whom in each step, by name.

#include <cstdint>
#include <string>
#include <vector>

#include <bluefog/schedule.hpp>

namespace bfsim {

/// One mixing round a step. Flat: the schedule is over the ranks. Hierarchical: the ranks of a host average
/// exactly, and every rank mixes one share of the tensor with the ranks of its number on other hosts; the
/// schedule is over the hosts.
struct MixingPlan {
  bluefog::SchedulePtr schedule;
  bool is_hierarchical = false;

  /// Rounds until the plan repeats, but at most 64.
  [[nodiscard]] int period() const;
};

inline constexpr const char* hierarchical_plan_name = "hierarchical";

struct PlanOptions {
  std::string schedule = "one-peer-exp";
  /// Of a hierarchical plan.
  std::string over_hosts = "one-peer-exp";
  int ranks = 32;
  int ranks_per_host = 1;
  /// The most ranks that a rank meets in a round of base-k and hyper-hypercube.
  int max_degree = 1;
  /// Of random schedules.
  std::uint64_t seed = 1;
};

/// @throws bluefog::InvalidArgument for an unknown name, or one that does not fit the number of ranks
[[nodiscard]] MixingPlan make_plan(const PlanOptions& options);

/// Names that make_plan knows, but hierarchical_plan_name.
[[nodiscard]] std::vector<std::string> flat_plan_names();

}  // namespace bfsim
