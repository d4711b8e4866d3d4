// Schedules that reach the exact mean after a few rounds: hyper-hypercube and Base-(k+1).

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/graphs.hpp>
#include <bluefog/schedule.hpp>
#include <bluefog/spectral.hpp>

#include "unit/consensus.hpp"
#include "unit/topology_support.hpp"

namespace bluefog {
namespace {

using testing::averaging_matrix;
using testing::Consensus;
using testing::expect_invalid;
using testing::largest_difference;

/// Rounds to the exact mean with at most 1, 2, 3 and 4 peers a round, found by an independent program.
struct RoundsRow {
  int size;
  std::array<std::uint64_t, 4> rounds;
};

const std::vector<RoundsRow> kRounds = {
    {3, {3, 1, 1, 1}},   {5, {5, 3, 3, 1}},    {6, {4, 2, 2, 2}},    {7, {5, 4, 3, 3}},   {9, {7, 2, 2, 2}},
    {10, {6, 4, 4, 2}},  {11, {7, 5, 4, 4}},   {12, {5, 3, 2, 2}},   {13, {7, 5, 4, 4}},  {15, {7, 4, 4, 2}},
    {16, {4, 4, 2, 2}},  {17, {9, 5, 5, 4}},   {20, {7, 5, 4, 2}},   {24, {6, 4, 3, 3}},  {25, {9, 6, 5, 2}},
    {31, {9, 7, 5, 5}},  {33, {11, 6, 5, 5}},  {48, {7, 5, 3, 3}},   {63, {11, 6, 5, 5}}, {64, {6, 6, 3, 3}},
    {65, {13, 8, 7, 5}}, {100, {11, 8, 6, 3}}, {127, {13, 9, 7, 7}},
};

TEST(BaseKPlusOne, RoundsOfTheTable) {
  for (const RoundsRow& row : kRounds) {
    for (int degree = 1; degree <= 4; ++degree) {
      EXPECT_EQ(base_k_plus_one(row.size, degree)->period(), row.rounds[static_cast<std::size_t>(degree - 1)])
          << row.size << " ranks, base " << degree + 1;
    }
  }
}

/// Symmetric, doubly stochastic, of the degree allowed, and exact after a period.
void expect_exact(const Schedule& schedule, int max_degree) {
  for (std::uint64_t t = 0; t < schedule.period(); ++t) {
    const Topology round = schedule.round(t);
    EXPECT_TRUE(round.is_symmetric()) << "round " << t;
    EXPECT_TRUE(round.preserves_constants()) << "round " << t;
    EXPECT_TRUE(round.preserves_mean()) << "round " << t;
    EXPECT_LE(round.max_out_degree(), max_degree) << "round " << t;
  }
  EXPECT_TRUE(schedule.preserves_constants());
  EXPECT_TRUE(schedule.preserves_mean());
  const std::vector<double> matrix = product(schedule, schedule.period());
  EXPECT_LT(largest_difference(matrix, averaging_matrix(schedule.size())), 1e-14);
}

class BaseKPlusOneOfDegree : public ::testing::TestWithParam<int> {};

TEST_P(BaseKPlusOneOfDegree, IsExactForEverySize) {
  const int degree = GetParam();
  for (int size = 1; size <= 129; ++size) {
    SCOPED_TRACE(std::to_string(size) + " ranks");
    const SchedulePtr schedule = base_k_plus_one(size, degree);
    EXPECT_EQ(schedule->size(), size);
    expect_exact(*schedule, degree);
    const double logarithm = std::log(size) / std::log(degree + 1);
    EXPECT_LE(static_cast<double>(schedule->period()), 2.0 * logarithm + 2.0 + 1e-12);
  }
}

INSTANTIATE_TEST_SUITE_P(Degrees, BaseKPlusOneOfDegree, ::testing::Values(1, 2, 3, 4));

TEST(BaseKPlusOne, FiveRanksAsInThePaper) {
  const SchedulePtr schedule = base_k_plus_one(5, 1);
  const auto pairs = [](int size, const std::vector<Topology::Edge>& exchanges) {
    std::vector<double> self_weights(static_cast<std::size_t>(size), 1.0);
    std::vector<Topology::Edge> edges;
    for (const auto& [a, b, weight] : exchanges) {
      edges.push_back({a, b, weight});
      edges.push_back({b, a, weight});
      for (const int rank : {a, b}) self_weights[static_cast<std::size_t>(rank)] -= weight;
    }
    for (int rank = 0; rank < size; ++rank) {
      edges.push_back({rank, rank, self_weights[static_cast<std::size_t>(rank)]});
    }
    return Topology(size, edges);
  };
  EXPECT_EQ(schedule->round(0), pairs(5, {{0, 1, .5}, {2, 3, .5}}));
  EXPECT_EQ(schedule->round(1), pairs(5, {{0, 2, .5}, {1, 3, .5}}));
  EXPECT_EQ(schedule->round(2), pairs(5, {{3, 4, .8}, {0, 1, .5}}));
  EXPECT_EQ(schedule->round(3), schedule->round(0));
  EXPECT_EQ(schedule->round(4), schedule->round(1));
  const SchedulePtr six = base_k_plus_one(6, 1);
  EXPECT_EQ(six->round(0), pairs(6, {{0, 1, .5}, {3, 4, .5}}));
  EXPECT_EQ(six->round(1), pairs(6, {{1, 2, 2.0 / 3.0}, {4, 5, 2.0 / 3.0}}));
  EXPECT_EQ(six->round(2), six->round(0));
  EXPECT_EQ(six->round(3), pairs(6, {{0, 3, .5}, {1, 4, .5}, {2, 5, .5}}));
}

TEST(BaseKPlusOne, ErrorsOnTheWayToTheMeanOfTwentyFiveRanks) {
  const auto errors = [](int degree) {
    const SchedulePtr schedule = base_k_plus_one(25, degree);
    Consensus consensus(25);
    std::vector<double> result;
    for (std::uint64_t t = 0; t < schedule->period(); ++t) {
      consensus.mix(schedule->round(t));
      result.push_back(consensus.relative_error());
    }
    return result;
  };
  const std::vector<double> expected = {.66, .50, .33, .31, .22, .17, .12, .092};
  const std::vector<double> base_2 = errors(1);
  for (std::size_t t = 0; t < expected.size(); ++t) EXPECT_NEAR(base_2[t], expected[t], 5.1e-3) << t;
  EXPECT_LT(base_2.back(), 1e-15);
  EXPECT_NEAR(errors(2)[4], .097, 5.1e-4);
  EXPECT_LT(errors(2).back(), 1e-15);
  EXPECT_NEAR(errors(4)[0], .43, 5.1e-3);
  EXPECT_LT(errors(4).back(), 1e-15);
}

TEST(BaseKPlusOne, OfTwentyFiveRanksOneRestsInEveryRound) {
  const SchedulePtr schedule = base_k_plus_one(25, 1);
  for (std::uint64_t t = 0; t < schedule->period(); ++t) {
    const Topology round = schedule->round(t);
    int messages = 0;
    for (int rank = 0; rank < 25; ++rank) messages += static_cast<int>(round.out_neighbors(rank).size());
    EXPECT_EQ(messages, 24) << "round " << t;
  }
}

TEST(BaseKPlusOne, OfManyPeersIsTheCompleteGraph) {
  for (const int degree : {6, 7, 1'000'000'000}) {
    EXPECT_EQ(base_k_plus_one(7, degree)->round(0), fully_connected_graph(7));
    EXPECT_EQ(base_k_plus_one(7, degree)->hash(), base_k_plus_one(7, 6)->hash());
  }
}

TEST(BaseKPlusOne, RefusesSizesAndDegreesBelowOne) {
  expect_invalid([] { (void)base_k_plus_one(0, 1); }, {"base_k_plus_one", "number of ranks is 0"});
  expect_invalid([] { (void)base_k_plus_one(5, 0); }, {"base_k_plus_one", "talk to 0", "1 or more"});
}

/// Whether no prime factor is above `largest`.
bool is_smooth(int number, int largest) {
  for (int factor = 2; factor <= largest; ++factor) {
    while (number % factor == 0) number /= factor;
  }
  return number == 1;
}

TEST(HyperHypercube, IsExactForEverySizeOfSmallPrimeFactors) {
  for (int degree = 1; degree <= 6; ++degree) {
    for (int size = 1; size <= 128; ++size) {
      SCOPED_TRACE(std::to_string(size) + " ranks, degree " + std::to_string(degree));
      if (is_smooth(size, degree + 1)) {
        expect_exact(*hyper_hypercube(size, degree), degree);
        EXPECT_EQ(hyper_hypercube(size, degree)->period(), base_k_plus_one(size, degree)->period());
      } else {
        expect_invalid([&] { (void)hyper_hypercube(size, degree); },
                       {"hyper_hypercube", std::to_string(size) + " ranks", "base_k_plus_one"});
      }
    }
  }
}

TEST(HyperHypercube, HasAsFewRoundsAsPossible) {
  const std::vector<std::array<int, 3>> size_degree_rounds = {
      {1, 1, 1}, {12, 3, 2}, {36, 5, 2}, {48, 4, 3}, {64, 3, 3}, {64, 7, 2}, {72, 8, 2}, {100, 9, 2}};
  for (const auto& [size, degree, rounds] : size_degree_rounds) {
    EXPECT_EQ(hyper_hypercube(size, degree)->period(), static_cast<std::uint64_t>(rounds)) << size;
  }
}

TEST(HyperHypercube, OfOnePeerIsTheHypercube) {
  const SchedulePtr box = hyper_hypercube(32, 1);
  const SchedulePtr hypercube = one_peer_hypercube(32);
  ASSERT_EQ(box->period(), hypercube->period());
  for (std::uint64_t t = 0; t < 5; ++t) EXPECT_EQ(box->round(t), hypercube->round(t));
}

TEST(HyperHypercube, AveragesAlongOneSide) {
  const Topology second = hyper_hypercube(6, 2)->round(1);  // sides of 2 and of 3
  for (int rank = 0; rank < 6; ++rank) {
    for (int other = 0; other < 6; ++other) {
      EXPECT_EQ(second.weight(rank, other), rank % 2 == other % 2 ? 1.0 / 3.0 : 0.0);
    }
  }
}

TEST(HyperHypercube, NamesThePrimeFactorThatIsTooLarge) {
  expect_invalid([] { (void)hyper_hypercube(42, 5); }, {"42 ranks", "groups of 7", "talk to 6", "not 5"});
  expect_invalid([] { (void)hyper_hypercube(0, 2); }, {"number of ranks is 0"});
  expect_invalid([] { (void)hyper_hypercube(4, -1); }, {"talk to -1"});
}

}  // namespace
}  // namespace bluefog
