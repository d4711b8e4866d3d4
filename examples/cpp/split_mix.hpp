#pragma once
// Random numbers that are the same on every machine, so that examples and tests can be compared digit by
// digit.

#include <cmath>
#include <cstdint>
#include <numbers>
#include <optional>

namespace bluefog::examples {

/// SplitMix64 (Steele, Lea, Flood 2014), with uniform numbers of 53 bits and normal ones by Box and Muller.
class SplitMix64 {
 public:
  explicit SplitMix64(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  /// In (0, 1].
  double uniform() { return static_cast<double>((next() >> 11) + 1) * 0x1p-53; }
  /// Mean 0, variance 1. They come in pairs, the cosine first.
  double normal() {
    if (pending_) {
      const double value = *pending_;
      pending_.reset();
      return value;
    }
    const double radius = std::sqrt(-2 * std::log(uniform()));
    const double angle = 2 * std::numbers::pi * uniform();
    pending_ = radius * std::sin(angle);
    return radius * std::cos(angle);
  }

 private:
  std::uint64_t state_;
  std::optional<double> pending_;
};

}  // namespace bluefog::examples
