// Gradient tracking reaches the optimum itself, and over good graphs in the steps of centralized gradient
// descent: figures of an independent simulation.

#include <cstddef>
#include <ostream>
#include <string>

#include <gtest/gtest.h>

#include "multi/learner.hpp"
#include "multi/methods.hpp"

namespace bluefog::test {
namespace {

struct RingFigures {
  double step;
  std::size_t gradient_tracking;
  std::size_t diging;
};
std::ostream& operator<<(std::ostream& out, const RingFigures& figures) {
  return out << "step " << figures.step;
}

class TrackingOnRing : public testing::TestWithParam<RingFigures> {};

TEST_P(TrackingOnRing, GradientTrackingReachesTheOptimumInTheKnownNumberOfSteps) {
  run_learners({static_schedule(ring_graph(16))}, [figures = GetParam()](const Learner<double>& learner) {
    EXPECT_EQ(converge(learner, gradient_tracking(learner, figures.step), 2500).steps,
              figures.gradient_tracking);
  });
}

TEST_P(TrackingOnRing, DigingReachesTheOptimumInTheKnownNumberOfSteps) {
  run_learners({static_schedule(ring_graph(16))}, [figures = GetParam()](const Learner<double>& learner) {
    EXPECT_EQ(converge(learner, diging(learner, figures.step), 2500).steps, figures.diging);
  });
}

INSTANTIATE_TEST_SUITE_P(Ring, TrackingOnRing,
                         testing::Values(RingFigures{.1, 1623, 1741}, RingFigures{.05, 1102, 1163}),
                         [](const auto& info) { return "Step" + std::to_string(info.index); });

struct Graph {
  const char* name;
  SchedulePtr schedule;
  double step;
  std::size_t steps;
};
std::ostream& operator<<(std::ostream& out, const Graph& graph) {
  return out << graph.name;
}

class TrackingByGraph : public testing::TestWithParam<Graph> {};

TEST_P(TrackingByGraph, IsAsFastAsCentralizedDescent) {
  const Graph& graph = GetParam();
  run_learners({graph.schedule}, [&graph](const Learner<double>& learner) {
    EXPECT_EQ(converge(learner, gradient_tracking(learner, graph.step), 1000).steps, graph.steps);
  });
}

INSTANTIATE_TEST_SUITE_P(
    Sixteen, TrackingByGraph,
    testing::Values(Graph{"OnePeerExponential", one_peer_exponential(16), .1, 302},
                    Graph{"OnePeerHypercube", one_peer_hypercube(16), .1, 301},
                    Graph{"Hypercube", static_schedule(hypercube_graph(16)), .1, 301},
                    Graph{"ExponentialTwo", static_schedule(exponential_two_graph(16)), .1, 302},
                    Graph{"Torus", static_schedule(torus_graph(16)), .1, 301},
                    Graph{"FullyConnected", static_schedule(fully_connected_graph(16)), .1, 302}),
    [](const auto& info) { return std::string(info.param.name); });

INSTANTIATE_TEST_SUITE_P(TwentyFive, TrackingByGraph,
                         testing::Values(Graph{"BaseTwo", base_k_plus_one(25, 1), .05, 503},
                                         Graph{"BaseThree", base_k_plus_one(25, 2), .05, 502},
                                         Graph{"BaseFive", base_k_plus_one(25, 4), .05, 503}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(CentralizedDescent, ReachesTheOptimumInTheKnownNumberOfSteps) {
  run_learners({static_schedule(ring_graph(16))}, [](const Learner<double>& learner) {
    EXPECT_EQ(converge(learner, centralized_descent(learner, .1), 1000).steps, 302U);
  });
  run_learners({static_schedule(ring_graph(25))}, [](const Learner<double>& learner) {
    EXPECT_EQ(converge(learner, centralized_descent(learner, .05), 1000).steps, 503U);
  });
}

}  // namespace
}  // namespace bluefog::test
