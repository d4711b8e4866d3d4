#pragma once
/// @file descent.hpp  Decentralized gradient descent over plain buffers, for numerical code without a
/// framework.

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <bluefog/algorithm.hpp>
#include <bluefog/context.hpp>
#include <bluefog/error.hpp>
#include <bluefog/tensor.hpp>

namespace bluefog {

/// What Descent takes.
struct DescentOptions {
  double momentum = 0;      ///< b: m <- b m + g, x <- x - a m
  double weight_decay = 0;  ///< added to the gradient, times x
};

/// x <- x - a m, m <- b m + g(x), with the communication of any algorithm: each rank has x and a gradient of
/// its own, and all find the minimum of the mean of what they minimize.
///
///     std::vector<double> x(100);
///     bluefog::Descent<double> descent(
///         context, x, [&](std::span<const double> x, std::span<double> gradient) { ... },
///         bluefog::algorithm_of<bluefog::ExactDiffusion>({.schedule = schedule}));
///     for (int k = 0; k < 1000; ++k) descent.step(0.1);
///
/// T: float or double. One thread. Destruction is collective for algorithms over windows, for neighbours may
/// read x until then; not while an exception is on its way, after which x should stay until all ranks have
/// left. What a gradient function throws comes out of step(); the iteration can't be finished then, and
/// further steps are refused: the other ranks' wait for this one ends when its Context does.
template <std::floating_point T>
class Descent {
 public:
  /// Writes the gradient at x.
  using Gradient = std::function<void(std::span<const T> x, std::span<T> gradient)>;

  /// Collective. @param x  the start, and in each step what has come out; it must live as long as the
  /// descent. Mixing is cheapest if it is memory of Context::make_shared.
  /// @throws InvalidArgument for no gradient function, a momentum outside of [0, 1), or as the algorithm
  Descent(Context& context, std::span<T> x, Gradient gradient, const MakeAlgorithm& make,
          const DescentOptions& options = {})
      : x_(x),
        gradient_at_(std::move(gradient)),
        gradient_(context.make_shared<T>(x.size())),
        momentum_(checked(options.momentum)),
        decay_(static_cast<T>(options.weight_decay)),
        algorithm_(checked(gradient_at_, make)(context, {x_}, {gradient_.span()})) {
    if (momentum_ != T(0)) velocity_.resize(x.size());
  }

  Descent(const Descent&) = delete;
  Descent& operator=(const Descent&) = delete;
  ~Descent() {
    if (std::uncaught_exceptions() > exceptions_) return;
    try {
      algorithm_.close();
    } catch (const Error&) {  // NOLINT(bugprone-empty-catch): whoever would read x is gone
    }
  }

  /// One iteration. @param step_size  a, greater than 0
  void step(double step_size) {
    if (is_broken_) {
      throw InvalidArgument("Descent: an earlier step has failed half-way; make a new Descent from x");
    }
    is_broken_ = true;
    algorithm_.begin_gradient();
    gradient_at_(x_, gradient_.span());
    if (decay_ != T(0)) add(decay_, std::span<const T>(x_), gradient_.span());
    algorithm_.begin_step(step_size);
    add(-static_cast<T>(step_size), direction(), x_);
    algorithm_.end_step();
    is_broken_ = false;
  }

  /// What this rank's descent remembers beside x, the algorithm's state() and the momentum, always in the
  /// same order: to be saved with x, algorithm().round() and steps_in_round(), and written to when they are
  /// loaded, before algorithm().resume().
  [[nodiscard]] std::vector<Tensor> state() {
    std::vector<Tensor> tensors = algorithm_.state();
    if (!velocity_.empty()) tensors.emplace_back(velocity_);
    return tensors;
  }
  /// The parameters.
  [[nodiscard]] std::span<T> x() const noexcept { return x_; }
  /// For what is particular to it.
  [[nodiscard]] AnyAlgorithm& algorithm() noexcept { return algorithm_; }

 private:
  static T checked(double momentum) {
    if (momentum >= 0 && momentum < 1) return static_cast<T>(momentum);
    throw InvalidArgument("Descent: momentum is " + std::to_string(momentum) +
                          "; give 0 or more, and less than 1");
  }

  static const MakeAlgorithm& checked(const Gradient& gradient, const MakeAlgorithm& make) {
    if (!gradient) throw InvalidArgument("Descent: there is no gradient function");
    return make;
  }

  /// to <- to + factor * from
  static void add(T factor, std::span<const T> from, std::span<T> to) {
    std::ranges::transform(from, to, to.begin(), [factor](T x, T y) { return y + factor * x; });
  }

  [[nodiscard]] std::span<const T> direction() {
    if (velocity_.empty()) return gradient_.span();
    std::ranges::transform(velocity_, gradient_.span(), velocity_.begin(),
                           [this](T v, T g) { return momentum_ * v + g; });
    return velocity_;
  }

  std::span<T> x_;
  Gradient gradient_at_;
  SharedArray<T> gradient_;
  std::vector<T> velocity_;
  T momentum_;
  T decay_;
  bool is_broken_ = false;
  int exceptions_ = std::uncaught_exceptions();
  AnyAlgorithm algorithm_;
};

}  // namespace bluefog
