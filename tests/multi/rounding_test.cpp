// What single precision costs each algorithm: figures of an independent simulation, which rounds in another
// order and therefore is met to within a factor only. Exact diffusion has a marginal mode, so that a row
// whose rounded weights do not sum to 1 makes it drift for ever.

#include <algorithm>
#include <cstddef>
#include <vector>

#include <gtest/gtest.h>

#include "multi/learner.hpp"
#include "multi/matrix.hpp"
#include "multi/methods.hpp"

namespace bluefog::test {
namespace {

constexpr double step = .1;
constexpr std::size_t many = 10'000;
/// By then all algorithms are as close to the optimum as they get.
constexpr std::size_t settled = 2000;

/// All weights are 1/3.
Topology ring() {
  return ring_graph(16);
}

double largest_once_settled(const std::vector<double>& errors) {
  return *std::max_element(errors.begin() + settled, errors.end());
}

TEST(SinglePrecision, ExactDiffusionDriftsWithPlainWeights) {
  const std::size_t steps = is_reduced() ? many : 5 * many;
  run_learners<float>({static_schedule(ring()), MixingForm::Plain}, [steps](const Learner<float>& learner) {
    const std::vector<double> errors = learner.errors(exact_diffusion(learner, step), steps);
    EXPECT_GT(errors[many - 1], 1.1e-3 / 2);
    EXPECT_LT(errors[many - 1], 1.1e-3 * 2);
    EXPECT_NEAR(errors.back() / errors[steps / 5 - 1], 5, .25);
  });
}

TEST(SinglePrecision, ExactDiffusionStaysAtTheOptimumInDifferenceForm) {
  const std::size_t steps = is_reduced() ? many : 5 * many;
  run_learners<float>({static_schedule(ring())}, [steps](const Learner<float>& learner) {
    EXPECT_LT(largest_once_settled(learner.errors(exact_diffusion(learner, step), steps)), 3e-6);
  });
}

TEST(SinglePrecision, ExactDiffusionStaysAtTheOptimumInDifferenceFormWhereRanksMeet) {
  run_learners<float>(
      {static_schedule(ring()), MixingForm::Difference, true}, [](const Learner<float>& learner) {
        EXPECT_LT(largest_once_settled(learner.errors(exact_diffusion(learner, step), many)), 3e-6);
      });
}

TEST(SinglePrecision, ExactDiffusionStaysClosestWithTheDualAsFlows) {
  run_learners<float>({static_schedule(ring())}, [](const Learner<float>& learner) {
    learner.context().set_topology(ring(), true);
    EXPECT_LT(largest_once_settled(learner.errors(exact_diffusion_by_flows(learner, step), many)), 3e-7);
  });
}

TEST(SinglePrecision, GradientTrackingBearsPlainWeights) {
  run_learners<float>({static_schedule(ring()), MixingForm::Plain}, [](const Learner<float>& learner) {
    EXPECT_LT(largest_once_settled(learner.errors(gradient_tracking(learner, step), many)), 2e-6);
  });
}

}  // namespace
}  // namespace bluefog::test
