#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/ceca.hpp>
#include <bluefog/spectral.hpp>

#include "unit/consensus.hpp"
#include "unit/topology_support.hpp"

namespace bluefog {
namespace {

using testing::averaging_matrix;
using testing::Consensus;
using testing::expect_invalid;
using testing::largest_difference;
using testing::ranks_of;

std::vector<int> sizes_of_the_table() {
  std::vector<int> sizes(39);
  std::iota(sizes.begin(), sizes.end(), 1);
  sizes.insert(sizes.end(), {63, 64, 65, 100, 127, 1000, 1024});
  return sizes;
}

TEST(Ceca, TwoPortIsExactAfterTheLogarithmOfEverySize) {
  for (const int size : sizes_of_the_table()) {
    SCOPED_TRACE(std::to_string(size) + " ranks");
    const CecaSchedule ceca = CecaSchedule::two_port(size);
    EXPECT_EQ(ceca.size(), size);
    EXPECT_EQ(ceca.period(), std::max<std::uint64_t>(1, std::bit_width(static_cast<unsigned>(size - 1))));
    EXPECT_LT(largest_difference(product(ceca, ceca.period()), averaging_matrix(size)), 1e-14);
  }
}

TEST(Ceca, OnePortIsExactForEvenSizes) {
  for (const int size : sizes_of_the_table()) {
    if (size % 2 != 0 && size != 1) continue;
    SCOPED_TRACE(std::to_string(size) + " ranks");
    const CecaSchedule ceca = CecaSchedule::one_port(size);
    EXPECT_EQ(ceca.period(), CecaSchedule::two_port(size).period());
    EXPECT_LT(largest_difference(product(ceca, ceca.period()), averaging_matrix(size)), 1e-14);
  }
}

TEST(Ceca, NoFewerRoundsAreExact) {
  for (const int size : {2, 5, 16, 33, 100}) {
    const CecaSchedule ceca = CecaSchedule::two_port(size);
    EXPECT_GT(largest_difference(product(ceca, ceca.period() - 1), averaging_matrix(size)), 1e-3) << size;
  }
}

TEST(Ceca, RoundsOfTheTable) {
  const std::vector<std::pair<int, std::uint64_t>> table = {
      {3, 2},  {5, 3},  {6, 3},  {7, 3},  {9, 4},  {10, 4},  {11, 4}, {12, 4},
      {13, 4}, {15, 4}, {16, 4}, {17, 5}, {20, 5}, {24, 5},  {25, 5}, {31, 5},
      {33, 6}, {48, 6}, {63, 6}, {64, 6}, {65, 7}, {100, 7}, {127, 7}};
  for (const auto& [size, rounds] : table) EXPECT_EQ(CecaSchedule::two_port(size).period(), rounds) << size;
}

TEST(Ceca, EveryRankSendsToOneAndReceivesFromOne) {
  for (int size = 2; size <= 40; ++size) {
    const CecaSchedule two_port = CecaSchedule::two_port(size);
    for (std::uint64_t t = 0; t < two_port.period(); ++t) {
      const Topology delivery = two_port.deliveries()->round(t);
      for (int rank = 0; rank < size; ++rank) {
        ASSERT_EQ(delivery.in_neighbors(rank).size(), 1U);
        ASSERT_EQ(delivery.out_neighbors(rank).size(), 1U);
        ASSERT_EQ(delivery.in_neighbors(rank)[0].weight, 1.0);
        ASSERT_EQ(delivery.self_weight(rank), 0.0);
      }
      if (size % 2 == 0) {
        ASSERT_TRUE(CecaSchedule::one_port(size).deliveries()->round(t).is_symmetric());
      }
    }
  }
}

TEST(Ceca, SixRanksByHand) {
  // 6 - 1 is 101 in binary: x, h, x are sent, and h is the mean over 0, 1, 2 ranks before.
  const CecaSchedule ceca = CecaSchedule::two_port(6);
  EXPECT_EQ(ceca.round(0), (CecaRound{CecaState::X, 0.5, 1.0}));
  EXPECT_EQ(ceca.round(1), (CecaRound{CecaState::H, 1.0 / 3.0, 0.5}));
  EXPECT_EQ(ceca.round(2), (CecaRound{CecaState::X, 0.5, 3.0 / 5.0}));
  EXPECT_EQ(ceca.round(3), ceca.round(0));
  const auto sender_to_4 = [](const CecaSchedule& schedule, std::uint64_t t) {
    return ranks_of(schedule.deliveries()->round(t).in_neighbors(4));
  };
  EXPECT_EQ(sender_to_4(ceca, 0), (std::vector<int>{3}));
  EXPECT_EQ(sender_to_4(ceca, 1), (std::vector<int>{3}));
  EXPECT_EQ(sender_to_4(ceca, 2), (std::vector<int>{1}));
  const CecaSchedule one_port = CecaSchedule::one_port(6);
  EXPECT_EQ(sender_to_4(one_port, 0), (std::vector<int>{3}));
  EXPECT_EQ(sender_to_4(one_port, 1), (std::vector<int>{1}));
  EXPECT_EQ(sender_to_4(one_port, 2), (std::vector<int>{5}));
}

/// All ranks' x and h, as the operations of a job would move them.
struct TwoStates {
  Consensus::Values x;
  Consensus::Values h;

