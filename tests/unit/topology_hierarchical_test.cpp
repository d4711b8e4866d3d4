#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/graphs.hpp>
#include <bluefog/schedule.hpp>
#include <bluefog/spectral.hpp>

#include "unit/topology_support.hpp"

namespace bluefog {
namespace {

using testing::averaging_matrix;
using testing::expect_invalid;
using testing::largest_difference;

TEST(Hierarchical, RoundIsThatOfTheMachinesKroneckerTheAverage) {
  constexpr int local_size = 3;
  for (const SchedulePtr& machines :
       {one_peer_exponential(5), base_k_plus_one(5, 1), static_schedule(star_graph(5)),
        one_peer_dynamic(star_graph(5)), one_peer_random_matching(5, 9)}) {
    SCOPED_TRACE(std::string(machines->name()));
    const SchedulePtr schedule = hierarchical(machines, local_size);
    EXPECT_EQ(schedule->size(), 15);
    EXPECT_EQ(schedule->period(), machines->period());
    EXPECT_EQ(schedule->name(), "hierarchical " + std::string(machines->name()));
    for (std::uint64_t t = 0; t < 6; ++t) {
      const Topology round = schedule->round(t);
      const Topology of_machines = machines->round(t);
      for (int receiver = 0; receiver < 15; ++receiver) {
        for (int sender = 0; sender < 15; ++sender) {
          ASSERT_EQ(round.weight(receiver, sender),
                    of_machines.weight(receiver / local_size, sender / local_size) / local_size);
        }
      }
      EXPECT_EQ(round.preserves_constants(), of_machines.preserves_constants());
      EXPECT_EQ(round.preserves_mean(), of_machines.preserves_mean());
    }
    EXPECT_EQ(schedule->preserves_constants(), machines->preserves_constants());
    EXPECT_EQ(schedule->preserves_mean(), machines->preserves_mean());
  }
}

TEST(Hierarchical, IsExactAfterTheRoundsOfTheMachines) {
  struct Case {
    int size;
    SchedulePtr machines;
    std::uint64_t rounds;
  };
  const std::vector<Case> cases = {{24, base_k_plus_one(3, 1), 3},     {40, base_k_plus_one(5, 1), 5},
                                   {32, one_peer_exponential(4), 2},   {64, one_peer_exponential(8), 3},
                                   {128, one_peer_exponential(16), 4}, {128, one_peer_hypercube(16), 4},
                                   {8, one_peer_exponential(1), 1}};
  for (const auto& [size, machines, rounds] : cases) {
    SCOPED_TRACE(std::to_string(size) + " ranks, " + std::string(machines->name()));
    const SchedulePtr schedule = hierarchical(machines, 8);
    EXPECT_EQ(schedule->size(), size);
    EXPECT_LT(largest_difference(product(*schedule, rounds), averaging_matrix(size)), 1e-14);
    EXPECT_GT(contraction(*schedule, rounds - 1), 0.1);
  }
}

TEST(Hierarchical, OfOneRankEachIsTheScheduleOfTheMachines) {
  const SchedulePtr machines = base_k_plus_one(11, 2);
  for (std::uint64_t t = 0; t < machines->period(); ++t) {
    EXPECT_EQ(hierarchical(machines, 1)->round(t), machines->round(t));
  }
}

TEST(Hierarchical, HashTellsMachinesAndLocalSizesApart) {
  const auto hash = [](SchedulePtr machines, int local) {
    return hierarchical(std::move(machines), local)->hash();
  };
  EXPECT_EQ(hash(one_peer_exponential(4), 2), hash(one_peer_exponential(4), 2));
  EXPECT_NE(hash(one_peer_exponential(4), 2), hash(one_peer_exponential(2), 4));
  EXPECT_NE(hash(one_peer_exponential(4), 2), hash(one_peer_hypercube(4), 2));
  EXPECT_NE(hash(one_peer_random_matching(4, 1), 2), hash(one_peer_random_matching(4, 2), 2));
}

TEST(Hierarchical, RefusesMachinesThatDoNotExist) {
  expect_invalid([] { (void)hierarchical(nullptr, 2); }, {"hierarchical", "schedule over the machines"});
  expect_invalid([] { (void)hierarchical(one_peer_exponential(4), 0); }, {"4 machines of 0 ranks"});
  expect_invalid([] { (void)hierarchical(one_peer_exponential(4), std::numeric_limits<int>::max()); },
                 {"4 machines", "not possible"});
}

}  // namespace
}  // namespace bluefog
