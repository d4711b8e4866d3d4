#include "recursion.hpp"

#include <algorithm>
#include <vector>

namespace bfsim {

namespace {

/// Of all ranks, drawn for one step.
std::vector<Nanoseconds> draw(const ComputeTime& compute, int ranks, int step, StepTimes& times) {
  std::vector<Nanoseconds> drawn(static_cast<std::size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) {
    drawn[static_cast<std::size_t>(rank)] = compute.of(rank, static_cast<std::uint64_t>(step));
    times.set_compute(rank, step, drawn[static_cast<std::size_t>(rank)]);
  }
  return drawn;
}

}  // namespace

StepTimes recur_all_reduce(const ComputeTime& compute, int ranks, int steps, Nanoseconds all_reduce) {
  StepTimes times(ranks, steps);
  Nanoseconds now{};
  for (int step = 0; step < steps; ++step) {
    const auto computing = draw(compute, ranks, step, times);
    now += *std::max_element(computing.begin(), computing.end()) + all_reduce;
    for (int rank = 0; rank < ranks; ++rank) times.set_end(rank, step, now);
  }
  return times;
}

StepTimes recur_mixing(const ComputeTime& compute, const bluefog::Schedule& schedule, Algorithm algorithm,
                       int steps, Nanoseconds message) {
  const int ranks = schedule.size();
  StepTimes times(ranks, steps);
  std::vector<Nanoseconds> begins(static_cast<std::size_t>(ranks));
  for (int step = 0; step < steps; ++step) {
    std::vector<Nanoseconds> computed = draw(compute, ranks, step, times);
    for (std::size_t i = 0; i < computed.size(); ++i) computed[i] += begins[i];
    const auto& sent = algorithm == Algorithm::Awc ? begins : computed;
    const auto round = schedule.shared_round(static_cast<std::uint64_t>(step));
    std::vector<Nanoseconds> ends(begins.size());
    for (int rank = 0; rank < ranks; ++rank) {
      Nanoseconds& end = ends[static_cast<std::size_t>(rank)];
      end = computed[static_cast<std::size_t>(rank)];
      if (algorithm == Algorithm::Atc) end += message;
      for (const auto& [sender, weight] : round->in_neighbors(rank)) {
        end = std::max(end, sent[static_cast<std::size_t>(sender)] + message);
      }
      times.set_end(rank, step, end);
    }
    begins = std::move(ends);
  }
  return times;
}

}  // namespace bfsim
