// Momentum that does not amplify what sets the ranks apart.

#include "optim/synchronous_algorithm.hpp"

namespace bluefog {

namespace optim {

namespace {

const ScheduleNeeds unbiased{.instead = "take one that preserves both"};

class QuasiGlobalAlgorithm final : public SynchronousAlgorithm {
 public:
  static constexpr const char* name = "QuasiGlobalMomentum";

  QuasiGlobalAlgorithm(Context& context, const std::vector<Tensor>& parameters,
                       const std::vector<Tensor>& gradients, const QuasiGlobalOptions& options)
      : SynchronousAlgorithm(context, name, parameters, options,
                             schedule_for(context, name, options, unbiased)),
        gradient_(gradients),
        velocity_(make_vector()),
        before_(make_vector()),
        momentum_(options.momentum) {
    check_mixes_always(name, options);
    check_alike(name, parameters, gradients);
    check_momentum(name, momentum_);
  }

  void begin_step(double step_size) override {
    step_size_ = step_size;
    assign(before_, {{1.0, parameters()}});
    assign(gradient_, {{1.0, gradient_}, {momentum_, velocity_}});
  }
  void end_step() override {
    mixer().mix("parameters", parameters(), round());
    if (step_size_ == 0) return;  // nothing says how far the step would have gone
    const double share = (1 - momentum_) / step_size_;
    assign(velocity_, {{momentum_, velocity_}, {share, before_}, {-share, parameters()}});
  }
  [[nodiscard]] std::vector<BucketVector> state() const override { return {velocity_}; }

 private:
  BucketVector gradient_;
  BucketVector velocity_;
  BucketVector before_;
  double momentum_;
  double step_size_ = 0;
};

/// Momentum sees x - mix(x), so that ranks come together as a heavy ball does: with eigenvalues that are not
/// real, or that change from step to step, it flies off at any learning rate.
const ScheduleNeeds steady{
    .symmetry = true,
    .constancy = true,
    .instead = "take one undirected graph with Metropolis-Hastings weights, or QuasiGlobalMomentum"};

class DecentLaMAlgorithm final : public SynchronousAlgorithm {
 public:
  static constexpr const char* name = "DecentLaM";

  DecentLaMAlgorithm(Context& context, const std::vector<Tensor>& parameters,
                     const std::vector<Tensor>& gradients, const DecentralizedOptions& options)
      : SynchronousAlgorithm(context, name, parameters, options,
                             schedule_for(context, name, options, steady)),
        gradient_(gradients),
        mixed_(make_vector()) {
    check_mixes_always(name, options);
    check_alike(name, parameters, gradients);
  }

  void begin_step(double step_size) override {
    assign(mixed_, {{1.0, parameters()}, {-step_size, gradient_}});
    mixer().mix("parameters", mixed_, round());
    if (step_size == 0) return;
    assign(gradient_, {{1 / step_size, parameters()}, {-1 / step_size, mixed_}});
  }

 private:
  BucketVector gradient_;
  BucketVector mixed_;
};

}  // namespace
}  // namespace optim

QuasiGlobalMomentum::QuasiGlobalMomentum(Context& context, const std::vector<Tensor>& parameters,
                                         const std::vector<Tensor>& gradients,
                                         const QuasiGlobalOptions& options)
    : DecentralizedAlgorithm(
          std::make_unique<optim::QuasiGlobalAlgorithm>(context, parameters, gradients, options)) {}

DecentLaM::DecentLaM(Context& context, const std::vector<Tensor>& parameters,
                     const std::vector<Tensor>& gradients, const DecentralizedOptions& options)
    : DecentralizedAlgorithm(
          std::make_unique<optim::DecentLaMAlgorithm>(context, parameters, gradients, options)) {}

}  // namespace bluefog
