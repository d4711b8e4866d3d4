#include <limits>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/dynamic_graphs.hpp>
#include <bluefog/graphs.hpp>
#include <bluefog/schedule.hpp>

#include "unit/topology_support.hpp"

namespace bluefog {
namespace {

using testing::expect_invalid;
using testing::ranks_of;

bool every_round(const Schedule& schedule, bool (Topology::*holds)() const) {
  for (std::uint64_t t = 0; t < schedule.period(); ++t) {
    if (!(schedule.round(t).*holds)()) return false;
  }
  return true;
}

/// Rank `rank`'s exchange of round t, as the matrix of that round has it.
SendRecv exchange_of(const Topology& round, int rank) {
  return {ranks_of(round.out_neighbors(rank)), ranks_of(round.in_neighbors(rank))};
}

TEST(Schedule, StaticIsTheSameInEveryRound) {
  const Topology graph = mesh_grid_2d_graph(6);
  const SchedulePtr schedule = static_schedule(graph);
  EXPECT_EQ(schedule->period(), 1U);
  EXPECT_EQ(schedule->size(), 6);
  EXPECT_EQ(schedule->round(0), graph);
  EXPECT_EQ(schedule->round(123'456'789'012U), graph);
}

TEST(Schedule, OnePeerExponentialAveragesOneAndOne) {
  const SchedulePtr schedule = one_peer_exponential(5);
  EXPECT_EQ(schedule->period(), 3U);
  const Topology round = schedule->round(1);
  for (int rank = 0; rank < 5; ++rank) {
    EXPECT_EQ(round.self_weight(rank), 0.5);
    EXPECT_EQ(round.weight((rank + 2) % 5, rank), 0.5);
    EXPECT_EQ(round.out_neighbors(rank).size(), 1U);
  }
}

TEST(Schedule, OnePeerHypercubeExchangesAlongOneBit) {
  const SchedulePtr schedule = one_peer_hypercube(8);
  EXPECT_EQ(schedule->period(), 3U);
  const Topology round = schedule->round(4);
  EXPECT_TRUE(round.is_symmetric());
  for (int rank = 0; rank < 8; ++rank) EXPECT_EQ(round.weight(rank, rank ^ 2), 0.5);
  for (const int size : {0, 3, 6, 12}) {
    expect_invalid([&] { (void)one_peer_hypercube(size); }, {"one_peer_hypercube", std::to_string(size)});
  }
}

TEST(Schedule, PeriodsAreThoseOfTheDistances) {
  EXPECT_EQ(one_peer_exponential(1)->period(), 1U);
  EXPECT_EQ(one_peer_exponential(2)->period(), 1U);
  EXPECT_EQ(one_peer_exponential(3)->period(), 2U);
  EXPECT_EQ(one_peer_exponential(8)->period(), 3U);
  EXPECT_EQ(one_peer_exponential(9)->period(), 4U);
  EXPECT_EQ(one_peer_hypercube(1)->period(), 1U);
  EXPECT_EQ(one_peer_dynamic(star_graph(5))->period(), 4U);
  EXPECT_EQ(one_peer_dynamic(mesh_grid_2d_graph(9))->period(), 12U);
  EXPECT_EQ(inner_outer_ring(12, 4)->period(), 4U);
  EXPECT_EQ(inner_outer_expo2(35, 7)->period(), 21U);  // 7 go out in turn, 3 outer and 3 inner distances
}

TEST(Schedule, RoundsAreTheExchangesThatEachRankIsTold) {
  for (int size = 1; size <= 33; ++size) {
    const Topology star = star_graph(size);
    const int local_size = size % 4 == 0 ? 4 : size;
    for (std::uint64_t t = 0; t < 13; ++t) {
      for (int rank = 0; rank < size; ++rank) {
        ASSERT_EQ(exchange_of(one_peer_exponential(size)->round(t), rank),
                  one_peer_exponential_send_recv(size, rank, t));
        ASSERT_EQ(exchange_of(one_peer_dynamic(star)->round(t), rank),
                  dynamic_one_peer_send_recv(star, rank, t));
        ASSERT_EQ(exchange_of(inner_outer_ring(size, local_size)->round(t), rank),
                  inner_outer_ring_send_recv(size, local_size, rank, t));
        ASSERT_EQ(exchange_of(inner_outer_expo2(size, local_size)->round(t), rank),
                  inner_outer_expo2_send_recv(size, local_size, rank, t));
      }
    }
  }
}

TEST(Schedule, RegularOnesPreserveConstantsAndTheMean) {
  for (int size = 1; size <= 33; ++size) {
    std::vector<SchedulePtr> schedules = {
        one_peer_exponential(size), one_peer_dynamic(exponential_graph(size)),
        one_peer_dynamic(ring_graph(size)), static_schedule(star_graph(size)),
        one_peer_dynamic(fully_connected_graph(size))};
    if (size % 4 == 0)
      schedules.insert(schedules.end(), {inner_outer_ring(size, 4), inner_outer_expo2(size, 4)});
    for (const SchedulePtr& schedule : schedules) {
      SCOPED_TRACE(std::string(schedule->name()) + " of " + std::to_string(size));
      EXPECT_EQ(schedule->size(), size);
      EXPECT_TRUE(schedule->preserves_constants());
      EXPECT_TRUE(schedule->preserves_mean());
      EXPECT_TRUE(every_round(*schedule, &Topology::preserves_constants));
      EXPECT_TRUE(every_round(*schedule, &Topology::preserves_mean));
      EXPECT_EQ(schedule->round(3 + 5 * schedule->period()), schedule->round(3));
    }
  }
}

TEST(Schedule, OnePeerChoicesOnGridAndStarPreserveTheMeanOnly) {
  for (const Topology& graph : {mesh_grid_2d_graph(16), mesh_grid_2d_graph(5), star_graph(7)}) {
    const SchedulePtr schedule = one_peer_dynamic(graph);
    EXPECT_TRUE(schedule->preserves_mean());
    EXPECT_TRUE(every_round(*schedule, &Topology::preserves_mean));
    EXPECT_FALSE(schedule->preserves_constants());
    EXPECT_FALSE(every_round(*schedule, &Topology::preserves_constants));
  }
}

/// Uniform weights on the edges given as (sender, receiver).
Topology from_edges(int size, const std::vector<std::pair<int, int>>& edges) {
  std::vector<Topology::Edge> weighted;
  for (const auto& [sender, receiver] : edges) weighted.push_back({receiver, sender, 1.0});
  return Topology(size, weighted).with_uniform_weights();
}

TEST(Schedule, OnePeerDynamicKnowsWithoutLookingAtEveryRoundWhatItPreserves) {
  const std::vector<Topology> graphs = {
      from_edges(
          5, {{0, 1}, {1, 0}, {2, 3}, {2, 4}, {3, 2}, {3, 4}, {4, 2}, {4, 3}}),  // a pair beside a triangle
      from_edges(3, {{0, 1}, {1, 0}}),                                           // rank 2 by itself
      from_edges(3, {{0, 1}, {1, 0}, {0, 2}}),                                   // rank 2 only receives
      from_edges(4, {{0, 1}, {1, 2}, {2, 3}, {3, 0}, {0, 2}}),                   // a ring with a short cut
      from_edges(4, {{0, 2}, {0, 3}, {1, 2}, {1, 3}, {2, 0}, {2, 1}, {3, 0}, {3, 1}}),
      from_edges(4, {{0, 1}, {0, 3}, {1, 0}, {1, 2}, {2, 1}, {2, 3}, {3, 0}, {3, 2}}),
  };
  int preserving = 0;
  for (const Topology& graph : graphs) {
    const SchedulePtr schedule = one_peer_dynamic(graph);
    EXPECT_EQ(schedule->preserves_constants(), every_round(*schedule, &Topology::preserves_constants));
    preserving += schedule->preserves_constants() ? 1 : 0;
  }
  EXPECT_EQ(preserving, 3);
}

TEST(Schedule, OnePeerDynamicMayHaveAnAstronomicPeriod) {
  // Rank i sends to i + 1, ..., 80, so every degree up to 80 occurs: their least common multiple is above
  // 2^64.
  std::vector<std::pair<int, int>> edges;
  for (int sender = 0; sender < 80; ++sender) {
    for (int receiver = sender + 1; receiver <= 80; ++receiver) edges.emplace_back(sender, receiver);
  }
  const SchedulePtr schedule = one_peer_dynamic(from_edges(81, edges));
  EXPECT_EQ(schedule->period(), std::numeric_limits<std::uint64_t>::max());
  EXPECT_FALSE(schedule->preserves_constants());
  EXPECT_TRUE(schedule->preserves_mean());
  EXPECT_EQ(schedule->hash(), one_peer_dynamic(from_edges(81, edges))->hash());
}

TEST(Schedule, OnePeerDynamicUsesTheEdgesNotTheWeights) {
  const Topology star = star_graph(5);
  EXPECT_EQ(one_peer_dynamic(star)->hash(), one_peer_dynamic(star.with_uniform_weights())->hash());
}

TEST(Schedule, HashTellsSchedulesApart) {
  std::set<std::uint64_t> seen;
  const std::vector<SchedulePtr> schedules = {
      one_peer_exponential(8),         one_peer_exponential(9),
      one_peer_hypercube(8),           one_peer_dynamic(exponential_graph(8)),
      one_peer_dynamic(ring_graph(8)), static_schedule(exponential_graph(8)),
      static_schedule(ring_graph(8)),  inner_outer_ring(8, 4),
      inner_outer_expo2(8, 4),         inner_outer_expo2(12, 4),
      inner_outer_expo2(12, 3)};
  for (const SchedulePtr& schedule : schedules) seen.insert(schedule->hash());
  EXPECT_EQ(seen.size(), schedules.size());
  EXPECT_EQ(one_peer_exponential(8)->hash(), one_peer_exponential(8)->hash());
}

TEST(Schedule, FactsMayBeAskedForByManyThreadsAtOnce) {
  const SchedulePtr schedule = one_peer_exponential(64);
  std::vector<std::uint64_t> hashes(4);
  std::vector<std::thread> threads;
  for (std::uint64_t& hash : hashes) threads.emplace_back([&] { hash = schedule->hash(); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(hashes, std::vector<std::uint64_t>(4, one_peer_exponential(64)->hash()));
}

TEST(Schedule, ASharedRoundIsTheRoundWhicheverWereAskedForBefore) {
  for (const SchedulePtr& schedule : {one_peer_random_matching(30, 4), one_peer_exponential(30)}) {
    for (const std::uint64_t t : {3U, 35U, 3U, 4U, 3U, 67U, 35U, 1003U, 3U}) {
      EXPECT_EQ(*schedule->shared_round(t), schedule->round(t)) << "round " << t;
    }
  }
}

TEST(Schedule, SharedRoundsMayBeAskedForByManyThreadsAtOnce) {
  const SchedulePtr schedule = one_peer_random_matching(30, 4);
  std::vector<std::vector<std::uint64_t>> hashes(4);
  std::vector<std::thread> threads;
  for (std::vector<std::uint64_t>& own : hashes) {
    threads.emplace_back([&] {
      for (std::uint64_t t = 0; t < 200; ++t) own.push_back(schedule->shared_round(t)->hash());
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::uint64_t t = 0; t < 200; ++t) {
    const std::uint64_t expected = schedule->round(t).hash();
    for (const std::vector<std::uint64_t>& own : hashes) EXPECT_EQ(own[t], expected) << "round " << t;
  }
}

TEST(Schedule, RefusesSizesAndMachinesThatDoNotFit) {
  expect_invalid([] { (void)one_peer_exponential(0); }, {"one_peer_exponential", "number of ranks is 0"});
  expect_invalid([] { (void)inner_outer_ring(10, 4); }, {"inner_outer_ring", "10 ranks", "machines of 4"});
  expect_invalid([] { (void)inner_outer_expo2(10, 0); }, {"inner_outer_expo2", "10 ranks", "machines of 0"});
}

}  // namespace
}  // namespace bluefog
