// Exact diffusion and its relatives reach the optimum itself, in numbers of steps that an independent
// simulation gives.

#include <cstddef>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "multi/learner.hpp"
#include "multi/methods.hpp"

namespace bluefog::test {
namespace {

constexpr int size = 16;

Mixing on_the_ring(bool meet) {
  return {static_schedule(ring_graph(size)), MixingForm::Difference, meet};
}

TEST(ExactDiffusion, ReachesTheOptimumInTheKnownNumberOfSteps) {
  for (const bool meet : {false, true}) {
    run_learners(
        on_the_ring(meet),
        [](const Learner<double>& learner) {
          const Convergence large = converge(learner, exact_diffusion(learner, .1), 1000);
          EXPECT_EQ(large.steps, 435U);
          // It oscillates: the slowest mode is a pair of complex eigenvalues, of modulus .9586.
          EXPECT_NEAR(large.rate, .95450, 5e-5);
          EXPECT_EQ(converge(learner, exact_diffusion(learner, .05), 1000).steps, 649U);
        },
        Ranks::Threads);
  }
}

TEST(Extra, ReachesTheOptimumInTheKnownNumberOfSteps) {
  run_learners(
      on_the_ring(false),
      [](const Learner<double>& learner) {
        EXPECT_EQ(converge(learner, extra(learner, .1), 1000).steps, 435U);
        EXPECT_EQ(converge(learner, extra(learner, .05), 1000).steps, 629U);
      },
      Ranks::Threads);
}

struct Graph {
  const char* name;
  SchedulePtr schedule;
  std::size_t steps;
};
std::ostream& operator<<(std::ostream& out, const Graph& graph) {
  return out << graph.name;
}

class ExactDiffusionByGraph : public testing::TestWithParam<Graph> {};

TEST_P(ExactDiffusionByGraph, ReachesTheOptimumInTheKnownNumberOfSteps) {
  run_learners({GetParam().schedule}, [steps = GetParam().steps](const Learner<double>& learner) {
    EXPECT_EQ(converge(learner, exact_diffusion(learner, .1), 2 * steps).steps, steps);
  });
}

INSTANTIATE_TEST_SUITE_P(Sixteen, ExactDiffusionByGraph,
                         testing::Values(Graph{"Grid", static_schedule(mesh_grid_2d_graph(size)), 303},
                                         Graph{"Torus", static_schedule(torus_graph(size)), 300},
                                         Graph{"Hypercube", static_schedule(hypercube_graph(size)), 299},
                                         Graph{"Star", static_schedule(star_graph(size)), 828},
                                         Graph{"OnePeerHypercube", one_peer_hypercube(size), 299},
                                         // Directed, which the theory does not cover: it converges, slowly.
                                         Graph{"ExponentialTwo", static_schedule(exponential_two_graph(size)),
                                               4943}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(ExactDiffusion, CrawlsOnADirectedGraph) {
  run_learners({static_schedule(exponential_two_graph(size))}, [](const Learner<double>& learner) {
    // The 4943rd error is so close under the threshold that another mathematical library may decide
    // otherwise.
    EXPECT_NEAR(static_cast<double>(converge(learner, exact_diffusion(learner, .1), 6000).steps), 4943, 1);
  });
}

/// A directed ring in which every other rank hears one more; each takes the mean of what it hears.
Topology ring_with_one_way_chords() {
  std::vector<Topology::Edge> edges;
  for (int rank = 0; rank < size; ++rank) {
    std::vector<int> heard{rank, (rank + size - 1) % size};
    if (rank % 2 == 0) heard.push_back((rank + size - 5) % size);
    for (const int sender : heard) edges.push_back({rank, sender, 1.0 / static_cast<double>(heard.size())});
  }
  return {size, edges};
}

TEST(ExactDiffusion, DivergesWhereTheMeanIsNotPreserved) {
  const Topology graph = ring_with_one_way_chords();
  ASSERT_TRUE(graph.preserves_constants());
  ASSERT_FALSE(graph.preserves_mean());
  run_learners({static_schedule(graph)}, [](const Learner<double>& learner) {
    EXPECT_GT(learner.errors(exact_diffusion(learner, .1), 200).back(), 1e6);
  });
}

}  // namespace
}  // namespace bluefog::test
