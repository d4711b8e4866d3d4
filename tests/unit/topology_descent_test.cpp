// Decentralized gradient methods on a least-squares problem, with mixing by matrices alone: what the graph
// and the schedule make of them. The figures come from an independent simulation.

#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/ceca.hpp>
#include <bluefog/graphs.hpp>
#include <bluefog/schedule.hpp>

#include "multi/least_squares.hpp"

namespace bluefog {
namespace {

using test::LeastSquares;
using Vector = LeastSquares::Vector;
using Vectors = std::vector<Vector>;

/// x + factor * (y - z), rank by rank.
Vectors moved(const Vectors& x, double factor, const Vectors& y, const Vectors& z) {
  Vectors result = x;
  for (std::size_t rank = 0; rank < x.size(); ++rank) {
    for (std::size_t i = 0; i < LeastSquares::dims; ++i)
      result[rank][i] += factor * (y[rank][i] - z[rank][i]);
  }
  return result;
}

/// In difference form.
Vectors mixed(const Topology& topology, const Vectors& x) {
  Vectors result = x;
  for (int rank = 0; rank < topology.size(); ++rank) {
    const auto to = static_cast<std::size_t>(rank);
    for (const auto& [sender, weight] : topology.in_neighbors(rank)) {
      const Vector& from = x[static_cast<std::size_t>(sender)];
      for (std::size_t i = 0; i < LeastSquares::dims; ++i) result[to][i] += weight * (from[i] - x[to][i]);
    }
  }
  return result;
}

class Problem {
 public:
  explicit Problem(int ranks) : squares_(static_cast<std::size_t>(ranks), 2024), zero_(squares_.ranks()) {}

  [[nodiscard]] const Vectors& zero() const { return zero_; }
  [[nodiscard]] Vectors gradients(const Vectors& x) const {
    Vectors result;
    for (std::size_t rank = 0; rank < x.size(); ++rank) result.push_back(squares_.gradient(rank, x[rank]));
    return result;
  }
  /// x - step * gradient.
  [[nodiscard]] Vectors stepped(const Vectors& x, double step) const {
    return moved(x, -step, gradients(x), zero_);
  }
  /// sqrt(mean over ranks of |x_i - x*|^2) / |x*|.
  [[nodiscard]] double error(const Vectors& x) const {
    double sum = 0.0;
    for (const Vector& own : x) sum += squares_.squared_distance(own);
    return std::sqrt(sum / static_cast<double>(x.size()) / LeastSquares::squared_norm(squares_.optimum()));
  }

