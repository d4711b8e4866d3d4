#pragma once
/// @file synchronous_algorithm.hpp  What the algorithms of bluefog/decentralized.hpp have in common.

#include <cstdint>
#include <string>
#include <vector>

#include <bluefog/decentralized.hpp>

#include "optim/bucket_vector.hpp"
#include "optim/mixer.hpp"

namespace bluefog::optim {

/// What an algorithm asks of the rounds it mixes by.
struct ScheduleNeeds {
  bool constants = true;
  bool symmetry = false;
  bool constancy = false;  ///< the same round in every step
  std::string instead;     ///< what to do about a schedule that has not got it
};

/// That of the options, or the topology that is set now in every round.
/// @throws InvalidArgument for one that does not do what is needed
[[nodiscard]] SchedulePtr schedule_for(const Context& context, const char* algorithm,
                                       const DecentralizedOptions& options, const ScheduleNeeds& needs);
void check_schedule(const char* algorithm, const Schedule& schedule, const ScheduleNeeds& needs);
/// @throws InvalidArgument unless the schedule is for all ranks of the job
void check_size(const char* algorithm, const Schedule& schedule, const Context& context);
/// @throws InvalidArgument unless both have the same dtypes and shapes
void check_alike(const char* algorithm, const std::vector<Tensor>& parameters,
                 const std::vector<Tensor>& gradients);
/// @throws InvalidArgument unless there is a round in every step
void check_mixes_always(const char* algorithm, const DecentralizedOptions& options);
/// @throws InvalidArgument unless 0 <= momentum < 1
void check_momentum(const char* algorithm, double momentum);

class SynchronousAlgorithm {
 public:
  /// @param algorithm  name of its class, a literal
  /// @param vector  the parameters, or the gradients if nothing is done to the parameters
  SynchronousAlgorithm(Context& context, const char* algorithm, const std::vector<Tensor>& vector,
                       const DecentralizedOptions& options, SchedulePtr schedule);
  SynchronousAlgorithm(const SynchronousAlgorithm&) = delete;
  SynchronousAlgorithm& operator=(const SynchronousAlgorithm&) = delete;
  virtual ~SynchronousAlgorithm() = default;

  virtual void begin_gradient() {}
  virtual void begin_step(double /*step_size*/) {}
  virtual void end_step() {}
  [[nodiscard]] virtual std::vector<BucketVector> state() const { return {}; }

  [[nodiscard]] const char* name() const noexcept { return name_; }
  void finish_step();
  [[nodiscard]] std::uint64_t round_number() const noexcept { return round_.number; }
  [[nodiscard]] int steps_in_round() const noexcept { return steps_; }
  void resume(std::uint64_t round, int steps_in_round);
  /// State of zeros is that of the beginning.
  virtual void forget();

 protected:
  [[nodiscard]] const BucketVector& parameters() const noexcept { return parameters_; }
  [[nodiscard]] BucketVector make_vector() const { return {context_, parameters_}; }
  [[nodiscard]] const Mixer& mixer() const noexcept { return mixer_; }
  [[nodiscard]] Context& context() const noexcept { return context_; }
  [[nodiscard]] Round& round() noexcept { return round_; }
  [[nodiscard]] const Round& round() const noexcept { return round_; }
  /// Whether this step is the last of its round, in which ranks mix.
  [[nodiscard]] bool is_round() const noexcept { return steps_ + 1 >= steps_per_round_; }
  [[nodiscard]] int steps_per_round() const noexcept { return steps_per_round_; }
  /// Whether the schedule advances with this step, the last of a round.
  [[nodiscard]] virtual bool is_round_of_schedule() const { return true; }

 private:
  const char* name_;
  Context& context_;
  BucketVector parameters_;
  Mixer mixer_;
  Round round_;
  int steps_per_round_;
  int steps_ = 0;
};

}  // namespace bluefog::optim
