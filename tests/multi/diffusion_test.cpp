// Diffusion stops at a distance from the optimum that the step size, the data and the graph decide: figures
// of an independent simulation.

#include <cstddef>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "multi/learner.hpp"
#include "multi/methods.hpp"

namespace bluefog::test {
namespace {

/// Relative; the figures have five digits.
constexpr double tolerance = 5e-5;

/// Errors in the last period of the schedule, the one after its last round last, after so many steps that the
/// distance to where the algorithm ends has fallen below 1e-7.
template <class Next>
std::vector<double> settled_errors(const Learner<double>& learner, Next next, double step,
                                   std::size_t period) {
  const auto enough = static_cast<std::size_t>(25 / step);
  const std::size_t steps = (enough / period + 1) * period;
  const std::vector<double> errors = learner.errors(std::move(next), steps);
  return {errors.end() - static_cast<std::ptrdiff_t>(period), errors.end()};
}

struct Bias {
  double step;
  double atc;
  double awc;
};
std::ostream& operator<<(std::ostream& out, const Bias& bias) {
  return out << "step " << bias.step;
}

class Diffusion : public testing::TestWithParam<Bias> {};

TEST_P(Diffusion, AdaptThenCombineEndsAtItsBias) {
  run_learners(
      {static_schedule(ring_graph(16))},
      [bias = GetParam()](const Learner<double>& learner) {
        const auto errors = settled_errors(learner, adapt_then_combine(learner, bias.step), bias.step, 1);
        EXPECT_NEAR(errors.back(), bias.atc, tolerance * bias.atc);
      },
      Ranks::Threads);
}

TEST_P(Diffusion, AdaptWithCombineEndsAtItsBias) {
  run_learners(
      {static_schedule(ring_graph(16))},
      [bias = GetParam()](const Learner<double>& learner) {
        const auto errors = settled_errors(learner, adapt_with_combine(learner, bias.step), bias.step, 1);
        EXPECT_NEAR(errors.back(), bias.awc, tolerance * bias.awc);
      },
      Ranks::Threads);
}

INSTANTIATE_TEST_SUITE_P(Ring, Diffusion,
                         testing::Values(Bias{.1, .24562, .25989}, Bias{.05, .17321, .18258},
                                         Bias{.025, .11101, .11736}, Bias{.0125, .065058, .069137}),
                         [](const auto& info) { return "Step" + std::to_string(info.index); });

struct Graph {
  const char* name;
  SchedulePtr schedule;
  double step;
  /// The bias depends on the round: that after so many rounds of a period.
  std::size_t round;
  double bias;
};
std::ostream& operator<<(std::ostream& out, const Graph& graph) {
  return out << graph.name;
}

class DiffusionByGraph : public testing::TestWithParam<Graph> {};

TEST_P(DiffusionByGraph, AdaptThenCombineEndsAtItsBias) {
  const Graph& graph = GetParam();
  run_learners({graph.schedule}, [&graph](const Learner<double>& learner) {
    const auto errors = settled_errors(learner, adapt_then_combine(learner, graph.step), graph.step,
                                       graph.schedule->period());
    EXPECT_NEAR(errors[graph.round - 1], graph.bias, tolerance * graph.bias);
  });
}

INSTANTIATE_TEST_SUITE_P(
    Sixteen, DiffusionByGraph,
    testing::Values(Graph{"Grid", static_schedule(mesh_grid_2d_graph(16)), .1, 1, .128256},
                    Graph{"Torus", static_schedule(torus_graph(16)), .1, 1, .0694625},
                    Graph{"Hypercube", static_schedule(hypercube_graph(16)), .1, 1, .0580615},
                    Graph{"ExponentialTwo", static_schedule(exponential_two_graph(16)), .1, 1, .0540307},
                    Graph{"OnePeerExponential", one_peer_exponential(16), .1, 4, .106653}),
    [](const auto& info) { return std::string(info.param.name); });

INSTANTIATE_TEST_SUITE_P(
    TwentyFive, DiffusionByGraph,
    testing::Values(Graph{"Ring", static_schedule(ring_graph(25)), .05, 1, .223313},
                    Graph{"ExponentialTwo", static_schedule(exponential_two_graph(25)), .05, 1, .0234123},
                    Graph{"OnePeerExponential", one_peer_exponential(25), .05, 5, .0631351},
                    Graph{"BaseTwoAtItsWorst", base_k_plus_one(25, 1), .05, 4, .0994649},
                    Graph{"BaseTwo", base_k_plus_one(25, 1), .05, 8, .0859035},
                    Graph{"BaseThree", base_k_plus_one(25, 2), .05, 4, .0577916},
                    Graph{"BaseFive", base_k_plus_one(25, 4), .05, 2, .0192722}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(Diffusion, HasNoBiasWhereAllRanksAreJoined) {
  run_learners({static_schedule(fully_connected_graph(16))}, [](const Learner<double>& learner) {
    EXPECT_LT(learner.errors(adapt_then_combine(learner, .1), 500).back(), 1e-14);
  });
}

}  // namespace
}  // namespace bluefog::test