 private:
  LeastSquares squares_;
  Vectors zero_;
};

const Problem& sixteen_ranks() {
  static const Problem problem(16);
  return problem;
}

const Problem& twenty_five_ranks() {
  static const Problem problem(25);
  return problem;
}

/// Long enough to settle. It goes up and down with the round of the schedule, so the figures are those after
/// this number of iterations.
constexpr std::uint64_t settled = 4'000;

/// The error that adapt-then-combine ends with.
double final_error(const Problem& problem, const Schedule& schedule, double step) {
  Vectors x = problem.zero();
  for (std::uint64_t t = 0; t < settled; ++t) {
    x = mixed(schedule.round(t), problem.stepped(x, step));
  }
  return problem.error(x);
}

TEST(Descent, BiasOfSixteenRanksByGraph) {
  const auto bias = [](const SchedulePtr& schedule) { return final_error(sixteen_ranks(), *schedule, 0.1); };
  EXPECT_NEAR(bias(static_schedule(ring_graph(16))), .246, 5.1e-4);
  EXPECT_NEAR(bias(static_schedule(mesh_grid_2d_graph(16))), .128, 5.1e-4);
  EXPECT_NEAR(bias(static_schedule(torus_graph(16))), .0695, 5.1e-5);
  EXPECT_NEAR(bias(static_schedule(hypercube_graph(16))), .0581, 5.1e-5);
  EXPECT_NEAR(bias(static_schedule(exponential_graph(16))), .0540, 5.1e-5);
  EXPECT_NEAR(bias(one_peer_exponential(16)), .1067, 5.1e-5);
  EXPECT_LT(bias(static_schedule(fully_connected_graph(16))), 1e-13);
}

TEST(Descent, BiasOfTwentyFiveRanksBySchedule) {
  const auto bias = [](const SchedulePtr& schedule) {
    return final_error(twenty_five_ranks(), *schedule, 0.05);
  };
  EXPECT_NEAR(bias(static_schedule(exponential_graph(25))), .0234, 5.1e-5);
  EXPECT_NEAR(bias(static_schedule(ring_graph(25))), .2233, 5.1e-5);
  EXPECT_NEAR(bias(one_peer_exponential(25)), .0631, 5.1e-5);
  EXPECT_NEAR(bias(base_k_plus_one(25, 4)), .0193, 5.1e-5);
  EXPECT_NEAR(bias(base_k_plus_one(25, 2)), .0578, 5.1e-5);
  EXPECT_NEAR(bias(base_k_plus_one(25, 1)), .0995, 5.1e-5);
}

TEST(Descent, BiasOfCecaIsThatOfOnePeerExponential) {
  const CecaSchedule ceca = CecaSchedule::two_port(25);
  const Problem& problem = twenty_five_ranks();
  Vectors x = problem.zero();
  Vectors h = x;
  for (std::uint64_t t = 0; t < settled; ++t) {
    const Vectors gradients = problem.gradients(x);
    x = moved(x, -0.05, gradients, problem.zero());
    h = moved(h, -0.05, gradients, problem.zero());
    const CecaRound round = ceca.round(t);
    const Vectors received = mixed(ceca.deliveries()->round(t), round.sent == CecaState::X ? x : h);
    for (std::size_t rank = 0; rank < x.size(); ++rank) {
      round.update(std::span<double>(x[rank]), std::span<double>(h[rank]),
                   std::span<const double>(received[rank]));
    }
  }
  EXPECT_NEAR(problem.error(x), .0630, 5.1e-5);
}

/// Iterations of a method until the error is below 1e-10; 0 if it takes more than 6000.
template <class Step>
int iterations(const Problem& problem, Step step) {
  for (int t = 0; t < 6'000; ++t) {
    if (problem.error(step(static_cast<std::uint64_t>(t))) < 1e-10) return t + 1;
  }
  return 0;
}

int gradient_tracking(const Problem& problem, const Schedule& schedule, double step) {
  Vectors x = problem.zero();
  Vectors gradients = problem.gradients(x);
  Vectors tracker = gradients;
  return iterations(problem, [&](std::uint64_t t) -> const Vectors& {
    const Topology round = schedule.round(t);
    x = mixed(round, moved(x, -step, tracker, problem.zero()));
    Vectors next = problem.gradients(x);
    tracker = mixed(round, moved(tracker, 1.0, next, gradients));
    gradients = std::move(next);
    return x;
  });
}

TEST(Descent, GradientTrackingOverFiniteTimeSchedulesIsAsFastAsTheCompleteGraph) {
  const auto of_25 = [](const SchedulePtr& schedule) {
    return gradient_tracking(twenty_five_ranks(), *schedule, 0.05);
  };
  EXPECT_EQ(of_25(static_schedule(fully_connected_graph(25))), 503);
  EXPECT_EQ(of_25(base_k_plus_one(25, 1)), 503);
  EXPECT_EQ(of_25(base_k_plus_one(25, 2)), 502);
  EXPECT_EQ(of_25(base_k_plus_one(25, 4)), 503);
}

int exact_diffusion(const Problem& problem, const Schedule& schedule, double step) {
  Vectors x = problem.zero();
  Vectors before = x;
  return iterations(problem, [&](std::uint64_t t) -> const Vectors& {
    Vectors psi = problem.stepped(x, step);
    const Vectors phi = moved(psi, 1.0, x, before);
    x = moved(phi, 0.5, mixed(schedule.round(t), phi), phi);
    before = std::move(psi);
    return x;
  });
}

TEST(Descent, ExactDiffusionByGraph) {
  const auto of_16 = [](const SchedulePtr& schedule) {
    return exact_diffusion(sixteen_ranks(), *schedule, 0.1);
  };
  EXPECT_EQ(of_16(static_schedule(mesh_grid_2d_graph(16))), 303);
  EXPECT_EQ(of_16(static_schedule(torus_graph(16))), 300);
  EXPECT_EQ(of_16(static_schedule(hypercube_graph(16))), 299);
  EXPECT_EQ(of_16(static_schedule(star_graph(16))), 828);
  EXPECT_EQ(of_16(one_peer_hypercube(16)), 299);
  EXPECT_EQ(of_16(static_schedule(exponential_graph(16))), 4943);
}

}  // namespace
}  // namespace bluefog
