#include <bit>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/graphs.hpp>

#include "unit/topology_support.hpp"

namespace bluefog {
namespace {

using testing::expect_invalid;
using testing::ranks_of;
using Ranks = std::vector<int>;

struct Generator {
  std::string name;
  std::function<Topology(int)> make;
  bool symmetric;
  bool powers_of_two_only = false;
};

std::vector<Generator> generators() {
  return {
      {"exponential_two", exponential_two_graph, false},
      {"exponential_3", [](int n) { return exponential_graph(n, 3); }, false},
      {"symmetric_exponential", [](int n) { return symmetric_exponential_graph(n); }, true},
      {"symmetric_exponential_2", [](int n) { return symmetric_exponential_graph(n, 2); }, true},
      {"mesh", [](int n) { return mesh_grid_2d_graph(n); }, true},
      {"torus", [](int n) { return torus_graph(n); }, true},
      {"star", [](int n) { return star_graph(n); }, true},
      {"star_last", [](int n) { return star_graph(n, n - 1); }, true},
      {"ring", [](int n) { return ring_graph(n); }, true},
      {"ring_left", [](int n) { return ring_graph(n, RingStyle::Left); }, false},
      {"ring_right", [](int n) { return ring_graph(n, RingStyle::Right); }, false},
      {"full", fully_connected_graph, true},
      {"hypercube", hypercube_graph, true, true},
  };
}

TEST(Graphs, EveryGraphOfEverySizePreservesConstantsAndTheMean) {
  for (const Generator& generator : generators()) {
    for (int size = 1; size <= 70; ++size) {
      if (generator.powers_of_two_only && !std::has_single_bit(static_cast<unsigned>(size))) continue;
      SCOPED_TRACE(generator.name + " of " + std::to_string(size));
      const Topology graph = generator.make(size);
      ASSERT_EQ(graph.size(), size);
      EXPECT_TRUE(graph.preserves_constants());
      EXPECT_TRUE(graph.preserves_mean());
      if (generator.symmetric) {
        EXPECT_TRUE(graph.is_symmetric());
      }
    }
  }
}

TEST(Graphs, OneAndTwoRanks) {
  for (const Generator& generator : generators()) {
    SCOPED_TRACE(generator.name);
    EXPECT_EQ(generator.make(1).to_matrix(), (std::vector<double>{1.0}));
    EXPECT_EQ(generator.make(2).to_matrix(), (std::vector<double>{0.5, 0.5, 0.5, 0.5}));
  }
}

TEST(Graphs, EveryGraphRefusesSizesBelowOne) {
  for (const Generator& generator : generators()) {
    SCOPED_TRACE(generator.name);
    expect_invalid([&] { (void)generator.make(0); }, {"number of ranks is 0"});
  }
  expect_invalid([] { (void)metropolis_hastings(-1, {}); }, {"metropolis_hastings", "number of ranks is -1"});
}

/// Every rank sends to rank + d for each of `distances`, all weights equal.
void expect_circulant(const Topology& graph, const Ranks& distances) {
  const double weight = 1.0 / static_cast<double>(distances.size() + 1);
  for (int sender = 0; sender < graph.size(); ++sender) {
    EXPECT_EQ(graph.self_weight(sender), weight);
    EXPECT_EQ(graph.out_neighbors(sender).size(), distances.size());
    for (const int distance : distances) {
      EXPECT_EQ(graph.weight((sender + distance) % graph.size(), sender), weight)
          << sender << " + " << distance;
    }
  }
}

TEST(Graphs, ExponentialTwo) {
  expect_circulant(exponential_two_graph(3), {1, 2});
  expect_circulant(exponential_two_graph(8), {1, 2, 4});
  expect_circulant(exponential_two_graph(9), {1, 2, 4, 8});
  expect_circulant(exponential_two_graph(13), {1, 2, 4, 8});
  for (int size = 1; size <= 40; ++size) EXPECT_EQ(exponential_graph(size), exponential_two_graph(size));
}

TEST(Graphs, ExponentialFindsEveryPowerOfTheBase) {
  expect_circulant(exponential_graph(10, 3), {1, 3, 9});
  expect_circulant(exponential_graph(244, 3), {1, 3, 9, 27, 81, 243});
  expect_circulant(exponential_graph(243, 3), {1, 3, 9, 27, 81});
  expect_circulant(exponential_graph(1001, 10), {1, 10, 100, 1000});
  expect_circulant(exponential_graph(7, 100), {1});
}

TEST(Graphs, SymmetricExponentialMeasuresTheShorterWay) {
  expect_circulant(symmetric_exponential_graph(12), {1, 4, 8, 11});
  expect_circulant(symmetric_exponential_graph(8), {1, 4, 7});
  expect_circulant(symmetric_exponential_graph(7), {1, 6});
  expect_circulant(symmetric_exponential_graph(9, 2), {1, 2, 4, 5, 7, 8});
}

TEST(Graphs, ExponentialBasesBelowTwoAreRefused) {
  expect_invalid([] { (void)exponential_graph(8, 1); }, {"exponential_graph", "base is 1", "2 or more"});
  expect_invalid([] { (void)symmetric_exponential_graph(8, 0); },
                 {"symmetric_exponential_graph", "base is 0"});
}

TEST(Graphs, ClosestGridShape) {
  EXPECT_EQ(closest_grid_shape(1), (GridShape{1, 1}));
  EXPECT_EQ(closest_grid_shape(7), (GridShape{1, 7}));
  EXPECT_EQ(closest_grid_shape(16), (GridShape{4, 4}));
  EXPECT_EQ(closest_grid_shape(24), (GridShape{4, 6}));
  EXPECT_EQ(closest_grid_shape(63), (GridShape{7, 9}));
}

TEST(Graphs, MeshGridHasHastingsWeights) {
  const Topology grid = mesh_grid_2d_graph(6);  // 0 1 2 / 3 4 5
  EXPECT_EQ(ranks_of(grid.in_neighbors(0)), (Ranks{1, 3}));
  EXPECT_EQ(ranks_of(grid.in_neighbors(1)), (Ranks{0, 2, 4}));
  EXPECT_EQ(grid.weight(0, 3), 1.0 / 3.0);
  EXPECT_EQ(grid.weight(0, 1), 0.25);
  EXPECT_EQ(grid.weight(1, 4), 0.25);
  EXPECT_DOUBLE_EQ(grid.self_weight(0), 1.0 - 1.0 / 3.0 - 0.25);
  EXPECT_DOUBLE_EQ(grid.self_weight(1), 0.25);
}

TEST(Graphs, MeshGridTakesAShape) {
  const Topology tall = mesh_grid_2d_graph(6, GridShape{3, 2});  // 0 1 / 2 3 / 4 5
  EXPECT_EQ(ranks_of(tall.in_neighbors(2)), (Ranks{0, 3, 4}));
  const Topology line = mesh_grid_2d_graph(5);
  EXPECT_EQ(ranks_of(line.in_neighbors(0)), (Ranks{1}));
  EXPECT_EQ(ranks_of(line.in_neighbors(3)), (Ranks{2, 4}));
  EXPECT_EQ(line, mesh_grid_2d_graph(5, GridShape{5, 1}));
}

TEST(Graphs, GridShapesThatDoNotFitAreRefused) {
  expect_invalid(
      [] {
        (void)mesh_grid_2d_graph(6, GridShape{2, 2});
      },
      {"mesh_grid_2d_graph", "2 rows", "2 columns", "6 ranks"});
  expect_invalid([] { (void)torus_graph(6, GridShape{-2, -3}); }, {"torus_graph", "-2 rows", "6 ranks"});
  expect_invalid([] { (void)mesh_grid_2d_graph(1, GridShape{1 << 16, 1 << 16}); }, {"1 ranks"});
}

TEST(Graphs, TorusClosesRowsAndColumns) {
  const Topology torus = torus_graph(12);  // 3 x 4
  EXPECT_EQ(ranks_of(torus.in_neighbors(0)), (Ranks{1, 3, 4, 8}));
  EXPECT_EQ(torus.weight(0, 8), 0.2);
  EXPECT_EQ(torus.self_weight(0), 0.2);
  const Topology flat = torus_graph(8);  // 2 x 4: up and down are one
  EXPECT_EQ(ranks_of(flat.in_neighbors(0)), (Ranks{1, 3, 4}));
  EXPECT_EQ(flat.weight(0, 4), 0.25);
  EXPECT_EQ(torus_graph(7), ring_graph(7));
}

TEST(Graphs, Star) {
  const Topology star = star_graph(5, 2);
  EXPECT_EQ(ranks_of(star.in_neighbors(2)), (Ranks{0, 1, 3, 4}));
  EXPECT_EQ(ranks_of(star.in_neighbors(4)), (Ranks{2}));
  EXPECT_EQ(star.weight(2, 0), 0.2);
  EXPECT_EQ(star.weight(0, 2), 0.2);
  EXPECT_EQ(star.self_weight(2), 0.2);
  EXPECT_EQ(star.self_weight(0), 0.8);
  expect_invalid([] { (void)star_graph(5, 5); }, {"star_graph", "rank 5", "0 to 4"});
  expect_invalid([] { (void)star_graph(5, -1); }, {"star_graph", "rank -1"});
}

TEST(Graphs, Ring) {
  expect_circulant(ring_graph(5), {1, 4});
  expect_circulant(ring_graph(3), {1, 2});
  expect_circulant(ring_graph(5, RingStyle::Left), {4});
  expect_circulant(ring_graph(5, RingStyle::Right), {1});
  expect_invalid([] { (void)ring_graph(5, static_cast<RingStyle>(3)); },
                 {"ring_graph", "style is 3", "1 (left)"});
}

TEST(Graphs, FullyConnected) {
  expect_circulant(fully_connected_graph(5), {1, 2, 3, 4});
}

TEST(Graphs, Hypercube) {
  const Topology cube = hypercube_graph(8);
  EXPECT_EQ(ranks_of(cube.in_neighbors(5)), (Ranks{1, 4, 7}));
  EXPECT_EQ(cube.weight(5, 7), 0.25);
  EXPECT_EQ(cube.self_weight(5), 0.25);
  for (const int size : {3, 6, 12, 31}) {
    expect_invalid([&] { (void)hypercube_graph(size); }, {std::to_string(size) + " ranks", "power of two"});
  }
}

TEST(Graphs, MetropolisHastingsOnAnyUndirectedGraph) {
  // A path 0 - 1 - 2 and rank 3 by itself.
  const Topology graph = metropolis_hastings(4, std::vector<UndirectedEdge>{{1, 0}, {1, 2}});
  EXPECT_EQ(graph.weight(0, 1), 1.0 / 3.0);
  EXPECT_EQ(graph.weight(1, 0), 1.0 / 3.0);
  EXPECT_DOUBLE_EQ(graph.self_weight(0), 2.0 / 3.0);
  EXPECT_DOUBLE_EQ(graph.self_weight(1), 1.0 / 3.0);
  EXPECT_EQ(graph.self_weight(3), 1.0);
  EXPECT_TRUE(graph.in_neighbors(3).empty());
  EXPECT_TRUE(graph.is_symmetric());
  EXPECT_TRUE(graph.preserves_mean());
}

TEST(Graphs, MetropolisHastingsRefusesWhatIsNoUndirectedGraph) {
  const auto weigh = [](std::vector<UndirectedEdge> edges) {
    return [=] { (void)metropolis_hastings(4, edges); };
  };
  expect_invalid(weigh({{0, 4}}), {"rank 4", "0 to 3"});
  expect_invalid(weigh({{2, 2}}), {"rank 2", "itself"});
  expect_invalid(weigh({{0, 1}, {3, 2}, {1, 0}}), {"edge 0 - 1", "twice"});
}

}  // namespace
}  // namespace bluefog
