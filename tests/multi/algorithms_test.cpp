// Decentralized algorithms through the operations, 16 ranks on a ring, against figures of an independent
// simulation.

#include <algorithm>
#include <cmath>
#include <ostream>
#include <vector>

#include <gtest/gtest.h>

#include "multi/job.hpp"
#include "multi/least_squares.hpp"

namespace bluefog::test {
namespace {

using Vector = LeastSquares::Vector;

constexpr int ring_size = 16;

const LeastSquares& problem() {
  static const LeastSquares instance(ring_size, 2024);
  return instance;
}

/// Largest eigenvalue of shift * I + sign * matrix, by power iteration.
double largest_eigenvalue(const LeastSquares::Matrix& matrix, double shift, double sign) {
  Vector x;
  x.fill(1.0);
  x[0] = 2.0;
  double eigenvalue = 0;
  for (int i = 0; i < 20'000; ++i) {
    Vector next = LeastSquares::times(matrix, x);
    for (std::size_t k = 0; k < next.size(); ++k) next[k] = shift * x[k] + sign * next[k];
    eigenvalue = std::sqrt(LeastSquares::squared_norm(next));
    for (std::size_t k = 0; k < next.size(); ++k) x[k] = next[k] / eigenvalue;
  }
  return eigenvalue;
}

TEST(SplitMix64, GivesTheKnownNumbers) {
  examples::SplitMix64 bits(2024);
  EXPECT_EQ(bits.next(), 0x9f6d8fecf88eecd5ULL);
  EXPECT_EQ(bits.next(), 0x18e430bb1511f2d2ULL);
  examples::SplitMix64 random(2024);
  for (const double normal : {.7971867263066108, .5582684630231945, 1.1585873232620838, 1.036887592532102}) {
    EXPECT_NEAR(random.normal(), normal, 1e-15);
  }
}

TEST(LeastSquares, HasTheKnownConstants) {
  double smoothness = 0;
  double heterogeneity = 0;
  for (std::size_t rank = 0; rank < problem().ranks(); ++rank) {
    smoothness = std::max(smoothness, largest_eigenvalue(problem().hessian(rank), 0, 1));
    heterogeneity += LeastSquares::squared_norm(problem().gradient(rank, problem().optimum())) / ring_size;
  }
  const double of_mean = largest_eigenvalue(problem().mean_hessian(), 0, 1);
  EXPECT_NEAR(smoothness, 3.23169820, 5e-9);
  EXPECT_NEAR(of_mean, 1.25424698, 5e-9);
  EXPECT_NEAR(of_mean - largest_eigenvalue(problem().mean_hessian(), of_mean, -1), .70853716, 5e-9);
  EXPECT_NEAR(heterogeneity, 13.3070913, 5e-8);
  EXPECT_NEAR(std::sqrt(LeastSquares::squared_norm(problem().optimum())), 3.51255391, 5e-9);
  EXPECT_NEAR(problem().optimum()[0], 1.18414077, 5e-9);
}

/// One rank of the ring.
class Rank {
 public:
  Rank(Context& context, bool meet) : context_(context) {
    options_.schedule = static_schedule(ring_graph(context.size()));
    options_.form = MixingForm::Difference;
    options_.meet = meet;
  }
  [[nodiscard]] Vector gradient(const Vector& x) const {
    return problem().gradient(static_cast<std::size_t>(context_.rank()), x);
  }
  [[nodiscard]] Vector mix(const Vector& x) const {
    Vector mixed{};
    context_.neighbor_allreduce(std::span<const double>(x), std::span(mixed), options_);
    return mixed;
  }
  /// sqrt(mean over ranks of |x_i - x*|^2) / |x*|.
  [[nodiscard]] double error(const Vector& x) const {
    double mean = problem().squared_distance(x);
    context_.allreduce(std::span<const double>(&mean, 1), std::span(&mean, 1));
    return std::sqrt(mean / LeastSquares::squared_norm(problem().optimum()));
  }

