// The library's algorithms over buckets give the figures of their papers, which an independent simulation has
// given too.

#include <array>
#include <cmath>
#include <cstddef>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "multi/matrix.hpp"
#include "multi/trainer.hpp"
#include "split_mix.hpp"

namespace bluefog::test {
namespace {

constexpr double tolerance = 5e-5;  // the figures have five digits
constexpr int size = 16;

SchedulePtr ring() {
  return static_schedule(ring_graph(size));
}

/// Errors in the last period of the schedule, after so many steps that all changes have died away.
std::vector<double> settled(const Learner<double>& learner, const MakeAlgorithm& make, double step,
                            std::size_t period, double momentum = 0) {
  const auto enough = static_cast<std::size_t>(25 / step);
  const std::size_t steps = (enough / period + 1) * period;
  const auto errors = learner.errors(trained_by(make, learner, step, momentum), steps);
  return {errors.end() - static_cast<std::ptrdiff_t>(period), errors.end()};
}

struct Figure {
  const char* name;
  SchedulePtr schedule;
  MakeAlgorithm make;
  double step;
  std::size_t round;  ///< of the period, from 1
  double error;
};
std::ostream& operator<<(std::ostream& out, const Figure& figure) {
  return out << figure.name;
}

template <class Algorithm>
Figure figure(const char* name, SchedulePtr schedule, double step, std::size_t round, double error) {
  return {name, schedule, over<Algorithm>(schedule), step, round, error};
}

class Bias : public testing::TestWithParam<Figure> {};

TEST_P(Bias, IsTheKnownOne) {
  const Figure& figure = GetParam();
  run_learners({figure.schedule}, [&figure](const Learner<double>& learner) {
    const auto errors = settled(learner, figure.make, figure.step, figure.schedule->period());
    EXPECT_NEAR(errors[figure.round - 1], figure.error, tolerance * figure.error);
  });
}

INSTANTIATE_TEST_SUITE_P(
    Diffusion, Bias,
    testing::Values(figure<AdaptThenCombine>("AtcRing10", ring(), .1, 1, .24562),
                    figure<AdaptThenCombine>("AtcRing05", ring(), .05, 1, .17321),
                    figure<AdaptThenCombine>("AtcRing025", ring(), .025, 1, .11101),
                    figure<AdaptThenCombine>("AtcRing0125", ring(), .0125, 1, .065058),
                    figure<AdaptWithCombine>("AwcRing10", ring(), .1, 1, .25989),
                    figure<AdaptWithCombine>("AwcRing05", ring(), .05, 1, .18258),
                    figure<AdaptWithCombine>("AwcRing025", ring(), .025, 1, .11736),
                    figure<AdaptWithCombine>("AwcRing0125", ring(), .0125, 1, .069137),
                    figure<AdaptThenCombine>("Grid", static_schedule(mesh_grid_2d_graph(16)), .1, 1, .128256),
                    figure<AdaptThenCombine>("Torus", static_schedule(torus_graph(16)), .1, 1, .0694625),
                    figure<AdaptThenCombine>("Hypercube", static_schedule(hypercube_graph(16)), .1, 1,
                                             .0580615),
                    figure<AdaptThenCombine>("ExponentialTwo", static_schedule(exponential_two_graph(16)), .1,
                                             1, .0540307),
                    figure<AdaptThenCombine>("OnePeerExponential", one_peer_exponential(16), .1, 4, .106653),
                    figure<AdaptThenCombine>("BaseTwoOf25", base_k_plus_one(25, 1), .05, 8, .0859035),
                    figure<AdaptThenCombine>("BaseFiveOf25", base_k_plus_one(25, 4), .05, 2, .0192722)),
    [](const auto& info) { return std::string(info.param.name); });

struct Exact {
  const char* name;
  SchedulePtr schedule;
  MakeAlgorithm make;
  double step;
  std::size_t steps;
};
std::ostream& operator<<(std::ostream& out, const Exact& exact) {
  return out << exact.name;
}

template <class Algorithm>
Exact exact(const char* name, SchedulePtr schedule, double step, std::size_t steps) {
  return {name, schedule, over<Algorithm>(schedule), step, steps};
}

class Convergence16 : public testing::TestWithParam<Exact> {};

TEST_P(Convergence16, TakesTheKnownNumberOfSteps) {
  const Exact& exact = GetParam();
  run_learners({exact.schedule}, [&exact](const Learner<double>& learner) {
    EXPECT_EQ(converge(learner, trained_by(exact.make, learner, exact.step), 2 * exact.steps).steps,
              exact.steps);
  });
}

INSTANTIATE_TEST_SUITE_P(
    ToTheOptimum, Convergence16,
    testing::Values(
        exact<ExactDiffusion>("ExactDiffusionRing", ring(), .1, 435),
        exact<ExactDiffusion>("ExactDiffusionRing05", ring(), .05, 649),
        exact<ExactDiffusion>("ExactDiffusionGrid", static_schedule(mesh_grid_2d_graph(16)), .1, 303),
        exact<ExactDiffusion>("ExactDiffusionTorus", static_schedule(torus_graph(16)), .1, 300),
        exact<ExactDiffusion>("ExactDiffusionHypercube", static_schedule(hypercube_graph(16)), .1, 299),
        exact<ExactDiffusion>("ExactDiffusionStar", static_schedule(star_graph(16)), .1, 828),
        exact<ExactDiffusion>("ExactDiffusionOnePeerHypercube", one_peer_hypercube(16), .1, 299),
        exact<GradientTracking>("TrackingRing", ring(), .1, 1623),
        exact<GradientTracking>("TrackingRing05", ring(), .05, 1102),
        exact<GradientTracking>("TrackingOnePeerExponential", one_peer_exponential(16), .1, 302),
        exact<GradientTracking>("TrackingOnePeerHypercube", one_peer_hypercube(16), .1, 301),
        exact<GradientTracking>("TrackingExponentialTwo", static_schedule(exponential_two_graph(16)), .1,
                                302),
        exact<GradientTracking>("TrackingTorus", static_schedule(torus_graph(16)), .1, 301),
        exact<GradientTracking>("TrackingBaseTwoOf25", base_k_plus_one(25, 1), .05, 503),
        exact<GradientTracking>("TrackingBaseThreeOf25", base_k_plus_one(25, 2), .05, 502),
        exact<GradientTracking>("TrackingBaseFiveOf25", base_k_plus_one(25, 4), .05, 503),
        exact<GradientAllreduce>("Allreduce", ring(), .1, 302),
        exact<GradientAllreduce>("AllreduceOf25", static_schedule(ring_graph(25)), .05, 503)),
    [](const auto& info) { return std::string(info.param.name); });

TEST(Momentum, MultipliesTheBiasOfDiffusion) {
  run_learners({ring()}, [](const Learner<double>& learner) {
    const auto errors = settled(learner, over<AdaptThenCombine>(ring()), .01, 1, .9);
    EXPECT_NEAR(errors.back(), .24562, tolerance * .24562);  // that of a step of .01 / (1 - .9)
  });
}

TEST(Momentum, DoesNotMultiplyTheBiasOfDecentLaMAndQuasiGlobalMomentum) {
  run_learners({ring()}, [](const Learner<double>& learner) {
    const auto decent_lam = settled(learner, over<DecentLaM>(ring()), .0125, 1, .9);
    EXPECT_NEAR(decent_lam.back(), .065058, tolerance * .065058);
    const auto quasi_global = settled(learner, over<QuasiGlobalMomentum>(ring()), .0125, 1);
    EXPECT_NEAR(quasi_global.back(), .065058, tolerance * .065058);
  });
}

TEST(SinglePrecision, ExactDiffusionStaysAtTheOptimum) {
  constexpr std::size_t settled_by = 1500;
  const std::size_t steps = is_reduced() ? 2 * settled_by : 10'000;
  run_learners<float>({ring()}, [steps](const Learner<float>& learner) {
    const auto errors = learner.errors(trained_by(over<ExactDiffusion>(ring()), learner, .1), steps);
    EXPECT_LT(*std::max_element(errors.begin() + settled_by, errors.end()), 3e-6);
  });
}

TEST(Noise, ShrinksAsTheNumberOfRanksGrows) {
  constexpr double step = .02;
  constexpr std::size_t dims = 10;
  const int steps = is_reduced() ? 4000 : 15'000;
  for (const int ranks : {1, 4, 16}) {
    run_job(Ranks::SimulatedHost, ranks, [ranks, steps](Context& context) {
      const std::array<double, dims> start{};
      Trainer<double> trainer(context, start, over<AdaptThenCombine>(one_peer_exponential(ranks)));
      examples::SplitMix64 random(17 + static_cast<std::uint64_t>(context.rank()));
      double sum = 0;
      std::array<double, dims> total{};
      for (int k = -500; k < steps; ++k) {
        trainer.step(step, [&random](std::span<double> gradient, std::span<const double> x) {
          for (std::size_t i = 0; i < dims; ++i) gradient[i] = x[i] + random.normal();
        });
        if (k < 0 || k % 10 != 0) continue;
        std::ranges::copy(trainer.x(), total.begin());
        context.allreduce(total, total);
        for (const double mean : total) sum += mean * mean;
      }
      const double expected = step * dims / (ranks * (2 - step));
      EXPECT_NEAR(sum / (steps / 10), expected, (is_reduced() ? .2 : .1) * expected) << ranks << " ranks";
    });
  }
}

}  // namespace
}  // namespace bluefog::test
