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
/// By then all algorithms are as close to the optimum as they get.
constexpr std::size_t settled = 1500;

std::size_t steps(std::size_t full) {
  return is_reduced() ? 2 * settled : full;
}

/// All weights are 1/3.
Topology ring() {
  return ring_graph(16);
}

double largest_once_settled(const std::vector<double>& errors) {
  return *std::max_element(errors.begin() + settled, errors.end());
}

TEST(SinglePrecision, ExactDiffusionDriftsWithPlainWeights) {
  constexpr double drift_per_step = 1.1e-7;
  run_learners<float>({static_schedule(ring()), MixingForm::Plain}, [](const Learner<float>& learner) {
    const std::vector<double> errors = learner.errors(exact_diffusion(learner, step), steps(50'000));
    const double expected = drift_per_step * static_cast<double>(errors.size());
    EXPECT_GT(errors.back(), expected / 2);
    EXPECT_LT(errors.back(), expected * 2);
    EXPECT_NEAR(errors.back() / errors[errors.size() / 2 - 1], 2, .1);
  });
}

TEST(SinglePrecision, ExactDiffusionStaysAtTheOptimumInDifferenceForm) {
  run_learners<float>({static_schedule(ring())}, [](const Learner<float>& learner) {
    EXPECT_LT(largest_once_settled(learner.errors(exact_diffusion(learner, step), steps(50'000))), 3e-6);
  });
}

TEST(SinglePrecision, ExactDiffusionStaysAtTheOptimumInDifferenceFormWhereRanksMeet) {
  run_learners<float>(
      {static_schedule(ring()), MixingForm::Difference, true}, [](const Learner<float>& learner) {
        EXPECT_LT(largest_once_settled(learner.errors(exact_diffusion(learner, step), steps(10'000))), 3e-6);
      });
}

TEST(SinglePrecision, ExactDiffusionStaysClosestWithTheDualAsFlows) {
  run_learners<float>({static_schedule(ring())}, [](const Learner<float>& learner) {
    learner.context().set_topology(ring(), true);
    const auto errors = learner.errors(exact_diffusion_by_flows(learner, step), steps(10'000));
    EXPECT_LT(largest_once_settled(errors), 3e-7);
  });
}

TEST(SinglePrecision, GradientTrackingBearsPlainWeights) {
  run_learners<float>({static_schedule(ring()), MixingForm::Plain}, [](const Learner<float>& learner) {
    EXPECT_LT(largest_once_settled(learner.errors(gradient_tracking(learner, step), steps(10'000))), 2e-6);
  });
}

}  // namespace
}  // namespace bluefog::test
