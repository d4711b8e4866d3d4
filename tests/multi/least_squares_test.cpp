// The problem that the tests of algorithms solve is the one whose figures are known.

#include "multi/least_squares.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include <gtest/gtest.h>

namespace bluefog::test {
namespace {

using Vector = LeastSquares::Vector;

/// Largest eigenvalue of shift * I + sign * matrix, by power iteration.
double largest_eigenvalue(const LeastSquares::Matrix& matrix, double shift, double sign) {
  Vector x;
  x.fill(1.0);
  x[0] = 2.0;
  double eigenvalue = 0;
  for (int i = 0; i < 20'000; ++i) {
    const Vector next = shift * x + sign * LeastSquares::times(matrix, x);
    eigenvalue = std::sqrt(LeastSquares::squared_norm(next));
    x = (1 / eigenvalue) * next;
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
  const LeastSquares problem(16, 2024);
  double smoothness = 0;
  double heterogeneity = 0;
  for (std::size_t rank = 0; rank < problem.ranks(); ++rank) {
    smoothness = std::max(smoothness, largest_eigenvalue(problem.hessian(rank), 0, 1));
    heterogeneity += LeastSquares::squared_norm(problem.gradient(rank, problem.optimum())) / 16;
  }
  const double of_mean = largest_eigenvalue(problem.mean_hessian(), 0, 1);
  EXPECT_NEAR(smoothness, 3.23169820, 5e-9);
  EXPECT_NEAR(of_mean, 1.25424698, 5e-9);
  EXPECT_NEAR(of_mean - largest_eigenvalue(problem.mean_hessian(), of_mean, -1), .70853716, 5e-9);
  EXPECT_NEAR(heterogeneity, 13.3070913, 5e-8);
  EXPECT_NEAR(std::sqrt(LeastSquares::squared_norm(problem.optimum())), 3.51255391, 5e-9);
  EXPECT_NEAR(problem.optimum()[0], 1.18414077, 5e-9);
}

}  // namespace
}  // namespace bluefog::test
