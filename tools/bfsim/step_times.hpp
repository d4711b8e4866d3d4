#pragma once
/// @file step_times.hpp  When each rank ended each step, and what that says.

#include <chrono>
#include <cstddef>
#include <vector>

namespace bfsim {

using Nanoseconds = std::chrono::nanoseconds;

/// Seconds. A step of a rank lasts from the end of its last one to its own end.
struct StepSummary {
  double mean = 0;
  double p50 = 0;
  double p99 = 0;
  double compute = 0;     ///< mean of what the ranks computed in a step
  double efficiency = 0;  ///< compute / mean
};

class StepTimes {
 public:
  StepTimes(int ranks, int steps);

  void set_compute(int rank, int step, Nanoseconds duration) { compute_[index(rank, step)] = duration; }
  void set_end(int rank, int step, Nanoseconds when) { ends_[index(rank, step)] = when; }
  [[nodiscard]] Nanoseconds end(int rank, int step) const { return ends_[index(rank, step)]; }
  [[nodiscard]] int steps() const { return steps_; }

  /// Over all ranks and the steps [first, last); of the mean and percentiles of all.
  [[nodiscard]] StepSummary summary(int first, int last) const;
  [[nodiscard]] StepSummary summary(int first) const { return summary(first, steps_); }

 private:
  [[nodiscard]] std::size_t index(int rank, int step) const {
    return static_cast<std::size_t>(step) * static_cast<std::size_t>(ranks_) + static_cast<std::size_t>(rank);
  }
  int ranks_;
  int steps_;
  std::vector<Nanoseconds> ends_;
  std::vector<Nanoseconds> compute_;
};

[[nodiscard]] inline double seconds(Nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}
[[nodiscard]] inline Nanoseconds nanoseconds(double seconds) {
  return std::chrono::round<Nanoseconds>(std::chrono::duration<double>(seconds));
}

}  // namespace bfsim
