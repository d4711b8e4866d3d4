#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/graphs.hpp>
#include <bluefog/spectral.hpp>

#include "unit/consensus.hpp"
#include "unit/topology_support.hpp"

namespace bluefog {
namespace {

using testing::Consensus;
using testing::expect_invalid;

int rounds_until(const Schedule& schedule, double tolerance) {
  Consensus consensus(schedule.size());
  int rounds = 0;
  for (; consensus.relative_error() > tolerance && rounds < 100'000; ++rounds) {
    consensus.mix(schedule.round(static_cast<std::uint64_t>(rounds)));
  }
  return rounds;
}

struct RoundsRow {
  int size, ring, ring_one_way, grid, torus, star, exponential, one_peer, base_2, base_5;
};

TEST(ConsensusRounds, Table) {
  const std::vector<RoundsRow> table = {{8, 104, 284, 137, 33, 173, 32, 3, 3, 2},
                                        {16, 418, 1122, 154, 44, 357, 42, 4, 4, 2},
                                        {25, 1026, 2743, 244, 69, 564, 33, 69, 9, 2},
                                        {64, 6527, 17413, 648, 174, 1462, 64, 6, 6, 3},
                                        {100, 15963, 42574, 1025, 270, 2291, 73, 91, 11, 3}};
  for (const RoundsRow& row : table) {
    SCOPED_TRACE("size " + std::to_string(row.size));
    const auto rounds = [](Topology topology) {
      return rounds_until(*static_schedule(std::move(topology)), 1e-10);
    };
    EXPECT_EQ(rounds(ring_graph(row.size)), row.ring);
    EXPECT_EQ(rounds(ring_graph(row.size, RingStyle::Right)), row.ring_one_way);
    EXPECT_EQ(rounds(mesh_grid_2d_graph(row.size)), row.grid);
    EXPECT_EQ(rounds(torus_graph(row.size)), row.torus);
    EXPECT_EQ(rounds(star_graph(row.size)), row.star);
    EXPECT_EQ(rounds(exponential_graph(row.size)), row.exponential);
    EXPECT_EQ(rounds_until(*one_peer_exponential(row.size), 1e-10), row.one_peer);
    EXPECT_EQ(rounds_until(*base_k_plus_one(row.size, 1), 1e-10), row.base_2);
    EXPECT_EQ(rounds_until(*base_k_plus_one(row.size, 4), 1e-10), row.base_5);
  }
}

TEST(ConsensusRounds, WorstCaseOfANormalMatrixFollowsFromItsRate) {
  for (const Topology& graph :
       {ring_graph(16), ring_graph(64), exponential_graph(25), mesh_grid_2d_graph(49)}) {
    const double expected = std::ceil(std::log(1e-10) / std::log(consensus_rate(graph)));
    EXPECT_EQ(rounds_to_consensus(graph), static_cast<std::uint64_t>(expected));
  }
}

TEST(ConsensusRounds, StaticGraphsAndTheirSchedulesAgree) {
  for (const Topology& graph :
       {ring_graph(8), exponential_graph(12), star_graph(5), fully_connected_graph(6)}) {
    EXPECT_EQ(rounds_to_consensus(graph), rounds_to_consensus(*static_schedule(graph)));
  }
}

TEST(ConsensusRounds, OfSchedules) {
  EXPECT_EQ(rounds_to_consensus(*one_peer_exponential(16)), 4U);
  EXPECT_EQ(rounds_to_consensus(*one_peer_hypercube(32)), 5U);
  EXPECT_EQ(rounds_to_consensus(*one_peer_exponential(1)), 0U);
  const std::uint64_t rounds = rounds_to_consensus(*one_peer_exponential(25)).value();
  EXPECT_LE(contraction(*one_peer_exponential(25), rounds), 1e-10);
  EXPECT_GT(contraction(*one_peer_exponential(25), rounds - 1), 1e-10);
}

TEST(ConsensusRounds, NothingWhereTheMeanIsNotReached) {
  EXPECT_FALSE(rounds_to_consensus(star_graph(5).with_uniform_weights()).has_value());
  EXPECT_FALSE(rounds_to_consensus(*one_peer_dynamic(star_graph(5))).has_value());
  const Topology apart = metropolis_hastings(4, std::vector<UndirectedEdge>{{0, 1}, {2, 3}});
  EXPECT_FALSE(rounds_to_consensus(apart).has_value());
  EXPECT_FALSE(rounds_to_consensus(*static_schedule(apart), 1e-10, 1000).has_value());
}

TEST(ConsensusRounds, NothingBeyondTheLimit) {
  const std::uint64_t rounds = rounds_to_consensus(ring_graph(16)).value();
  EXPECT_EQ(rounds_to_consensus(ring_graph(16), 1e-10, rounds), rounds);
  EXPECT_FALSE(rounds_to_consensus(ring_graph(16), 1e-10, rounds - 1).has_value());
  EXPECT_EQ(rounds_to_consensus(*one_peer_exponential(16), 1e-10, 4), 4U);
  EXPECT_FALSE(rounds_to_consensus(*one_peer_exponential(16), 1e-10, 3).has_value());
  expect_invalid([] { (void)rounds_to_consensus(ring_graph(4), 0.0); }, {"tolerance is 0", "above 0"});
}

TEST(ConsensusRounds, AThousandRanks) {
  const auto error_after = [](const Schedule& schedule, std::uint64_t rounds) {
    Consensus consensus(schedule.size());
    for (std::uint64_t t = 0; t < rounds; ++t) consensus.mix(schedule.round(t));
    return consensus.relative_error();
  };
  EXPECT_LT(error_after(*one_peer_exponential(1024), 10), 1e-15);
  EXPECT_LT(error_after(*one_peer_hypercube(1024), 10), 1e-15);
  EXPECT_LT(error_after(*base_k_plus_one(1024, 1), 10), 1e-15);
  EXPECT_LT(error_after(*base_k_plus_one(1024, 4), 5), 1e-15);
  EXPECT_NEAR(error_after(*static_schedule(exponential_graph(1024)), 10), 6.0e-3, 5e-4);
  EXPECT_EQ(rounds_until(*static_schedule(exponential_graph(1024)), 1e-10), 92);
}

TEST(ConsensusRounds, AThousandRanksOnARing) {
  const Topology ring = ring_graph(1024);
  Consensus consensus(1024);
  int done = 0;
  const std::vector<std::pair<int, double>> errors = {
      {10, .343}, {100, .202}, {1'000, .113}, {10'000, .0707}};
  for (const auto& [rounds, expected] : errors) {
    for (; done < rounds; ++done) consensus.mix(ring);
    EXPECT_NEAR(consensus.relative_error(), expected, 5.1e-4) << "after " << rounds << " rounds";
  }
}

/// A grid and a star of 16 ranks, on which one-peer choices collide.
struct Irregular {
  Topology graph;
  double bias_of_receiver_averages;
};

const std::vector<Irregular>& irregular_graphs() {
  static const std::vector<Irregular> graphs = {{mesh_grid_2d_graph(16), .1006}, {star_graph(16), .0401}};
  return graphs;
}

TEST(OnePeerOnIrregularGraphs, AveragesByReceiversAgreeOnAWrongValue) {
  for (const auto& [graph, bias] : irregular_graphs()) {
    const SchedulePtr choices = one_peer_dynamic(graph);
    Consensus consensus(16);
    for (std::uint64_t t = 0; t < 2'000; ++t) consensus.mix(choices->round(t).with_uniform_weights());
    EXPECT_NEAR(consensus.largest_error(), bias, 5.1e-5);
    for (const auto& row : consensus.values()) EXPECT_NEAR(row[0], consensus.values()[0][0], 1e-12);
    EXPECT_FALSE(choices->round(0).with_uniform_weights().preserves_mean());
  }
}

TEST(OnePeerOnIrregularGraphs, TheScheduleSaysThatItNeedsPushSum) {
  for (const auto& [graph, bias] : irregular_graphs()) {
    const SchedulePtr schedule = one_peer_dynamic(graph);
    EXPECT_TRUE(schedule->preserves_mean());
    EXPECT_FALSE(schedule->preserves_constants());
    EXPECT_FALSE(rounds_to_consensus(*schedule).has_value());
  }
}

TEST(OnePeerOnIrregularGraphs, PushSumFindsTheMean) {
  for (const auto& [graph, bias] : irregular_graphs()) {
    const SchedulePtr schedule = one_peer_dynamic(graph);
    Consensus ratio(16);
    Consensus::Values sums = ratio.values();
    Consensus::Values weights(16, {1.0, 1.0, 1.0, 1.0});
    for (std::uint64_t t = 0; t < 2'000; ++t) {
      sums = Consensus::mixed(schedule->round(t), sums);
      weights = Consensus::mixed(schedule->round(t), weights);
    }
    for (std::size_t rank = 0; rank < 16; ++rank) {
      for (std::size_t k = 0; k < 4; ++k) ratio.values()[rank][k] = sums[rank][k] / weights[rank][k];
    }
    EXPECT_LT(ratio.largest_error(), 1e-12);
  }
}

}  // namespace
}  // namespace bluefog
