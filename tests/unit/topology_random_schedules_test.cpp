#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/schedule.hpp>
#include <bluefog/spectral.hpp>

#include "base/split_mix.hpp"
#include "unit/consensus.hpp"
#include "unit/topology_support.hpp"

namespace bluefog {
namespace {

using testing::Consensus;
using testing::expect_invalid;

constexpr std::uint64_t endless = std::numeric_limits<std::uint64_t>::max();

TEST(SplitMix64, GivesTheKnownNumbers) {
  base::SplitMix64 random(2024);
  EXPECT_EQ(random.next(), 0x9f6d8fecf88eecd5U);
  EXPECT_EQ(random.next(), 0x18e430bb1511f2d2U);
}

TEST(SplitMix64, NumbersBelowABoundAreEquallyLikely) {
  base::SplitMix64 random(1);
  std::vector<int> counts(7, 0);
  for (int i = 0; i < 70'000; ++i) ++counts.at(random.below(7));
  for (const int count : counts) EXPECT_NEAR(count, 10'000, 400);
  EXPECT_EQ(random.below(1), 0U);
  // Half of all numbers are below this bound's excess, and drawn again: those that are left are uniform.
  const std::uint64_t bound = (std::uint64_t{1} << 63) + 1;
  int in_lower_half = 0;
  for (int i = 0; i < 10'000; ++i) in_lower_half += random.below(bound) < bound / 2 ? 1 : 0;
  EXPECT_NEAR(in_lower_half, 5'000, 200);
}

TEST(RandomMatching, PairsAllRanksButOneOfAnOddNumber) {
  for (int size = 1; size <= 33; ++size) {
    const SchedulePtr schedule = one_peer_random_matching(size, 3);
    EXPECT_EQ(schedule->period(), endless);
    EXPECT_TRUE(schedule->preserves_constants());
    EXPECT_TRUE(schedule->preserves_mean());
    for (std::uint64_t t = 0; t < 20; ++t) {
      const Topology round = schedule->round(t);
      ASSERT_EQ(round.size(), size);
      ASSERT_TRUE(round.is_symmetric());
      ASSERT_TRUE(round.preserves_constants());
      int resting = 0;
      for (int rank = 0; rank < size; ++rank) {
        const bool rests = round.out_neighbors(rank).empty();
        ASSERT_EQ(round.self_weight(rank), rests ? 1.0 : 0.5);
        ASSERT_LE(round.out_neighbors(rank).size(), 1U);
        resting += rests ? 1 : 0;
      }
      ASSERT_EQ(resting, size % 2);
    }
  }
}

TEST(RandomMatching, EveryMatchingIsEquallyLikely) {
  const SchedulePtr schedule = one_peer_random_matching(6, 11);
  std::map<std::uint64_t, int> counts;
  for (std::uint64_t t = 0; t < 15'000; ++t) ++counts[schedule->round(t).hash()];
  EXPECT_EQ(counts.size(), 15U);
  for (const auto& [hash, count] : counts) EXPECT_NEAR(count, 1'000, 150);
}

TEST(RandomShift, AllRanksSendEquallyFar) {
  for (int size = 2; size <= 17; ++size) {
    const SchedulePtr schedule = one_peer_random_shift(size, 5, 0.25);
    EXPECT_EQ(schedule->period(), endless);
    EXPECT_TRUE(schedule->preserves_constants());
    EXPECT_TRUE(schedule->preserves_mean());
    std::set<int> shifts;
    for (std::uint64_t t = 0; t < 300; ++t) {
      const Topology round = schedule->round(t);
      const int shift = round.out_neighbors(0)[0].rank;
      shifts.insert(shift);
      for (int rank = 0; rank < size; ++rank) {
        ASSERT_EQ(round.self_weight(rank), 0.75);
        ASSERT_EQ(round.weight((rank + shift) % size, rank), 0.25);
        ASSERT_EQ(round.out_neighbors(rank).size(), 1U);
      }
    }
    EXPECT_EQ(shifts.size(), static_cast<std::size_t>(size - 1));
  }
}

TEST(RandomSchedules, OneRankKeepsItsValue) {
  EXPECT_EQ(one_peer_random_matching(1, 0)->round(9).to_matrix(), (std::vector<double>{1.0}));
  EXPECT_EQ(one_peer_random_shift(1, 0)->round(9).to_matrix(), (std::vector<double>{1.0}));
}

TEST(RandomSchedules, ARoundDependsOnTheSeedAndItsNumberAlone) {
  for (const auto& make : {+[](std::uint64_t seed) { return one_peer_random_matching(50, seed); },
                           +[](std::uint64_t seed) { return one_peer_random_shift(50, seed); }}) {
    const SchedulePtr one = make(17);
    const SchedulePtr other = make(17);
    for (const std::uint64_t t : {std::uint64_t{40}, std::uint64_t{3}, std::uint64_t{40}, endless - 1}) {
      EXPECT_EQ(one->round(t), other->round(t));
    }
    EXPECT_EQ(one->hash(), other->hash());
    EXPECT_NE(one->hash(), make(18)->hash());
    EXPECT_NE(one->round(40), make(18)->round(40));
    EXPECT_NE(one->round(40), make(18)->round(39));
  }
  EXPECT_NE(one_peer_random_shift(8, 1)->hash(), one_peer_random_shift(8, 1, 0.25)->hash());
  EXPECT_NE(one_peer_random_shift(8, 1)->hash(), one_peer_random_shift(9, 1)->hash());
}

TEST(RandomSchedules, RefuseSizesAndWeightsThatDoNotFit) {
  expect_invalid([] { (void)one_peer_random_matching(0, 1); }, {"one_peer_random_matching", "ranks is 0"});
  expect_invalid([] { (void)one_peer_random_shift(0, 1); }, {"one_peer_random_shift", "ranks is 0"});
  for (const double weight : {0.0, 1.0, -0.5, 2.0, std::numeric_limits<double>::quiet_NaN()}) {
    expect_invalid([&] { (void)one_peer_random_shift(4, 1, weight); }, {"weight", "between 0 and 1"});
  }
}

/// Mean over rounds of the factor by which one round shrinks the squared distance from the mean.
double mean_contraction(const Schedule& schedule, std::uint64_t rounds) {
  const Consensus start(schedule.size());
  double sum = 0.0;
  for (std::uint64_t t = 0; t < rounds; ++t) {
    Consensus once = start;
    once.mix(schedule.round(t));
    sum += once.relative_error() * once.relative_error();
  }
  return sum / static_cast<double>(rounds);
}

TEST(RandomSchedules, ContractAsTheFormulaSaysOnAverage) {
  constexpr int size = 16;
  constexpr double formula = (size - 2.0) / (2.0 * (size - 1.0));
  static_assert(formula > .46666 && formula < .46667);
  EXPECT_NEAR(mean_contraction(*one_peer_random_matching(size, 1), 20'000), formula, 5e-3);
  EXPECT_NEAR(mean_contraction(*one_peer_random_shift(size, 1), 20'000), formula, 5e-3);
  const double weight = 0.2;
  EXPECT_NEAR(mean_contraction(*one_peer_random_shift(size, 1, weight), 20'000),
              (1 - weight) * (1 - weight) + weight * weight - 2 * weight * (1 - weight) / (size - 1), 5e-3);
}

/// Mean over seeds of the number of rounds until the distance from the mean is 1e-10 of that at the start.
double mean_rounds(int size, SchedulePtr (*make)(int size, std::uint64_t seed)) {
  constexpr std::uint64_t seeds = 100;
  double sum = 0.0;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    const SchedulePtr schedule = make(size, seed);
    Consensus consensus(size);
    for (std::uint64_t t = 0; consensus.relative_error() > 1e-10; ++t, ++sum) {
      consensus.mix(schedule->round(t));
    }
  }
  return sum / seeds;
}

TEST(RandomSchedules, RoundsUntilConsensus) {
  // Means over 20 seeds of an independent program. Powers of two may be exact by luck, early and at once.
  struct Row {
    int size;
    double matching, shift;
  };
  const std::vector<Row> table = {{8, 16, 8}, {16, 56, 16}, {25, 64, 45}, {64, 65, 41}, {100, 66, 49}};
  for (const auto& [size, matching, shift] : table) {
    SCOPED_TRACE(std::to_string(size) + " ranks");
    EXPECT_NEAR(mean_rounds(size, one_peer_random_matching), matching, 0.15 * matching);
    EXPECT_NEAR(mean_rounds(size, [](int n, std::uint64_t seed) { return one_peer_random_shift(n, seed); }),
                shift, 0.15 * shift);
  }
}

}  // namespace
}  // namespace bluefog
