// Algorithms that reach the optimum of the mean however the ranks' data differ.

#include <utility>

#include "optim/synchronous_algorithm.hpp"

namespace bluefog {

namespace optim {

namespace {

class GradientTrackingAlgorithm final : public SynchronousAlgorithm {
 public:
  static constexpr const char* name = "GradientTracking";

  GradientTrackingAlgorithm(Context& context, const std::vector<Tensor>& parameters,
                            const std::vector<Tensor>& gradients, const DecentralizedOptions& options)
      : SynchronousAlgorithm(
            context, name, parameters, options,
            schedule_for(context, name, options, {.instead = "take one that preserves both"})),
        gradient_(gradients),
        tracker_(make_vector()),
        gradient_before_(make_vector()),
        tracks_({Tensor(&is_tracking_, DType::Float64, Shape(1))}) {
    check_mixes_always(name, options);
    check_alike(name, parameters, gradients);
  }

  /// The tracker mixes by the round by which the parameters have come here.
  void begin_step(double /*step_size*/) override {
    if (std::exchange(is_tracking_, 1) == 0 || round_number() == 0) {
      assign(tracker_, {{1.0, gradient_}});
    } else {
      assign(tracker_, {{1.0, tracker_}, {1.0, gradient_}, {-1.0, gradient_before_}});
      Round before = round();
      --before.number;
      mixer().mix("tracker", tracker_, before);
    }
    assign(gradient_before_, {{1.0, gradient_}});
    assign(gradient_, {{1.0, tracker_}});
  }
  void end_step() override { mixer().mix("parameters", parameters(), round()); }
  [[nodiscard]] std::vector<BucketVector> state() const override {
    return {tracker_, gradient_before_, tracks_};
  }

 private:
  BucketVector gradient_;
  BucketVector tracker_;
  BucketVector gradient_before_;
  double is_tracking_ = 0;  ///< or 1; a number, to be saved with the vectors
  BucketVector tracks_;     ///< that number
};

class ExactDiffusionAlgorithm final : public SynchronousAlgorithm {
 public:
  static constexpr const char* name = "ExactDiffusion";

  ExactDiffusionAlgorithm(Context& context, const std::vector<Tensor>& parameters,
                          const DecentralizedOptions& options)
      : SynchronousAlgorithm(
            context, name, parameters, options,
            schedule_for(context, name, options,
                         {.symmetry = true,
                          .instead = "take one of undirected graphs with Metropolis-Hastings weights, or "
                                     "GradientTracking"})),
        dual_(make_vector()),
        mixed_(make_vector()) {
    check_mixes_always(name, options);
  }

  void end_step() override {
    const BucketVector& y = parameters();
    assign(y, {{1.0, y}, {-1.0, dual_}});
    mixer().mix("parameters", y, mixed_, round());
    assign(dual_, {{1.0, dual_}, {0.5, y}, {-0.5, mixed_}});
    assign(y, {{0.5, y}, {0.5, mixed_}});
  }
  [[nodiscard]] std::vector<BucketVector> state() const override { return {dual_}; }

 private:
  BucketVector dual_;
  BucketVector mixed_;
};

}  // namespace
}  // namespace optim

GradientTracking::GradientTracking(Context& context, const std::vector<Tensor>& parameters,
                                   const std::vector<Tensor>& gradients, const DecentralizedOptions& options)
    : DecentralizedAlgorithm(
          std::make_unique<optim::GradientTrackingAlgorithm>(context, parameters, gradients, options)) {}

ExactDiffusion::ExactDiffusion(Context& context, const std::vector<Tensor>& parameters,
                               const DecentralizedOptions& options)
    : DecentralizedAlgorithm(std::make_unique<optim::ExactDiffusionAlgorithm>(context, parameters, options)) {
}

}  // namespace bluefog
