// Adapt with combine, adapt then combine, and the mean gradient.

#include <optional>
#include <string>
#include <utility>
#include <vector>

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
    if (options.schedule == nullptr) return;
    check_schedule(algorithm, *options.schedule, unbiased);
    if (options.schedule->size() != context.machine_size()) check_size(algorithm, *options.schedule, context);
  }

  void set_communication(CommunicationType type, const MixingWeights& weights) {
    round().type = type;
    round().weights = weights;
  }

 protected:
  [[nodiscard]] bool is_round_of_schedule() const override { return goes_by_schedule(); }
  /// Whether the next mixing is a round of the schedule, or takes the place of one.
  [[nodiscard]] bool goes_by_schedule() const {
    return round().type == CommunicationType::NeighborAllreduce ||
           round().type == CommunicationType::HierarchicalNeighborAllreduce;
  }
};

class AdaptWithCombineAlgorithm final : public Diffusion {
 public:
  AdaptWithCombineAlgorithm(Context& context, const std::vector<Tensor>& parameters,
                            const AdaptWithCombineOptions& options)
      : Diffusion(context, "AdaptWithCombine", parameters, options) {
    if (options.overlap.value_or(context.host_count() > 1)) mixed_.emplace(make_vector());
  }

  void begin_gradient() override {
    if (!mixed_ || is_started_) return;
    is_round_of_schedule_ = goes_by_schedule();
    if (!mixes()) return;
    flight_.add(mixer().start("parameters", parameters(), *mixed_, round()));
    is_started_ = true;
  }
  void begin_step(double /*step_size*/) override {
    if (!mixed_) {
      is_round_of_schedule_ = goes_by_schedule();
      if (mixes()) mixer().mix("parameters", parameters(), round());
      return;
    }
    begin_gradient();
    if (!std::exchange(is_started_, false)) return;
    mixer().wait(flight_);
    assign(parameters(), {{1.0, *mixed_}});
  }

 private:
  [[nodiscard]] bool is_round_of_schedule() const override { return is_round_of_schedule_; }
  [[nodiscard]] bool mixes() const { return is_round() && round().type != CommunicationType::Empty; }

  std::optional<BucketVector> mixed_;  ///< if it mixes while the gradient is computed
  Flight flight_;                      // after what it writes to
  bool is_started_ = false;
  bool is_round_of_schedule_ = false;  ///< this step
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
      : SynchronousAlgorithm(context, "GradientAllreduce", gradients, options, nullptr),
        is_started_(gradients.size(), false) {
    check_mixes_always("GradientAllreduce", options);
  }

  void start(std::size_t tensor) {
    if (is_started_.at(tensor)) {
      throw InvalidArgument("GradientAllreduce: tensor " + std::to_string(tensor) +
                            " is on its way already; it is averaged once a step");
    }
    flight_.add(mixer().start_averaging("gradients", parameters(), tensor));
    is_started_[tensor] = true;
  }

  void begin_step(double /*step_size*/) override {
    const auto were_started = std::exchange(is_started_, std::vector<bool>(is_started_.size(), false));
    Flight flight = std::move(flight_);  // whatever is thrown, the next step has nothing to do with it
    for (std::size_t tensor = 0; tensor < were_started.size(); ++tensor) {
      if (!were_started[tensor]) flight.add(mixer().start_averaging("gradients", parameters(), tensor));
    }
    mixer().wait(flight);
  }

 private:
  std::vector<bool> is_started_;  ///< by tensor, since the last step
  Flight flight_;
};

}  // namespace
}  // namespace optim

AdaptWithCombine::AdaptWithCombine(Context& context, const std::vector<Tensor>& parameters,
                                   const AdaptWithCombineOptions& options)
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

void GradientAllreduce::start(std::size_t tensor) {
  static_cast<optim::GradientAllreduceAlgorithm&>(*algorithm_).start(tensor);
}

}  // namespace bluefog
