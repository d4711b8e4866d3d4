#pragma once
/// @file methods.hpp  Decentralized algorithms as their papers write them, one operation of the library for
/// each mix().
///
/// Each function gives one rank's step: next(x, round) is the iterate after x. It keeps what the algorithm
/// remembers and expects to be called with consecutive iterates, the first of which is 0. The learner must
/// outlive it. `a` is the step size.

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "multi/learner.hpp"

namespace bluefog::test {

/// Diffusion, adapt then combine: x <- mix(x - a g(x)). (Lian et al. 2017)
template <class T>
[[nodiscard]] auto adapt_then_combine(const Learner<T>& learner, std::type_identity_t<T> a) {
  return [&learner, a](const VectorOf<T>& x, std::uint64_t round) {
    return learner.mix(x - a * learner.gradient(x), round);
  };
}

/// Consensus, adapt with combine: x <- mix(x) - a g(x).
template <class T>
[[nodiscard]] auto adapt_with_combine(const Learner<T>& learner, std::type_identity_t<T> a) {
  return [&learner, a](const VectorOf<T>& x, std::uint64_t round) {
    return learner.mix(x, round) - a * learner.gradient(x);
  };
}

/// Gradient descent on the mean of all gradients, by all-reduce.
template <class T>
[[nodiscard]] auto centralized_descent(const Learner<T>& learner, std::type_identity_t<T> a) {
  return [&learner, a](const VectorOf<T>& x, std::uint64_t) {
    return x - a * learner.average(learner.gradient(x));
  };
}

/// psi = x - a g(x); phi = psi + x - psi_before; x <- (phi + mix(phi)) / 2. (Yuan et al. 2018; D2 of Tang et
/// al. 2018)
template <class T>
[[nodiscard]] auto exact_diffusion(const Learner<T>& learner, std::type_identity_t<T> a) {
  return [&learner, a, before = VectorOf<T>{}](const VectorOf<T>& x, std::uint64_t round) mutable {
    const VectorOf<T> psi = x - a * learner.gradient(x);
    const VectorOf<T> phi = psi + (x - before);
    before = psi;
    return T(.5) * (phi + learner.mix(phi, round));
  };
}

/// Exact diffusion over the topology of the context, which is symmetric; its dual variable is kept as flows
/// on edges: y = x - a g(x) - sum of f_ij; d_ij = w_ij / 2 (y_i - y_j); x <- y - sum of d_ij; f_ij += d_ij.
/// What one end of an edge adds, the other takes away to the bit, so the mean of the dual stays 0 in any
/// precision.
template <class T>
[[nodiscard]] auto exact_diffusion_by_flows(const Learner<T>& learner, std::type_identity_t<T> a) {
  const Topology topology = learner.context().topology();
  std::vector<T> halves;
  for (const auto& neighbor : topology.in_neighbors(learner.context().rank()))
    halves.push_back(static_cast<T>(neighbor.weight / 2));
  return [&learner, a, halves, flows = std::vector<VectorOf<T>>(halves.size())](const VectorOf<T>& x,
                                                                                std::uint64_t) mutable {
    VectorOf<T> y = x - a * learner.gradient(x);
    for (const VectorOf<T>& flow : flows) y = y - flow;
    VectorOf<T> next = y;
    const std::vector<VectorOf<T>> others = learner.neighbors_of(y);
    for (std::size_t j = 0; j < flows.size(); ++j) {
      const VectorOf<T> difference = halves[j] * (y - others[j]);
      next = next - difference;
      flows[j] = flows[j] + difference;
    }
    return next;
  };
}

/// x_2 = x_1 + mix(x_1) - (x_0 + mix(x_0)) / 2 - a (g_1 - g_0), after x_1 = mix(x_0) - a g_0. (Shi et al.
/// 2015)
template <class T>
[[nodiscard]] auto extra(const Learner<T>& learner, std::type_identity_t<T> a) {
  return [&learner, a, is_first = true, gradient_before = VectorOf<T>{}, half_before = VectorOf<T>{}](
             const VectorOf<T>& x, std::uint64_t round) mutable {
    const VectorOf<T> mixed = learner.mix(x, round);
    const VectorOf<T> gradient = learner.gradient(x);
    const VectorOf<T> next =
        is_first ? mixed - a * gradient : (x - half_before) + (mixed - a * (gradient - gradient_before));
    is_first = false;
    gradient_before = gradient;
    half_before = T(.5) * (x + mixed);
    return next;
  };
}

/// Adapt then combine: x <- mix(x - a q); q <- mix(q + g(x_new) - g(x)), from q = g(x_0). Both mixes use the
/// same round. (Aug-DGM, Xu et al. 2015)
template <class T>
[[nodiscard]] auto gradient_tracking(const Learner<T>& learner, std::type_identity_t<T> a) {
  const VectorOf<T> first = learner.gradient({});
  return [&learner, a, gradient_before = first, tracker = first](const VectorOf<T>& x,
                                                                 std::uint64_t round) mutable {
    const VectorOf<T> next = learner.mix(x - a * tracker, round);
    const VectorOf<T> gradient = learner.gradient(next);
    tracker = learner.mix(tracker + (gradient - gradient_before), round);
    gradient_before = gradient;
    return next;
  };
}

/// Adapt with combine: x <- mix(x) - a q; q <- mix(q) + g(x_new) - g(x), from q = g(x_0). Both vectors travel
/// together. (Nedic et al. 2017)
template <class T>
[[nodiscard]] auto diging(const Learner<T>& learner, std::type_identity_t<T> a) {
  const VectorOf<T> first = learner.gradient({});
  return [&learner, a, gradient_before = first, tracker = first](const VectorOf<T>& x,
                                                                 std::uint64_t round) mutable {
    const auto [mixed, mixed_tracker] = learner.mix(x, tracker, round);
    const VectorOf<T> next = mixed - a * tracker;
    const VectorOf<T> gradient = learner.gradient(next);
    tracker = mixed_tracker + (gradient - gradient_before);
    gradient_before = gradient;
    return next;
  };
}

}  // namespace bluefog::test