  void mix(const CecaSchedule& ceca, std::uint64_t t) {
    const CecaRound round = ceca.round(t);
    const Consensus::Values received =
        Consensus::mixed(ceca.deliveries()->round(t), round.sent == CecaState::X ? x : h);
    for (std::size_t rank = 0; rank < x.size(); ++rank) {
      round.update(std::span<double>(x[rank]), std::span<double>(h[rank]),
                   std::span<const double>(received[rank]));
    }
  }
  [[nodiscard]] double mean_of_x() const {
    double sum = 0.0;
    for (const auto& row : x) sum += row[0];
    return sum / static_cast<double>(x.size());
  }
};

TEST(Ceca, WhatHWasAtTheStartOfACycleDoesNotCount) {
  const CecaSchedule ceca = CecaSchedule::two_port(11);
  const Consensus::Values garbage(11, {1e300, -1e300, std::numeric_limits<double>::infinity(), 0.0});
  TwoStates clean{Consensus(11).values(), Consensus(11).values()};
  TwoStates dirty{Consensus(11).values(), garbage};
  for (std::uint64_t t = 0; t < ceca.period(); ++t) {
    clean.mix(ceca, t);
    dirty.mix(ceca, t);
  }
  EXPECT_EQ(clean.x, dirty.x);
}

TEST(Ceca, KeepsTheMeanAlsoIfBothVectorsMoveAlikeBetweenRounds) {
  for (const int size : {7, 12, 25}) {
    const CecaSchedule ceca = CecaSchedule::two_port(size);
    TwoStates states{Consensus(size).values(), Consensus(size).values()};
    double expected = states.mean_of_x();
    for (std::uint64_t t = 0; t < 3 * ceca.period(); ++t) {
      const auto moved = static_cast<std::size_t>(t) % static_cast<std::size_t>(size);
      states.x[moved][0] += 1.0;
      states.h[moved][0] += 1.0;
      expected += 1.0 / size;
      states.mix(ceca, t);
      EXPECT_NEAR(states.mean_of_x(), expected, 1e-13) << size << " ranks, round " << t;
    }
  }
}

TEST(Ceca, RefusesSizesThatDoNotFit) {
  expect_invalid([] { (void)CecaSchedule::two_port(0); }, {"two_port", "number of ranks is 0"});
  expect_invalid([] { (void)CecaSchedule::one_port(-2); }, {"one_port", "number of ranks is -2"});
  expect_invalid([] { (void)CecaSchedule::one_port(9); }, {"9 ranks do not form pairs", "two_port"});
}

TEST(Ceca, DeliveriesOfDifferentSizesAndPortsHaveDifferentHashes) {
  EXPECT_EQ(CecaSchedule::two_port(6).deliveries()->hash(), CecaSchedule::two_port(6).deliveries()->hash());
  EXPECT_NE(CecaSchedule::two_port(6).deliveries()->hash(), CecaSchedule::one_port(6).deliveries()->hash());
  EXPECT_NE(CecaSchedule::two_port(6).deliveries()->hash(), CecaSchedule::two_port(8).deliveries()->hash());
}

}  // namespace
}  // namespace bluefog
