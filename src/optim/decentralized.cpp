#include <utility>

#include <bluefog/decentralized.hpp>
#include <bluefog/error.hpp>

#include "optim/synchronous_algorithm.hpp"

namespace bluefog {

namespace optim {

namespace {

[[noreturn]] void refuse(const char* algorithm, const std::string& why) {
  throw InvalidArgument(std::string(algorithm) + ": " + why);
}

bool is_symmetric(const Schedule& schedule) {
  // Those that never repeat are known by their first rounds.
  constexpr std::uint64_t looked_at = 64;
  for (std::uint64_t t = 0; t < std::min(schedule.period(), looked_at); ++t) {
    if (!schedule.shared_round(t)->is_symmetric()) return false;
  }
  return true;
}

}  // namespace

void check_schedule(const char* algorithm, const Schedule& schedule, const ScheduleNeeds& needs) {
  const auto lacks = [&](const std::string& what) {
    refuse(algorithm, "the schedule \"" + std::string(schedule.name()) + "\" " + what +
                          (needs.instead.empty() ? "" : "; " + needs.instead));
  };
  if (!schedule.preserves_mean()) lacks("does not preserve the mean");
  if (needs.constants && !schedule.preserves_constants()) lacks("does not preserve constants");
  if (needs.symmetry && !is_symmetric(schedule)) lacks("has rounds that are not symmetric");
  if (needs.constancy && schedule.period() != 1) lacks("has rounds that differ");
}

void check_size(const char* algorithm, const Schedule& schedule, const Context& context) {
  if (schedule.size() == context.size()) return;
  refuse(algorithm, "the schedule \"" + std::string(schedule.name()) + "\" is for " +
                        std::to_string(schedule.size()) + " ranks, this job has " +
                        std::to_string(context.size()));
}

SchedulePtr schedule_for(const Context& context, const char* algorithm, const DecentralizedOptions& options,
                         const ScheduleNeeds& needs) {
  SchedulePtr schedule = options.schedule;
  if (schedule == nullptr) {
    const Topology topology = context.topology();
    schedule = static_schedule(context.is_topology_weighted() ? topology : topology.with_uniform_weights());
  }
  check_size(algorithm, *schedule, context);
  check_schedule(algorithm, *schedule, needs);
  return schedule;
}

void check_alike(const char* algorithm, const std::vector<Tensor>& parameters,
                 const std::vector<Tensor>& gradients) {
  if (gradients.size() != parameters.size()) {
    refuse(algorithm, std::to_string(gradients.size()) + " gradients for " +
                          std::to_string(parameters.size()) + " parameters");
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Tensor& gradient = gradients[i];
    const Tensor& parameter = parameters[i];
    if (gradient.dtype == parameter.dtype && gradient.shape == parameter.shape) continue;
    refuse(algorithm, "gradient " + std::to_string(i) + " is " + std::string(name_of(gradient.dtype)) + " " +
                          gradient.shape.to_string() + ", its parameter " +
                          std::string(name_of(parameter.dtype)) + " " + parameter.shape.to_string());
  }
}

void check_mixes_always(const char* algorithm, const DecentralizedOptions& options) {
  if (options.steps_per_round == 1) return;
  refuse(algorithm, "steps_per_round is " + std::to_string(options.steps_per_round) +
                        ", but it mixes in every step; give 1");
}

void check_momentum(const char* algorithm, double momentum) {
  if (momentum >= 0 && momentum < 1) return;
  refuse(algorithm, "momentum is " + std::to_string(momentum) + "; give a number in [0, 1)");
}

SynchronousAlgorithm::SynchronousAlgorithm(Context& context, const char* algorithm,
                                           const std::vector<Tensor>& vector,
                                           const DecentralizedOptions& options, SchedulePtr schedule)
    : name_(algorithm),
      context_(context),
      parameters_(vector),
      mixer_(context, options),
      steps_per_round_(options.steps_per_round) {
  round_.schedule = std::move(schedule);
  for (const Tensor& tensor : vector) {
    if (!is_floating(tensor.dtype)) {
      refuse(algorithm,
             "a tensor of " + std::string(name_of(tensor.dtype)) + " has no mean; give floating dtypes");
    }
  }
  if (options.steps_per_round < 1) {
    refuse(algorithm, "steps_per_round is " + std::to_string(options.steps_per_round) + "; give 1 or more");
  }
}

void SynchronousAlgorithm::finish_step() {
  if (!is_round()) {
    ++steps_;
    return;
  }
  steps_ = 0;
  if (is_round_of_schedule()) ++round_.number;
}

void SynchronousAlgorithm::resume(std::uint64_t round, int steps_in_round) {
  if (steps_in_round < 0 || steps_in_round >= steps_per_round_) {
    throw InvalidArgument("resume: " + std::to_string(steps_in_round) + " steps since the last round of " +
                          std::to_string(steps_per_round_));
  }
  round_.number = round;
  steps_ = steps_in_round;
}

void SynchronousAlgorithm::forget() {
  for (const BucketVector& vector : state()) clear(vector);
}

}  // namespace optim

DecentralizedAlgorithm::DecentralizedAlgorithm(std::unique_ptr<optim::SynchronousAlgorithm> algorithm)
    : algorithm_(std::move(algorithm)) {}
DecentralizedAlgorithm::~DecentralizedAlgorithm() = default;

void DecentralizedAlgorithm::begin_gradient() {
  algorithm_->begin_gradient();
}

void DecentralizedAlgorithm::begin_step(double step_size) {
  algorithm_->begin_step(step_size);
}

void DecentralizedAlgorithm::end_step() {
  algorithm_->end_step();
  algorithm_->finish_step();
}

std::string_view DecentralizedAlgorithm::name() const {
  return algorithm_->name();
}

std::vector<Tensor> DecentralizedAlgorithm::state() const {
  std::vector<Tensor> tensors;
  for (const optim::BucketVector& vector : algorithm_->state()) {
    tensors.insert(tensors.end(), vector.tensors().begin(), vector.tensors().end());
  }
  return tensors;
}

std::uint64_t DecentralizedAlgorithm::round() const {
  return algorithm_->round_number();
}

int DecentralizedAlgorithm::steps_in_round() const {
  return algorithm_->steps_in_round();
}

void DecentralizedAlgorithm::resume(std::uint64_t round, int steps_in_round) {
  algorithm_->resume(round, steps_in_round);
}

void DecentralizedAlgorithm::restart(std::uint64_t round) {
  algorithm_->resume(round, 0);
  algorithm_->forget();
}

}  // namespace bluefog
