#pragma once
/// @file compute_time.hpp  How long a rank computes in a step: drawn by (seed, rank, step), so that every
/// algorithm meets the same noise.

#include <chrono>
#include <cstdint>

namespace bfsim {

/// mean * (1 - tail + tail * Exp(1) + jitter * N(0, 1)), not below 0; with probability `hiccup` times
/// `hiccup_factor`, all divided by 1 + hiccup * (hiccup_factor - 1), so that the mean stays what it is. On
/// the slow rank times `slow_factor`.
struct ComputeTime {
  double mean = 0.15;  ///< seconds
  double jitter = 0;   ///< standard deviation, as a share of the mean
  double tail = 0;     ///< share of the mean that is exponential
  double hiccup = 0;   ///< probability
  double hiccup_factor = 5;
  int slow_rank = -1;  ///< -1: none
  double slow_factor = 2;
  std::uint64_t seed = 1;

  [[nodiscard]] std::chrono::nanoseconds of(int rank, std::uint64_t step) const;
};

}  // namespace bfsim
