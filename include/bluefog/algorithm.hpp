#pragma once
/// @file algorithm.hpp  Every algorithm of decentralized.hpp and asynchronous.hpp behind one face, for
/// optimizers that work with any of them.

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <bluefog/asynchronous.hpp>
#include <bluefog/context.hpp>
#include <bluefog/decentralized.hpp>
#include <bluefog/error.hpp>
#include <bluefog/tensor.hpp>

namespace bluefog {

/// The communication of any algorithm. In every iteration:
///
///     algorithm.begin_gradient();
///     gradient at the parameters      // they stay as they are meanwhile
///     algorithm.begin_step(a);        // may change the gradient, and the parameters
///     the optimizer's step, of size a
///     algorithm.end_step();           // may change the parameters
class AnyAlgorithm {
 public:
  /// Of ranks that make the same number of steps.
  explicit AnyAlgorithm(std::unique_ptr<DecentralizedAlgorithm> synchronous)
      : algorithm_(std::move(synchronous)) {}
  /// Of ranks that do not wait for each other.
  explicit AnyAlgorithm(std::unique_ptr<AsynchronousMixing> asynchronous)
      : algorithm_(std::move(asynchronous)) {}

  /// Before the gradient is computed.
  void begin_gradient() {
    std::visit([](auto& algorithm) { begin_gradient_of(*algorithm); }, algorithm_);
  }
  /// @param step_size  the learning rate
  void begin_step(double step_size) {
    std::visit([step_size](auto& algorithm) { begin_step_of(*algorithm, step_size); }, algorithm_);
  }
  /// After the optimizer's step.
  void end_step() {
    std::visit([](auto& algorithm) { algorithm->end_step(); }, algorithm_);
  }

  /// For algorithms over windows collective among neighbours: when it returns nobody reads the parameters any
  /// more. To be called before their memory goes. No iteration follows.
  void close() {
    if (auto* const mixing = get<AsynchronousMixing>()) mixing->close();
  }

  /// Of the class, or "asynchronous" where ranks do not wait for each other.
  [[nodiscard]] std::string_view name() const { return ask(&DecentralizedAlgorithm::name, "asynchronous"); }
  /// What it remembers beside the parameters and the two numbers below, always in the same order: to be saved
  /// with them on each rank, and written to when they are loaded. Nothing where ranks do not wait.
  [[nodiscard]] std::vector<Tensor> state() const { return ask(&DecentralizedAlgorithm::state, {}); }
  /// Completed rounds of mixing, which is where the schedule is; 0 where ranks do not wait.
  [[nodiscard]] std::uint64_t round() const { return ask(&DecentralizedAlgorithm::round, 0); }
  /// Steps since the last of them.
  [[nodiscard]] int steps_in_round() const { return ask(&DecentralizedAlgorithm::steps_in_round, 0); }
  /// Goes on from there, between iterations.
  void resume(std::uint64_t round, int steps_in_round = 0) {
    if (auto* const synchronous = get<DecentralizedAlgorithm>()) synchronous->resume(round, steps_in_round);
  }
  /// Forgets what it remembers, and goes on from that round with the parameters as they are. Collective.
  void restart(std::uint64_t round) {
    if (auto* const synchronous = get<DecentralizedAlgorithm>()) synchronous->restart(round);
  }

  /// The algorithm, for what is particular to it; nullptr if it is of another class.
  template <class Algorithm>
  [[nodiscard]] Algorithm* get() const {
    return std::visit(
        [](const auto& algorithm) -> Algorithm* {
          if constexpr (std::derived_from<Algorithm, std::remove_cvref_t<decltype(*algorithm)>>) {
            return dynamic_cast<Algorithm*>(algorithm.get());
          } else {
            return nullptr;
          }
        },
        algorithm_);
  }

 private:
  static void begin_gradient_of(DecentralizedAlgorithm& algorithm) { algorithm.begin_gradient(); }
  static void begin_gradient_of(AsynchronousMixing& algorithm) { algorithm.begin_exchange(); }
  static void begin_step_of(DecentralizedAlgorithm& algorithm, double step_size) {
    algorithm.begin_step(step_size);
  }
  static void begin_step_of(AsynchronousMixing& algorithm, double /*step_size*/) {
    algorithm.end_exchange();
    algorithm.begin_step();
  }

  // Of a synchronous algorithm; else the answer is the other one.
  template <class Answer>
  Answer ask(Answer (DecentralizedAlgorithm::*question)() const,
             std::type_identity_t<Answer> otherwise) const {
    const auto* const synchronous = get<DecentralizedAlgorithm>();
    return synchronous != nullptr ? (synchronous->*question)() : otherwise;
  }

  std::variant<std::unique_ptr<DecentralizedAlgorithm>, std::unique_ptr<AsynchronousMixing>> algorithm_;
};

/// Makes an algorithm over parameters and their gradients, which must live as long as it does. Collective.
class MakeAlgorithm {
 public:
  MakeAlgorithm() = default;
  /// @param make  takes the context, the parameters and the gradients, two vectors of tensors that are alike,
  /// and
  ///              gives an AnyAlgorithm
  /// @param uses_gradients  else there may be no gradients
  template <std::invocable<Context&, const std::vector<Tensor>&, const std::vector<Tensor>&> Make>
  MakeAlgorithm(Make make, bool uses_gradients = true)  // NOLINT
      : make_(std::move(make)), uses_gradients_(uses_gradients) {}

  /// Whether it makes one.
  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(make_); }
  /// Whether it needs the gradients' memory.
  [[nodiscard]] bool uses_gradients() const noexcept { return uses_gradients_; }
  /// @throws InvalidArgument if it makes none, or as the algorithm
  [[nodiscard]] AnyAlgorithm operator()(Context& context, const std::vector<Tensor>& parameters,
                                        const std::vector<Tensor>& gradients) const {
    if (!make_) throw InvalidArgument("there is no algorithm; give algorithm_of<AdaptThenCombine>(), say");
    return make_(context, parameters, gradients);
  }

 private:
  std::function<AnyAlgorithm(Context&, const std::vector<Tensor>&, const std::vector<Tensor>&)> make_;
  bool uses_gradients_ = true;
};

/// How an algorithm of this class is made:
///
///     algorithm_of<AdaptThenCombine>({.schedule = one_peer_exponential(context.size())})
template <class Algorithm>
[[nodiscard]] MakeAlgorithm algorithm_of(typename Algorithm::Options options = {}) {
  using Options = typename Algorithm::Options;
  using Buckets = std::vector<Tensor>;
  constexpr bool takes_both =
      std::is_constructible_v<Algorithm, Context&, const Buckets&, const Buckets&, const Options&>;
  constexpr bool takes_gradients = std::same_as<Algorithm, GradientAllreduce>;
  const auto make = [options = std::move(options)](Context& context, const Buckets& parameters,
                                                   [[maybe_unused]] const Buckets& gradients) {
    using Base = std::conditional_t<std::derived_from<Algorithm, DecentralizedAlgorithm>,
                                    DecentralizedAlgorithm, AsynchronousMixing>;
    std::unique_ptr<Base> algorithm;
    if constexpr (takes_both) {
      algorithm = std::make_unique<Algorithm>(context, parameters, gradients, options);
    } else {
      algorithm = std::make_unique<Algorithm>(context, takes_gradients ? gradients : parameters, options);
    }
    return AnyAlgorithm(std::move(algorithm));
  };
  return {make, takes_both || takes_gradients};
}

}  // namespace bluefog
