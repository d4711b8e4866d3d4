// Adapt with combine, adapt then combine, and the mean gradient.

#include <utility>

#include <bluefog/error.hpp>

#include "optim/synchronous_algorithm.hpp"

namespace bluefog {

namespace optim {

namespace {

const ScheduleNeeds unbiased{.instead = "take one that preserves both, or StochasticGradientPush"};

/// Users choose before each round with whom they mix.
class Diffusion : public SynchronousAlgorithm {
 public:
  Diffusion(Context& context, const char* algorithm, const std::vector<Tensor>& parameters,
            const DecentralizedOptions& options)
      : SynchronousAlgorithm(context, algorithm, parameters, options, options.schedule) {
    if (options.schedule != nullptr) check_schedule(algorithm, *options.schedule, unbiased);
  }

  void set_communication(CommunicationType type, const MixingWeights& weights) {
    round().type = type;
    round().weights = weights;
  }
};

class AdaptWithCombineAlgorithm final : public Diffusion {
 public:
  AdaptWithCombineAlgorithm(Context& context, const std::vector<Tensor>& parameters,
                            const DecentralizedOptions& options)
      : Diffusion(context, "AdaptWithCombine", parameters, options), mixed_(make_vector()) {}

  void begin_gradient() override {
    if (!is_round() || round().type == CommunicationType::Empty) return;
    flight_.add(mixer().start("parameters", parameters(), mixed_, round()));
    is_started_ = true;
  }
  void begin_step(double /*step_size*/) override {
    if (!is_started_) begin_gradient();
    if (!std::exchange(is_started_, false)) return;
    mixer().wait(flight_);
    assign(parameters(), {{1.0, mixed_}});
  }

 private:
  BucketVector mixed_;
  Flight flight_;  // after what it writes to
  bool is_started_ = false;
};

class AdaptThenCombineAlgorithm final : public Diffusion {
 public:
  AdaptThenCombineAlgorithm(Context& context, const std::vector<Tensor>& parameters,
                            const DecentralizedOptions& options)
      : Diffusion(context, "AdaptThenCombine", parameters, options) {}

  void end_step() override {
    if (is_round()) mixer().mix("parameters", parameters(), round());
  }
};

class GossipPgaAlgorithm final : public SynchronousAlgorithm {
 public:
  GossipPgaAlgorithm(Context& context, const std::vector<Tensor>& parameters, const GossipPgaOptions& options)
      : SynchronousAlgorithm(context, "GossipPga", parameters, options,
                             schedule_for(context, "GossipPga", options, unbiased)),
        rounds_per_average_(static_cast<std::uint64_t>(options.rounds_per_average)) {
    if (options.rounds_per_average < 1) {
      throw InvalidArgument("GossipPga: rounds_per_average is " + std::to_string(options.rounds_per_average) +
                            "; give 1 or more");
    }
  }

  void end_step() override {
    if (!is_round()) return;
    if ((round_number() + 1) % rounds_per_average_ == 0) return mixer().average("parameters", parameters());
    mixer().mix("parameters", parameters(), round());
  }

 private:
  std::uint64_t rounds_per_average_;
};

class LocalDescentAlgorithm final : public SynchronousAlgorithm {
 public:
  LocalDescentAlgorithm(Context& context, const std::vector<Tensor>& parameters,
                        const DecentralizedOptions& options)
      : SynchronousAlgorithm(context, "LocalDescent", parameters, options, nullptr) {}

  void end_step() override {
    if (is_round()) mixer().average("parameters", parameters());
  }
};

class GradientAllreduceAlgorithm final : public SynchronousAlgorithm {
 public:
  GradientAllreduceAlgorithm(Context& context, const std::vector<Tensor>& gradients,
                             const DecentralizedOptions& options)
      : SynchronousAlgorithm(context, "GradientAllreduce", gradients, options, nullptr) {
    check_mixes_always("GradientAllreduce", options);
  }

  void begin_step(double /*step_size*/) override { mixer().average("gradients", parameters()); }
};

}  // namespace
}  // namespace optim

AdaptWithCombine::AdaptWithCombine(Context& context, const std::vector<Tensor>& parameters,
                                   const DecentralizedOptions& options)
    : DecentralizedAlgorithm(
          std::make_unique<optim::AdaptWithCombineAlgorithm>(context, parameters, options)) {}

void AdaptWithCombine::set_communication(CommunicationType type, const MixingWeights& weights) {
  static_cast<optim::Diffusion&>(*algorithm_).set_communication(type, weights);
}

AdaptThenCombine::AdaptThenCombine(Context& context, const std::vector<Tensor>& parameters,
                                   const DecentralizedOptions& options)
    : DecentralizedAlgorithm(
          std::make_unique<optim::AdaptThenCombineAlgorithm>(context, parameters, options)) {}

void AdaptThenCombine::set_communication(CommunicationType type, const MixingWeights& weights) {
  static_cast<optim::Diffusion&>(*algorithm_).set_communication(type, weights);
}

GossipPga::GossipPga(Context& context, const std::vector<Tensor>& parameters, const GossipPgaOptions& options)
    : DecentralizedAlgorithm(std::make_unique<optim::GossipPgaAlgorithm>(context, parameters, options)) {}

LocalDescent::LocalDescent(Context& context, const std::vector<Tensor>& parameters,
                           const DecentralizedOptions& options)
    : DecentralizedAlgorithm(std::make_unique<optim::LocalDescentAlgorithm>(context, parameters, options)) {}

GradientAllreduce::GradientAllreduce(Context& context, const std::vector<Tensor>& gradients,
                                     const DecentralizedOptions& options)
    : DecentralizedAlgorithm(
          std::make_unique<optim::GradientAllreduceAlgorithm>(context, gradients, options)) {}

}  // namespace bluefog
