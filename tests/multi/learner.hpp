#pragma once
/// @file learner.hpp  One rank that minimizes the least-squares problem together with its neighbours.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include <bluefog/bluefog.hpp>

#include "multi/job.hpp"
#include "multi/least_squares.hpp"

namespace bluefog::test {

/// How the learners of a job mix.
struct Mixing {
  SchedulePtr schedule;
  MixingForm form = MixingForm::Difference;
  bool meet = false;
};

/// What an algorithm needs of a rank, in the arithmetic of T.
template <class T>
class Learner {
 public:
  using Vector = VectorOf<T>;

  Learner(Context& context, const LeastSquares& problem, const Mixing& mixing)
      : context_(context), problem_(problem) {
    options_.schedule = mixing.schedule;
    options_.form = mixing.form;
    options_.meet = mixing.meet;
  }

  [[nodiscard]] Context& context() const { return context_; }
  [[nodiscard]] Vector gradient(const Vector& x) const {
    return problem_.gradient(static_cast<std::size_t>(context_.rank()), x);
  }
  [[nodiscard]] Vector mix(const Vector& x, std::uint64_t round) const {
    Vector mixed{};
    mix_into(std::span<const T>(x), std::span<T>(mixed), round);
    return mixed;
  }
  /// Two vectors in one operation.
  [[nodiscard]] std::pair<Vector, Vector> mix(const Vector& x, const Vector& y, std::uint64_t round) const {
    std::array<T, 2 * LeastSquares::dims> both{};
    const auto second = std::copy(x.begin(), x.end(), both.begin());
    std::copy(y.begin(), y.end(), second);
    mix_into(both, both, round);
    std::pair<Vector, Vector> mixed;
    std::copy_n(both.begin(), x.size(), mixed.first.begin());
    std::copy_n(second, y.size(), mixed.second.begin());
    return mixed;
  }
  /// The vectors of the in-neighbours in the topology of the context, ascending by rank.
  [[nodiscard]] std::vector<Vector> neighbors_of(const Vector& x) const {
    const GatheredTensor gathered = context_.neighbor_allgather(std::span<const T>(x));
    std::vector<Vector> vectors(gathered.shape.count() / x.size());
    std::memcpy(vectors.data(), gathered.data.get(), vectors.size() * sizeof(Vector));
    return vectors;
  }
  /// The mean over all ranks, by all-reduce.
  [[nodiscard]] Vector average(Vector x) const {
    context_.allreduce(std::span<const T>(x), std::span<T>(x));
    return x;
  }

  /// sqrt(mean over ranks of |x_i - x*|^2) / |x*| after each step, `next(x, round)` being a step, from x = 0.
  /// Ends at `at_most` steps, or some steps after the error has fallen below `enough`. The ranks tell each
  /// other their errors seldom, so that the operations of the algorithm are almost the only ones.
  template <class Next>
  [[nodiscard]] std::vector<double> errors(Next next, std::size_t at_most, double enough = 0) const {
    constexpr std::size_t batch = 100;
    std::vector<double> errors;
    Vector x{};
    while (errors.size() < at_most) {
      std::vector<double> squares(std::min(batch, at_most - errors.size()));
      for (std::size_t i = 0; i < squares.size(); ++i) {
        x = next(x, errors.size() + i);
        squares[i] = problem_.squared_distance(x);
      }
      context_.allreduce(std::span<const double>(squares), std::span<double>(squares));
      for (double& square : squares)
        square = std::sqrt(square / LeastSquares::squared_norm(problem_.optimum()));
      errors.insert(errors.end(), squares.begin(), squares.end());
      if (*std::min_element(squares.begin(), squares.end()) < enough) break;
    }
    return errors;
  }

 private:
  void mix_into(std::span<const T> input, std::span<T> output, std::uint64_t round) const {
    NeighborAllreduceOptions options = options_;
    options.round = round;
    context_.neighbor_allreduce(input, output, options);
  }

  Context& context_;
  const LeastSquares& problem_;
  NeighborAllreduceOptions options_;
};

/// As many learners as the schedule has ranks, with the known problem of that size. Simulated ones need no
/// switch of threads for a meeting. `body` takes a const Learner<T>&.
template <class T = double, class Body>
void run_learners(const Mixing& mixing, const Body& body, Ranks ranks = Ranks::SimulatedHost) {
  const LeastSquares problem(static_cast<std::size_t>(mixing.schedule->size()), 2024);
  Config config = test_config();
  config.store = "plain";  // the trial for large outputs takes longer than most of these jobs
  run_job(
      ranks, mixing.schedule->size(), [&](Context& context) { body(Learner<T>(context, problem, mixing)); },
      config);
}

/// When the error falls below 1e-10, and by which factor it shrank per step in the 100 steps before.
struct Convergence {
  std::size_t steps = 0;  ///< 0: not within `at_most`
  double rate = 0;
};

template <class T, class Next>
[[nodiscard]] Convergence converge(const Learner<T>& learner, Next next, std::size_t at_most) {
  constexpr double converged = 1e-10;
  constexpr std::size_t window = 100;
  const std::vector<double> errors = learner.errors(std::move(next), at_most, converged);
  const auto first = std::find_if(errors.begin(), errors.end(), [](double e) { return e < converged; });
  if (first == errors.end()) return {};
  const auto steps = static_cast<std::size_t>(first - errors.begin()) + 1;
  if (steps <= window) return {steps, 0};
  return {steps, std::pow(*first / *(first - window), 1.0 / window)};
}

}  // namespace bluefog::test
