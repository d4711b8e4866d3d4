// Stochastic gradient push.

#include <vector>

#include "optim/synchronous_algorithm.hpp"

namespace bluefog {

namespace optim {

namespace {

/// Equal shares to oneself and to all out-neighbours.
Topology with_equal_shares(const Topology& topology) {
  std::vector<Topology::Edge> edges;
  for (int sender = 0; sender < topology.size(); ++sender) {
    const auto receivers = topology.out_neighbors(sender);
    const double share = 1.0 / (static_cast<double>(receivers.size()) + 1);
    edges.push_back({sender, sender, share});
    for (const auto& receiver : receivers) edges.push_back({receiver.rank, sender, share});
  }
  return {topology.size(), edges};
}

}  // namespace

class GradientPushAlgorithm final : public SynchronousAlgorithm {
 public:
  static constexpr const char* name = "StochasticGradientPush";

  GradientPushAlgorithm(Context& context, const std::vector<Tensor>& parameters, DecentralizedOptions options)
      : SynchronousAlgorithm(context, name, parameters, options, pushes(context, options)),
        mass_(make_vector()),
        before_(make_vector()),
        weight_memory_(context.make_shared<double>(1)),
        weight_({Tensor(weight_memory_.span())}) {
    GradientPushAlgorithm::forget();
    begin_round();
    round().form = MixingForm::Plain;
  }

  /// The mass follows from the parameters, which may have been changed between rounds.
  void begin_step(double /*step_size*/) override {
    if (steps_in_round() == 0) begin_round();
    assign(before_, {{1.0, parameters()}});
  }
  void end_step() override {
    assign(mass_, {{1.0, mass_}, {1.0, parameters()}, {-1.0, before_}});
    if (!is_round()) return;
    Flight flight = mixer().start("mass", mass_, mass_, round());
    flight.add(mixer().start("weight", weight_, weight_, round()));
    mixer().wait(flight);
    assign(parameters(), {{1 / weight(), mass_}});
  }
  [[nodiscard]] std::vector<BucketVector> state() const override { return {mass_, weight_}; }
  void forget() override { weight_memory_[0] = 1; }
  [[nodiscard]] double weight() const { return weight_memory_[0]; }

 private:
  void begin_round() { assign(mass_, {{weight(), parameters()}}); }
  static SchedulePtr pushes(const Context& context, DecentralizedOptions& options) {
    if (options.schedule == nullptr) {
      options.schedule = static_schedule(with_equal_shares(context.topology()));
    }
    return schedule_for(context, name, options,
                        {.constants = false, .instead = "take one in which senders split their mass"});
  }

  BucketVector mass_;
  BucketVector before_;
  SharedArray<double> weight_memory_;
  BucketVector weight_;
};

}  // namespace optim

StochasticGradientPush::StochasticGradientPush(Context& context, const std::vector<Tensor>& parameters,
                                               const DecentralizedOptions& options)
    : DecentralizedAlgorithm(std::make_unique<optim::GradientPushAlgorithm>(context, parameters, options)) {}

double StochasticGradientPush::weight() const {
  return static_cast<const optim::GradientPushAlgorithm&>(*algorithm_).weight();
}

}  // namespace bluefog
