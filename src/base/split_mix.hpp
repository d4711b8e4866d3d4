#pragma once
/// @file split_mix.hpp  Random numbers that are the same on every machine.

#include <cstdint>

#include "base/hash.hpp"

namespace bluefog::base {

/// SplitMix64 (Steele, Lea, Flood 2014).
class SplitMix64 {
 public:
  explicit constexpr SplitMix64(std::uint64_t state) noexcept : state_(state) {}

  [[nodiscard]] constexpr std::uint64_t next() noexcept {
    state_ += kGoldenRatio;
    return mix_bits(state_);
  }

  /// Uniform in [0, bound), bound at least 1: numbers below 2^64 mod bound are drawn again, as the rest holds
  /// every remainder equally often.
  [[nodiscard]] constexpr std::uint64_t below(std::uint64_t bound) noexcept {
    const std::uint64_t excess = (0 - bound) % bound;
    std::uint64_t drawn = next();
    while (drawn < excess) drawn = next();
    return drawn % bound;
  }

 private:
  std::uint64_t state_;
};

}  // namespace bluefog::base
