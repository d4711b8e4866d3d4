#pragma once
/// @file measuring.hpp  What benchmarks of windows share, ours and those of others: the copy that they are
/// measured against, and how times become figures.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <vector>

namespace bluefog::perf {

/// Both in microseconds.
struct Spread {
  double median = 0;
  double p99 = 0;
};

[[nodiscard]] inline double percentile(std::vector<double> values, double fraction) {
  const auto at =
      values.begin() + static_cast<std::ptrdiff_t>(fraction * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

[[nodiscard]] inline Spread spread_of(const std::vector<double>& times) {
  return {percentile(times, 0.5), percentile(times, 0.99)};
}

/// Microseconds that `work` takes.
template <class Work>
[[nodiscard]] double time_of(Work&& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
}

/// memcpy from one private buffer to another.
class PrivateCopy {
 public:
  explicit PrivateCopy(std::size_t bytes)
      : bytes_(bytes), from_(bytes / sizeof(Line) + 1, Line{{std::byte{1}}}), to_(from_.size()) {}

  /// Of one copy, after one that warms the caches. Small ones are timed many at once: the clock takes as long
  /// as one of them.
  [[nodiscard]] double time() {
    constexpr std::size_t least_timed_bytes = std::size_t{64} << 10;
    const std::size_t copies = std::max<std::size_t>(1, least_timed_bytes / bytes_);
    copy();
    const double all = time_of([&] {
      for (std::size_t i = 0; i < copies; ++i) copy();
    });
    return all / static_cast<double>(copies);
  }

 private:
  /// Whether a small buffer is aligned makes a difference of two.
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  void copy() {
    std::memcpy(to_.data(), from_.data(), bytes_);
    asm volatile("" : : "r"(to_.data()) : "memory");  // the compiler must not leave it out
  }

  std::size_t bytes_;
  std::vector<Line> from_;
  std::vector<Line> to_;
};

/// The value that is sent in a repetition: small, so that sums of many are exact in float32.
[[nodiscard]] inline float sent_value(int rank, int repetition) {
  return static_cast<float>(rank + 1 + repetition % 8);
}

/// Whether all looked at hold `expected`.
[[nodiscard]] inline bool all_hold(const float* values, std::size_t count, float expected) {
  constexpr std::size_t probes = 97;
  const std::size_t stride = std::max<std::size_t>(1, count / probes);
  for (std::size_t i = 0; i < count; i += stride) {
    if (values[i] != expected) return false;
  }
  return count == 0 || values[count - 1] == expected;
}

}  // namespace bluefog::perf
