#pragma once
/// @file variants.hpp  The ways of mixing that bfperf compares, each over tensors of its own.

#include <functional>
#include <string>
#include <vector>

#include <bluefog/bluefog.hpp>

namespace bluefog::perf {

/// One thing to time. Every repetition calls refresh() (an optimizer step would rewrite the tensor), meets,
/// and times run().
struct Variant {
  std::string name;
  std::function<void()> refresh;
  std::function<void()> run;
  /// True if the last run gave the right values.
  std::function<bool()> is_right;
};

struct Problem {
  std::size_t count = 0;  ///< float32 elements per rank
  SchedulePtr schedule;
};

/// The local average of two private buffers, which the others are measured against, and every path of
/// neighbor_allreduce.
[[nodiscard]] std::vector<Variant> make_variants(Context& context, const Problem& problem);

}  // namespace bluefog::perf
