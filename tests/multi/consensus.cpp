#include "multi/consensus.hpp"

#include <cmath>
#include <stdexcept>

#include <gtest/gtest.h>

#include "split_mix.hpp"

namespace bluefog::test {

ConsensusStart::ConsensusStart(int ranks) : values_(static_cast<std::size_t>(ranks) * width), mean_(width) {
  examples::SplitMix64 random(7);
  for (double& value : values_) value = random.normal();
  for (std::size_t i = 0; i < values_.size(); ++i) mean_[i % width] += values_[i] / ranks;
  for (int rank = 0; rank < ranks; ++rank) spread_ += squared_distance_to_mean(of(rank)) / ranks;
}

std::vector<double> ConsensusStart::of(int rank) const {
  const auto first = values_.begin() + static_cast<std::ptrdiff_t>(width) * rank;
  return {first, first + width};
}

double ConsensusStart::squared_distance_to_mean(std::span<const double> x) const {
  double sum = 0;
  for (std::size_t i = 0; i < width; ++i) sum += (x[i] - mean_[i]) * (x[i] - mean_[i]);
  return sum;
}

std::vector<ConsensusCase> consensus_cases(int ranks) {
  const ConsensusCase one_peer{"OnePeerExponential", one_peer_exponential(ranks), {}};
  const ConsensusCase exponential{"ExponentialTwo", static_schedule(exponential_two_graph(ranks)), {}};
  const ConsensusCase ring{"Ring", static_schedule(ring_graph(ranks)), {}};
  const auto with = [](ConsensusCase consensus, std::vector<ConsensusMark> marks) {
    consensus.marks = std::move(marks);
    return consensus;
  };
  const auto hypercube = [ranks](std::vector<ConsensusMark> marks) {
    return ConsensusCase{"OnePeerHypercube", one_peer_hypercube(ranks), std::move(marks)};
  };
  const auto base = [ranks](int radix, std::vector<ConsensusMark> marks) {
    return ConsensusCase{"Base" + std::to_string(radix), base_k_plus_one(ranks, radix - 1), std::move(marks)};
  };
  switch (ranks) {
    case 16:
      return {with(one_peer, {{1, .655397}, {3, .20977}, {4, 0}}),
              hypercube({{1, .555297}, {3, .139791}, {4, 0}}),
              with(exponential, {{10, .00132253}, {41, 1.5806e-10}, {42, 9.4835e-11}}),
              with(ring, {{10, .172634}, {100, .00153796}, {417, 1.04e-10}, {418, 9.87225e-11}})};
    case 25:
      return {with(one_peer, {{5, .0686426}, {68, 1.09437e-10}, {69, 5.8639e-11}}),
              with(exponential, {{10, .000412572}, {32, 1.08598e-10}, {33, 5.52958e-11}}),
              with(ring, {{10, .252454}, {100, .0322259}, {1025, 1.01145e-10}, {1026, 9.90264e-11}}),
              base(2, {{1, .657285}, {8, .0917252}, {9, 0}}),
              base(3, {{5, .0966427}, {6, 0}}),
              base(5, {{1, .428015}, {2, 0}})};
    case 64:
      return {with(one_peer, {{1, .708453}, {5, .100397}, {6, 0}}),
              hypercube({{1, .695453}, {5, .110712}, {6, 0}}),
              with(exponential, {{10, .00748655}, {63, 1.27335e-10}, {64, 9.09537e-11}}),
              with(ring, {{10, .284158}, {100, .105988}, {1000, .00522302}}),
              base(2, {{6, 0}}),
              base(5, {{3, 0}})};
    case 1024:
      return {with(one_peer, {{1, .710789}, {9, .0513076}, {10, 0}}),
              hypercube({{1, .709066}, {9, .0500147}, {10, 0}}),
              with(exponential, {{10, .00604653}, {91, 1.02188e-10}, {92, 8.36086e-11}}),
              with(ring, {{10, .342796}, {100, .201524}, {1000, .113083}}),
              base(2, {{10, 0}}),
              base(5, {{5, 0}})};
    default:
      throw std::invalid_argument("no figures are known for " + std::to_string(ranks) + " ranks");
  }
}

std::vector<double> run_consensus(Context& context, const ConsensusStart& start,
                                  const ConsensusCase& consensus) {
  NeighborAllreduceOptions options;
  options.schedule = consensus.schedule;
  options.form = MixingForm::Difference;
  std::vector<double> x = start.of(context.rank());
  std::vector<double> squares;
  for (const ConsensusMark& mark : consensus.marks) {
    for (; options.round < mark.rounds; ++options.round)
      context.neighbor_allreduce(std::span<const double>(x), std::span<double>(x), options);
    squares.push_back(start.squared_distance_to_mean(x));
  }
  return squares;
}

void expect_marks(std::span<const double> mean_squares, const ConsensusStart& start,
                  const ConsensusCase& consensus) {
  for (std::size_t i = 0; i < mean_squares.size(); ++i) {
    const ConsensusMark& mark = consensus.marks[i];
    EXPECT_NEAR(std::sqrt(mean_squares[i] / start.spread()), mark.error, 1e-5 * mark.error + 1e-15)
        << "after " << mark.rounds << " rounds of " << consensus.name;
  }
}

}  // namespace bluefog::test
