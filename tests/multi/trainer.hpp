#pragma once
/// @file trainer.hpp  Gradient descent around one of the library's algorithms.

#include <algorithm>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <bluefog/algorithm.hpp>
#include <bluefog/bluefog.hpp>

#include "multi/learner.hpp"

namespace bluefog::test {

/// A vector and its gradient, each in two buckets of shared memory: 3 elements, and the rest.
template <class T>
class Buckets {
 public:
  static constexpr std::size_t in_first = 3;

  Buckets(Context& context, std::size_t size)
      : first_(context.make_shared<T>(in_first)), second_(context.make_shared<T>(size - in_first)) {}

  [[nodiscard]] std::vector<Tensor> tensors() const { return {first_.span(), second_.span()}; }
  void take(std::span<const T> values) {
    std::ranges::copy(values.first(in_first), first_.begin());
    std::ranges::copy(values.subspan(in_first), second_.begin());
  }
  void give(std::span<T> values) const {
    std::ranges::copy(first_, values.begin());
    std::ranges::copy(second_, values.begin() + in_first);
  }

 private:
  SharedArray<T> first_;
  SharedArray<T> second_;
};

/// x <- x - a m, m <- b m + gradient, between the calls of an algorithm.
template <class T>
class Trainer {
 public:
  Trainer(Context& context, std::span<const T> start, const MakeAlgorithm& make, double momentum = 0)
      : x_(start.begin(), start.end()),
        gradient_(start.size()),
        velocity_(start.size()),
        momentum_(static_cast<T>(momentum)),
        parameters_(context, start.size()),
        gradients_(context, start.size()),
        algorithm_(make(context, took(start), gradients_.tensors())) {}

  [[nodiscard]] DecentralizedAlgorithm& algorithm() {
    return *algorithm_.template get<DecentralizedAlgorithm>();
  }
  [[nodiscard]] std::span<const T> x() const { return x_; }
  /// Where the algorithm goes on from.
  void put(std::span<const T> x) { parameters_.take(x); }

  /// @param gradient_at  gets the gradient's place and x
  template <class Gradient>
  void step(double a, const Gradient& gradient_at) {
    algorithm_.begin_gradient();
    parameters_.give(x_);
    gradient_at(std::span<T>(gradient_), std::span<const T>(x_));
    gradients_.take(gradient_);
    algorithm_.begin_step(a);
    parameters_.give(x_);
    gradients_.give(gradient_);
    for (std::size_t i = 0; i < x_.size(); ++i) {
      velocity_[i] = momentum_ * velocity_[i] + gradient_[i];
      x_[i] -= static_cast<T>(a) * velocity_[i];
    }
    parameters_.take(x_);
    algorithm_.end_step();
    parameters_.give(x_);
  }

 private:
  [[nodiscard]] std::vector<Tensor> took(std::span<const T> start) {
    parameters_.take(start);
    return parameters_.tensors();
  }

  std::vector<T> x_;
  std::vector<T> gradient_;
  std::vector<T> velocity_;
  T momentum_;
  Buckets<T> parameters_;
  Buckets<T> gradients_;
  AnyAlgorithm algorithm_;
};

/// One rank's steps from 0 on the problem of a learner, as those of methods.hpp: x is what came out last.
template <class T>
[[nodiscard]] auto trained_by(const MakeAlgorithm& make, const Learner<T>& learner, double a,
                              double momentum = 0) {
  const VectorOf<T> zero{};
  auto trainer = std::make_shared<Trainer<T>>(learner.context(), zero, make, momentum);
  return [trainer, &learner, a](const VectorOf<T>&, std::uint64_t) {
    trainer->step(a, [&learner](std::span<T> gradient, std::span<const T> x) {
      VectorOf<T> at{};
      std::ranges::copy(x, at.begin());
      std::ranges::copy(learner.gradient(at), gradient.begin());
    });
    VectorOf<T> next{};
    std::ranges::copy(trainer->x(), next.begin());
    return next;
  };
}

template <class Algorithm>
[[nodiscard]] MakeAlgorithm over(SchedulePtr schedule, typename Algorithm::Options options = {}) {
  options.schedule = std::move(schedule);
  return algorithm_of<Algorithm>(options);
}

}  // namespace bluefog::test
