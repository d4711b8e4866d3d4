#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/graphs.hpp>
#include <bluefog/topology.hpp>

#include "unit/topology_support.hpp"

namespace bluefog {
namespace {

using testing::expect_invalid;
using testing::ranks_of;
using Edge = Topology::Edge;

/// 0 -> 1 (.25), 0 -> 2 (.5), 2 -> 1 (0), self weights 1, .75, .5.
Topology example() {
  return {3,
          std::vector<Edge>{{1, 2, 0.0}, {2, 2, 0.5}, {1, 0, 0.25}, {0, 0, 1.0}, {2, 0, 0.5}, {1, 1, 0.75}}};
}

TEST(Topology, TellsSendersFromReceivers) {
  const Topology graph = example();
  EXPECT_EQ(graph.size(), 3);
  EXPECT_EQ(graph.weight(1, 0), 0.25);
  EXPECT_EQ(graph.weight(0, 1), 0.0);
  EXPECT_EQ(graph.weight(1, 1), 0.75);
  EXPECT_EQ(graph.self_weight(2), 0.5);
  EXPECT_EQ(ranks_of(graph.in_neighbors(1)), (std::vector<int>{0, 2}));
  EXPECT_EQ(ranks_of(graph.out_neighbors(0)), (std::vector<int>{1, 2}));
  EXPECT_EQ(graph.out_neighbors(0)[1], (Topology::Neighbor{2, 0.5}));
  EXPECT_TRUE(graph.in_neighbors(0).empty());
  EXPECT_EQ(graph.max_out_degree(), 2);
}

TEST(Topology, AnEdgeOfWeightZeroIsAnEdgeAndASelfWeightIsNone) {
  const Topology graph = example();
  EXPECT_TRUE(graph.has_edge(2, 1));
  EXPECT_FALSE(graph.has_edge(1, 2));
  EXPECT_FALSE(graph.has_edge(1, 1));
}

TEST(Topology, SelfWeightsThatAreNotGivenAreZero) {
  const Topology graph(2, std::vector<Edge>{{1, 0, 1.0}});
  EXPECT_EQ(graph.self_weight(0), 0.0);
  EXPECT_EQ(graph.self_weight(1), 0.0);
}

TEST(Topology, DenseMatrixHasOneRowForEachReceiver) {
  const std::vector<double> matrix = {1.0, 0.0, 0.0, 0.25, 0.75, 0.0, 0.5, 0.0, 0.5};
  EXPECT_EQ(example().to_matrix(), matrix);
  const Topology graph = Topology::from_matrix(3, matrix);
  EXPECT_EQ(graph.to_matrix(), matrix);
  EXPECT_FALSE(graph.has_edge(2, 1));
  EXPECT_NE(graph, example());
}

TEST(Topology, PropertiesAreNamedByWhatTheyPreserve) {
  const Topology receivers_average = Topology::from_matrix(2, std::vector<double>{1.0, 0.0, 0.5, 0.5});
  EXPECT_TRUE(receivers_average.preserves_constants());
  EXPECT_FALSE(receivers_average.preserves_mean());
  const Topology senders_split = Topology::from_matrix(2, std::vector<double>{0.5, 0.0, 0.5, 1.0});
  EXPECT_FALSE(senders_split.preserves_constants());
  EXPECT_TRUE(senders_split.preserves_mean());
}

TEST(Topology, PreservingAllowsForRoundingOnly) {
  const auto nearly_one = [](double excess) {
    return Topology::from_matrix(2, std::vector<double>{1.0 + excess, 0.0, 0.0, 1.0}).preserves_constants();
  };
  EXPECT_TRUE(nearly_one(1.9e-15));
  EXPECT_FALSE(nearly_one(2.3e-15));
}

TEST(Topology, SymmetryAndRegularity) {
  EXPECT_TRUE(ring_graph(5).is_symmetric());
  EXPECT_FALSE(ring_graph(5, RingStyle::Left).is_symmetric());
  EXPECT_FALSE(Topology::from_matrix(2, std::vector<double>{0.5, 0.5, 0.25, 0.75}).is_symmetric());
  EXPECT_TRUE(ring_graph(5, RingStyle::Left).is_regular());
  EXPECT_FALSE(star_graph(5).is_regular());
  EXPECT_TRUE(star_graph(2).is_regular());
}

TEST(Topology, UniformWeightsAverageWhatIsReceived) {
  const Topology uniform = example().with_uniform_weights();
  EXPECT_EQ(uniform.self_weight(0), 1.0);
  EXPECT_EQ(uniform.weight(1, 2), 1.0 / 3.0);
  EXPECT_EQ(uniform.weight(1, 1), 1.0 / 3.0);
  EXPECT_EQ(uniform.weight(2, 0), 0.5);
  EXPECT_TRUE(uniform.preserves_constants());
}

TEST(Topology, UniformWeightsOnGridAndStarDoNotPreserveTheMean) {
  for (const Topology& graph : {mesh_grid_2d_graph(9), star_graph(5)}) {
    EXPECT_TRUE(graph.preserves_mean());
    EXPECT_TRUE(graph.with_uniform_weights().preserves_constants());
    EXPECT_FALSE(graph.with_uniform_weights().preserves_mean());
  }
}

TEST(Topology, HashFollowsEquality) {
  const Topology graph(2, std::vector<Edge>{{0, 0, 1.0}, {1, 0, 0.5}, {1, 1, 0.5}});
  const Topology shuffled(2, std::vector<Edge>{{1, 1, 0.5}, {1, 0, 0.5}, {0, 0, 1.0}});
  EXPECT_EQ(graph, shuffled);
  EXPECT_EQ(graph.hash(), shuffled.hash());
  const std::vector<Topology> others = {
      Topology(2, std::vector<Edge>{{0, 0, 1.0}, {0, 1, 0.5}, {1, 1, 0.5}}),   // turned around
      Topology(2, std::vector<Edge>{{0, 0, 1.0}, {1, 0, 0.25}, {1, 1, 0.5}}),  // another weight
      Topology(2, std::vector<Edge>{{0, 0, 1.0}, {1, 0, 0.5}, {1, 1, 0.25}}),  // another self weight
      Topology(2, std::vector<Edge>{{0, 0, 1.0}, {1, 0, 0.5}, {1, 1, 0.5}, {0, 1, 0}}),  // one more edge
      Topology(3, std::vector<Edge>{{0, 0, 1.0}, {1, 0, 0.5}, {1, 1, 0.5}}),             // one more rank
  };
  for (const Topology& other : others) {
    EXPECT_NE(graph, other);
    EXPECT_NE(graph.hash(), other.hash());
  }
}

TEST(Topology, NegativeZeroIsZero) {
  const Topology positive(1, std::vector<Edge>{{0, 0, 0.0}});
  const Topology negative(1, std::vector<Edge>{{0, 0, -0.0}});
  EXPECT_EQ(positive, negative);
  EXPECT_EQ(positive.hash(), negative.hash());
}

TEST(Topology, HashIsTheSameOnEveryMachine) {
  EXPECT_EQ(ring_graph(4).hash(), 0xdd4eb8b7231f7df9U);
}

TEST(Topology, AJobOfOne) {
  const Topology alone(1, std::vector<Edge>{{0, 0, 1.0}});
  EXPECT_TRUE(alone.preserves_constants());
  EXPECT_TRUE(alone.preserves_mean());
  EXPECT_TRUE(alone.is_symmetric());
  EXPECT_TRUE(alone.is_regular());
  EXPECT_EQ(alone.max_out_degree(), 0);
}

TEST(TopologyErrors, NameTheRanksConcerned) {
  const auto make = [](int size, std::vector<Edge> edges) { return [=] { (void)Topology(size, edges); }; };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  expect_invalid(make(0, {}), {"number of ranks is 0"});
  expect_invalid(make(-3, {}), {"number of ranks is -3"});
  expect_invalid(make(4, {{2, 4, 1.0}}), {"edge 4 -> 2", "rank 4", "0 to 3"});
  expect_invalid(make(4, {{-1, 3, 1.0}}), {"edge 3 -> -1", "rank -1", "0 to 3"});
  expect_invalid(make(4, {{2, 3, 1.0}, {0, 0, 1.0}, {2, 3, 0.5}}), {"edge 3 -> 2", "twice"});
  expect_invalid(make(4, {{1, 1, 1.0}, {1, 1, 1.0}}), {"self weight of rank 1", "twice"});
  expect_invalid(make(4, {{2, 3, nan}}), {"edge 3 -> 2", "nan", "finite"});
  expect_invalid(make(4, {{2, 2, infinity}}), {"self weight of rank 2", "inf", "finite"});
}

TEST(TopologyErrors, DenseMatrix) {
  expect_invalid([] { (void)Topology::from_matrix(2, std::vector<double>(3)); },
                 {"3 entries", "2 ranks", "4"});
  expect_invalid([] { (void)Topology::from_matrix(0, {}); }, {"number of ranks is 0"});
  std::vector<double> matrix = ring_graph(3).to_matrix();
  matrix[1] = std::nan("");
  expect_invalid([&] { (void)Topology::from_matrix(3, matrix); }, {"edge 1 -> 0", "nan"});
}

TEST(TopologyErrors, QueriesOfRanksThatDoNotExist) {
  const Topology graph = ring_graph(3);
  expect_invalid([&] { (void)graph.in_neighbors(3); }, {"rank 3", "0 to 2"});
  expect_invalid([&] { (void)graph.out_neighbors(-1); }, {"rank -1"});
  expect_invalid([&] { (void)graph.self_weight(7); }, {"rank 7"});
  expect_invalid([&] { (void)graph.weight(0, 3); }, {"rank 3"});
  expect_invalid([&] { (void)graph.weight(3, 0); }, {"rank 3"});
  expect_invalid([&] { (void)graph.has_edge(3, 0); }, {"rank 3"});
}

}  // namespace
}  // namespace bluefog
