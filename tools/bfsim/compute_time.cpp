#include "compute_time.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/hash.hpp"
#include "base/split_mix.hpp"

namespace bfsim {

namespace {

/// In (0, 1].
double uniform(bluefog::base::SplitMix64& random) {
  return static_cast<double>((random.next() >> 11) + 1) * 0x1p-53;
}

}  // namespace

std::chrono::nanoseconds ComputeTime::of(int rank, std::uint64_t step) const {
  using bluefog::base::hash_combine;
  bluefog::base::SplitMix64 random(hash_combine(hash_combine(seed, static_cast<std::uint64_t>(rank)), step));
  // Always drawn, in this order: a setting that is 0 does not change the others' numbers.
  const double radius = std::sqrt(-2 * std::log(uniform(random)));
  const double normal = radius * std::cos(2 * std::numbers::pi * uniform(random));
  const double exponential = -std::log(uniform(random));
  const bool hiccups = uniform(random) <= hiccup && hiccup > 0;

  double share = std::max(0.0, 1 - tail + tail * exponential + jitter * normal);
  if (hiccups) share *= hiccup_factor;
  share /= 1 + hiccup * (hiccup_factor - 1);
  if (rank == slow_rank) share *= slow_factor;
  return std::chrono::nanoseconds(std::llround(mean * share * 1e9));
}

}  // namespace bfsim
