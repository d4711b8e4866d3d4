#include "step_times.hpp"

#include <algorithm>
#include <numeric>

namespace bfsim {

namespace {

double percentile(std::vector<double>& values, double fraction) {
  const auto at =
      values.begin() + static_cast<std::ptrdiff_t>(fraction * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

}  // namespace

StepTimes::StepTimes(int ranks, int steps)
    : ranks_(ranks),
      steps_(steps),
      ends_(static_cast<std::size_t>(ranks) * static_cast<std::size_t>(steps)),
      compute_(ends_.size()) {}

StepSummary StepTimes::summary(int first, int last) const {
  StepSummary summary;
  std::vector<double> durations;
  for (int step = first; step < last; ++step) {
    for (int rank = 0; rank < ranks_; ++rank) {
      const Nanoseconds began = step == 0 ? Nanoseconds::zero() : end(rank, step - 1);
      durations.push_back(seconds(end(rank, step) - began));
      summary.compute += seconds(compute_[index(rank, step)]);
    }
  }
  if (durations.empty()) return summary;
  const auto count = static_cast<double>(durations.size());
  summary.mean = std::accumulate(durations.begin(), durations.end(), 0.0) / count;
  summary.p50 = percentile(durations, 0.5);
  summary.p99 = percentile(durations, 0.99);
  summary.compute /= count;
  summary.efficiency = summary.mean > 0 ? summary.compute / summary.mean : 1;
  return summary;
}

}  // namespace bfsim