 private:
  Context& context_;
  NeighborAllreduceOptions options_;
};

Vector combine(double a, const Vector& x, double b, const Vector& y) {
  Vector result;
  for (std::size_t i = 0; i < result.size(); ++i) result[i] = a * x[i] + b * y[i];
  return result;
}

/// Enough steps for the distance to the fixed point to fall below 1e-7.
int steps_to_settle(double step) {
  return static_cast<int>(25 / step);
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
  run_job(Ranks::Threads, ring_size, [bias = GetParam()](Context& context) {
    const Rank rank(context, false);
    Vector x{};
    for (int k = 0; k < steps_to_settle(bias.step); ++k)
      x = rank.mix(combine(1, x, -bias.step, rank.gradient(x)));
    EXPECT_NEAR(rank.error(x), bias.atc, 5e-5 * bias.atc);
  });
}

TEST_P(Diffusion, AdaptWithCombineEndsAtItsBias) {
  run_job(Ranks::Threads, ring_size, [bias = GetParam()](Context& context) {
    const Rank rank(context, false);
    Vector x{};
    for (int k = 0; k < steps_to_settle(bias.step); ++k) {
      const Vector gradient = rank.gradient(x);
      x = combine(1, rank.mix(x), -bias.step, gradient);
    }
    EXPECT_NEAR(rank.error(x), bias.awc, 5e-5 * bias.awc);
  });
}

INSTANTIATE_TEST_SUITE_P(Ring, Diffusion,
                         testing::Values(Bias{.1, .24562, .25989}, Bias{.05, .17321, .18258},
                                         Bias{.025, .11101, .11736}, Bias{.0125, .065058, .069137}),
                         [](const auto& info) { return "Step" + std::to_string(info.index); });

constexpr double converged = 1e-10;

/// The first iteration after which the error is below 1e-10, and by what it shrank per iteration in the last
/// 100. (It oscillates: the slowest mode is a pair of complex eigenvalues, of modulus .9586 for a step of
/// .1.)
struct Convergence {
  std::size_t iterations = 0;
  double rate = 0;
};

/// `step(x)` gives the next iterate.
template <class Step>
Convergence converge(const Rank& rank, Step step) {
  constexpr std::size_t window = 100;
  Vector x{};
  std::vector<double> errors{rank.error(x)};
  while (errors.back() >= converged && errors.size() < 2000) {
    x = step(x);
    errors.push_back(rank.error(x));
  }
  const std::size_t last = errors.size() - 1;
  return {last, std::pow(errors[last] / errors[last - window], 1.0 / window)};
}

Convergence run_exact_diffusion(const Rank& rank, double step) {
  Vector before{};  // psi of the step before
  return converge(rank, [&](const Vector& x) {
    const Vector psi = combine(1, x, -step, rank.gradient(x));
    const Vector phi = combine(1, psi, 1, combine(1, x, -1, before));
    before = psi;
    return combine(.5, phi, .5, rank.mix(phi));
  });
}

Convergence run_extra(const Rank& rank, double step) {
  Vector gradient_before{};
  Vector half_before{};  // (x + mix(x)) / 2 of the step before
  bool is_first = true;
  return converge(rank, [&](const Vector& x) {
    const Vector mixed = rank.mix(x);
    const Vector gradient = rank.gradient(x);
    Vector next = combine(1, mixed, -step, gradient);
    if (!is_first) {
      next = combine(1, combine(1, x, -1, half_before), 1,
                     combine(1, mixed, -step, combine(1, gradient, -1, gradient_before)));
    }
    is_first = false;
    gradient_before = gradient;
    half_before = combine(.5, x, .5, mixed);
    return next;
  });
}

TEST(ExactDiffusion, ReachesTheOptimumInTheKnownNumberOfSteps) {
  for (const bool meet : {false, true}) {
    run_job(Ranks::Threads, ring_size, [meet](Context& context) {
      const Rank rank(context, meet);
      const Convergence large = run_exact_diffusion(rank, .1);
      EXPECT_EQ(large.iterations, 435U);
      EXPECT_NEAR(large.rate, .95450, 5e-5);
      EXPECT_EQ(run_exact_diffusion(rank, .05).iterations, 649U);
    });
  }
}

TEST(Extra, ReachesTheOptimumInTheKnownNumberOfSteps) {
  run_job(Ranks::Threads, ring_size, [](Context& context) {
    const Rank rank(context, false);
    EXPECT_EQ(run_extra(rank, .1).iterations, 435U);
    EXPECT_EQ(run_extra(rank, .05).iterations, 629U);
  });
}

}  // namespace
}  // namespace bluefog::test
