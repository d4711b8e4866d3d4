#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/spectral.hpp>
#include <bluefog/weighting.hpp>

#include "base/split_mix.hpp"
#include "unit/topology_support.hpp"

namespace bluefog {
namespace {

using testing::expect_invalid;
using Edges = std::vector<UndirectedEdge>;

constexpr Weighting kAll[] = {Weighting::MetropolisHastings, Weighting::MaxDegree, Weighting::BestConstant,
                              Weighting::Fmmc, Weighting::Fdla};

Edges path(int size) {
  Edges edges;
  for (int rank = 1; rank < size; ++rank) edges.push_back({rank - 1, rank});
  return edges;
}

Topology path_graph(int size) {
  return metropolis_hastings(size, path(size));
}

/// A path of all ranks and further edges at random.
Topology random_graph(int size, std::uint64_t seed, double probability) {
  base::SplitMix64 random(seed);
  Edges edges = path(size);
  for (int b = 2; b < size; ++b) {
    for (int a = 0; a < b - 1; ++a) {
      if (static_cast<double>(random.next() >> 11) * 0x1p-53 < probability) edges.push_back({a, b});
    }
  }
  return metropolis_hastings(size, edges);
}

struct GapRow {
  std::string name;
  Topology graph;
  double metropolis_hastings, max_degree, best_constant, fmmc, fdla;
};

TEST(Weighting, GapsOfTheTable) {
  const std::vector<GapRow> table = {{"ring16", ring_graph(16), .0507, .0507, .0733, .0733, .0733},
                                     {"path16", path_graph(16), .0128, .0128, .0192, .0192, .0192},
                                     {"grid4x4", mesh_grid_2d_graph(16), .1314, .1172, .1580, .1756, .1756},
                                     {"star16", star_graph(16), .0625, .0625, .1176, .0664, .1174}};
  for (const auto& row : table) {
    SCOPED_TRACE(row.name);
    const auto gap = [&](Weighting weighting) { return spectral_gap(reweighted(row.graph, weighting)); };
    EXPECT_NEAR(gap(Weighting::MetropolisHastings), row.metropolis_hastings, 5.1e-5);
    EXPECT_NEAR(gap(Weighting::MaxDegree), row.max_degree, 5.1e-5);
    EXPECT_NEAR(gap(Weighting::BestConstant), row.best_constant, 5.1e-5);
    EXPECT_NEAR(gap(Weighting::Fmmc), row.fmmc, 1e-3);  // by an iteration that was not quite at its end
    EXPECT_NEAR(gap(Weighting::Fdla), row.fdla, 1e-3);
  }
}

TEST(Weighting, BestGapsInClosedForm) {
  using std::numbers::pi;
  constexpr double tolerance = 1e-7;
  for (const int size : {2, 3, 5, 8, 16}) {
    SCOPED_TRACE(std::to_string(size) + " ranks");
    const auto gap = [](const Topology& graph, Weighting weighting) {
      return spectral_gap(reweighted(graph, weighting));
    };
    // A path mixes fastest as half of a ring twice as long does: with 1/2 on every edge.
    EXPECT_NEAR(gap(path_graph(size), Weighting::Fdla), 1.0 - std::cos(pi / size), tolerance);
    EXPECT_NEAR(gap(path_graph(size), Weighting::Fmmc), 1.0 - std::cos(pi / size), tolerance);
    EXPECT_NEAR(gap(fully_connected_graph(size), Weighting::Fdla), 1.0, tolerance);
    EXPECT_NEAR(gap(star_graph(size), Weighting::Fdla), size == 2 ? 1.0 : 2.0 / (size + 1.0), tolerance);
    EXPECT_NEAR(gap(star_graph(size), Weighting::Fmmc), size == 2 ? 1.0 : 1.0 / (size - 1.0), tolerance);
    EXPECT_NEAR(gap(ring_graph(size), Weighting::Fdla), gap(ring_graph(size), Weighting::BestConstant),
                tolerance);
  }
}

TEST(Weighting, EveryWeightingOfEveryGraphPreservesConstantsAndTheMean) {
  std::vector<Topology> graphs = {ring_graph(1),    ring_graph(2),          path_graph(3),
                                  star_graph(9, 4), mesh_grid_2d_graph(12), fully_connected_graph(7),
                                  torus_graph(9),   hypercube_graph(8)};
  for (std::uint64_t seed = 0; seed < 5; ++seed) graphs.push_back(random_graph(14, seed, 0.2));
  for (const Topology& graph : graphs) {
    for (const Weighting weighting : kAll) {
      SCOPED_TRACE(std::to_string(graph.size()) + " ranks, weighting " +
                   std::to_string(static_cast<int>(weighting)));
      const Topology weighted = reweighted(graph, weighting);
      EXPECT_TRUE(weighted.is_symmetric());
      EXPECT_TRUE(weighted.preserves_constants());
      EXPECT_TRUE(weighted.preserves_mean());
      for (int rank = 0; rank < graph.size(); ++rank) {
        EXPECT_EQ(testing::ranks_of(weighted.in_neighbors(rank)),
                  testing::ranks_of(graph.in_neighbors(rank)));
      }
    }
  }
}

TEST(Weighting, NoneIsBetterThanFdlaAndNoneWithoutNegativesThanFmmc) {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Topology graph = random_graph(16, seed, 0.15);
    const auto gap = [&](Weighting weighting) { return spectral_gap(reweighted(graph, weighting)); };
    constexpr double rounding = 1e-7;
    EXPECT_GE(gap(Weighting::Fdla), gap(Weighting::Fmmc) - rounding);
    EXPECT_GE(gap(Weighting::Fdla), gap(Weighting::BestConstant) - rounding);
    EXPECT_GE(gap(Weighting::Fmmc), gap(Weighting::MetropolisHastings) - rounding);
    EXPECT_GE(gap(Weighting::Fmmc), gap(Weighting::MaxDegree) - rounding);
  }
}

TEST(Weighting, MovingAnyEdgeOfFdlaMakesItNoFaster) {
  const Topology graph = random_graph(12, 3, 0.2);
  const Topology fastest = reweighted(graph, Weighting::Fdla);
  const double rate = consensus_rate(fastest);
  for (int b = 0; b < graph.size(); ++b) {
    for (const Topology::Neighbor& a : graph.in_neighbors(b)) {
      if (a.rank > b) continue;
      for (const double change : {1e-3, -1e-3}) {
        std::vector<double> matrix = fastest.to_matrix();
        const auto at = [&](int row, int column) -> double& {
          return matrix[static_cast<std::size_t>(row) * 12 + static_cast<std::size_t>(column)];
        };
        at(a.rank, b) += change;
        at(b, a.rank) += change;
        at(b, b) -= change;
        at(a.rank, a.rank) -= change;
        EXPECT_GE(consensus_rate(Topology::from_matrix(12, matrix)), rate - 1e-8) << a.rank << " - " << b;
      }
    }
  }
}

TEST(Weighting, FmmcHasNoNegativeWeightsAndFdlaMay) {
  const Topology star = star_graph(16);
  for (const Topology& graph : {star, mesh_grid_2d_graph(16), random_graph(14, 1, 0.2)}) {
    const std::vector<double> matrix = reweighted(graph, Weighting::Fmmc).to_matrix();
    EXPECT_GE(*std::min_element(matrix.begin(), matrix.end()), 0.0);
  }
  EXPECT_NEAR(reweighted(star, Weighting::Fdla).self_weight(0), -.76, 5.1e-3);
}

TEST(Weighting, EdgesMayBeGivenInAnyOrder) {
  const Edges one = {{0, 1}, {1, 2}, {2, 3}, {0, 2}};
  const Edges other = {{2, 0}, {3, 2}, {1, 0}, {2, 1}};
  for (const Weighting weighting : kAll) {
    EXPECT_EQ(weighted_graph(4, one, weighting), weighted_graph(4, other, weighting));
  }
  EXPECT_EQ(weighted_graph(4, one, Weighting::MetropolisHastings), metropolis_hastings(4, one));
}

TEST(Weighting, GraphsThatFallApartHaveLocalWeightsOnly) {
  const Edges apart = {{0, 1}, {2, 3}};
  EXPECT_NO_THROW((void)weighted_graph(4, apart, Weighting::MetropolisHastings));
  EXPECT_NO_THROW((void)weighted_graph(4, apart, Weighting::MaxDegree));
  for (const Weighting weighting : {Weighting::BestConstant, Weighting::Fmmc, Weighting::Fdla}) {
    expect_invalid([&] { (void)weighted_graph(4, apart, weighting); },
                   {"weighted_graph", "rank 2 cannot be reached from rank 0"});
    expect_invalid([&] { (void)weighted_graph(2, {}, weighting); }, {"rank 1 cannot be reached"});
  }
}

TEST(Weighting, RefusesEdgesThatAreNone) {
  for (const Weighting weighting : kAll) {
    expect_invalid([&] { (void)weighted_graph(3, Edges{{0, 3}}, weighting); }, {"rank 3", "0 to 2"});
    expect_invalid([&] { (void)weighted_graph(3, Edges{{1, 1}}, weighting); }, {"rank 1 with itself"});
    expect_invalid(
        [&] {
          (void)weighted_graph(3, Edges{{1, 2}, {2, 1}}, weighting);
        },
        {"1 - 2 is given twice"});
    expect_invalid([&] { (void)reweighted(ring_graph(4, RingStyle::Right), weighting); },
                   {"reweighted", "3 -> 0 has no opposite"});
  }
}

}  // namespace
}  // namespace bluefog
