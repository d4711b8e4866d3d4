// Ranks go their own way for some steps; then an outer step is made of how far they have come.

#include "optim/synchronous_algorithm.hpp"

namespace bluefog {

namespace optim {

namespace {

/// d = x_0 - average(x). Outer steps are written as changes of the average, so that one that changes nothing
/// leaves it to the bit.
class OuterStepAlgorithm : public SynchronousAlgorithm {
 public:
  OuterStepAlgorithm(Context& context, const char* algorithm, const std::vector<Tensor>& parameters,
                     const DecentralizedOptions& options, double momentum)
      : SynchronousAlgorithm(context, algorithm, parameters, options, nullptr),
        start_(make_vector()),
        way_(make_vector()),
        velocity_(make_vector()) {
    check_momentum(algorithm, momentum);
    begin_round();
  }

  void begin_step(double step_size) override {
    step_size_ = step_size;
    if (steps_in_round() == 0) begin_round();
  }
  void end_step() override {
    if (!is_round()) return;
    mixer().average("parameters", parameters());
    assign(way_, {{1.0, start_}, {-1.0, parameters()}});
    step_outside(parameters(), way_, velocity_, step_size_);
  }
  [[nodiscard]] std::vector<BucketVector> state() const override { return {start_, velocity_}; }

 protected:
  virtual void step_outside(const BucketVector& average, const BucketVector& way,
                            const BucketVector& velocity, double step_size) = 0;

 private:
  void begin_round() { assign(start_, {{1.0, parameters()}}); }

  BucketVector start_;
  BucketVector way_;
  BucketVector velocity_;
  double step_size_ = 0;
};

class SlowMomentumAlgorithm final : public OuterStepAlgorithm {
 public:
  SlowMomentumAlgorithm(Context& context, const std::vector<Tensor>& parameters,
                        const SlowMomentumOptions& options)
      : OuterStepAlgorithm(context, "SlowMomentum", parameters, options, options.momentum),
        momentum_(options.momentum),
        outer_step_size_(options.step_size) {}

 private:
  void step_outside(const BucketVector& average, const BucketVector& way, const BucketVector& velocity,
                    double step_size) override {
    assign(
        average,
        {{1.0, average}, {1 - outer_step_size_, way}, {-outer_step_size_ * step_size * momentum_, velocity}});
    if (step_size == 0) return;  // nothing says how fast the way was
    assign(velocity, {{momentum_, velocity}, {1 / step_size, way}});
  }

  double momentum_;
  double outer_step_size_;
};

class DiLoCoAlgorithm final : public OuterStepAlgorithm {
 public:
  DiLoCoAlgorithm(Context& context, const std::vector<Tensor>& parameters, const DiLoCoOptions& options)
      : OuterStepAlgorithm(context, "DiLoCo", parameters, options, options.momentum),
        momentum_(options.momentum),
        outer_step_size_(options.step_size) {}

 private:
  void step_outside(const BucketVector& average, const BucketVector& way, const BucketVector& velocity,
                    double /*step_size*/) override {
    assign(velocity, {{momentum_, velocity}, {1.0, way}});
    assign(average, {{1.0, average}, {1 - outer_step_size_, way}, {-outer_step_size_ * momentum_, velocity}});
  }

  double momentum_;
  double outer_step_size_;
};

class NoLoCoAlgorithm final : public SynchronousAlgorithm {
 public:
  static constexpr const char* name = "NoLoCo";

  NoLoCoAlgorithm(Context& context, const std::vector<Tensor>& parameters, NoLoCoOptions options)
      : SynchronousAlgorithm(context, name, parameters, options, pairs(context, options)),
        start_(make_vector()),
        mean_start_(make_vector()),
        mean_way_(make_vector()),
        velocity_(make_vector()),
        momentum_(options.momentum),
        outer_step_size_(options.step_size),
        attraction_(options.attraction) {
    check_momentum(name, momentum_);
    begin_round();
  }

  void begin_step(double /*step_size*/) override {
    if (steps_in_round() == 0) begin_round();
  }
  void end_step() override {
    if (!is_round()) return;
    assign(mean_way_, {{1.0, parameters()}, {-1.0, start_}});
    Flight flight = mixer().start("way", mean_way_, mean_way_, round());
    flight.add(mixer().start("start", start_, mean_start_, round()));
    mixer().wait(flight);
    assign(velocity_, {{momentum_, velocity_},
                       {outer_step_size_, mean_way_},
                       {-attraction_, start_},
                       {attraction_, mean_start_}});
    assign(parameters(), {{1.0, start_}, {1.0, velocity_}});
  }
  [[nodiscard]] std::vector<BucketVector> state() const override { return {start_, velocity_}; }

 private:
  void begin_round() { assign(start_, {{1.0, parameters()}}); }
  static SchedulePtr pairs(const Context& context, NoLoCoOptions& options) {
    if (options.schedule == nullptr) {
      options.schedule = one_peer_random_matching(context.size(), options.seed);
    }
    return schedule_for(context, name, options, {.instead = "take one that preserves both"});
  }

  BucketVector start_;
  BucketVector mean_start_;
  BucketVector mean_way_;
  BucketVector velocity_;
  double momentum_;
  double outer_step_size_;
  double attraction_;
};

}  // namespace
}  // namespace optim

SlowMomentum::SlowMomentum(Context& context, const std::vector<Tensor>& parameters,
                           const SlowMomentumOptions& options)
    : DecentralizedAlgorithm(std::make_unique<optim::SlowMomentumAlgorithm>(context, parameters, options)) {}

DiLoCo::DiLoCo(Context& context, const std::vector<Tensor>& parameters, const DiLoCoOptions& options)
    : DecentralizedAlgorithm(std::make_unique<optim::DiLoCoAlgorithm>(context, parameters, options)) {}

NoLoCo::NoLoCo(Context& context, const std::vector<Tensor>& parameters, const NoLoCoOptions& options)
    : DecentralizedAlgorithm(std::make_unique<optim::NoLoCoAlgorithm>(context, parameters, options)) {}

}  // namespace bluefog
