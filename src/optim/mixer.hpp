#pragma once
/// @file mixer.hpp  Vectors of parameters in the operations of a Context.

#include <string>
#include <string_view>
#include <vector>

#include <bluefog/decentralized.hpp>

#include "optim/bucket_vector.hpp"
#include "optim/flight.hpp"

namespace bluefog::optim {

/// How a round of mixing goes.
struct Round {
  CommunicationType type = CommunicationType::NeighborAllreduce;
  SchedulePtr schedule;
  std::uint64_t number = 0;
  MixingForm form = MixingForm::Difference;
  MixingWeights weights{};
};

class Mixer {
 public:
  Mixer(Context& context, std::string name) : context_(&context), name_(std::move(name)) {}

  /// @param what  which of the algorithm's vectors it is
  [[nodiscard]] Flight start(std::string_view what, const BucketVector& from, const BucketVector& to,
                             const Round& round) const;
  void mix(std::string_view what, const BucketVector& vector, const Round& round) const {
    start(what, vector, vector, round).wait();
  }
  /// The mean over all ranks, which takes the vector's place.
  void average(std::string_view what, const BucketVector& vector) const;

 private:
  [[nodiscard]] Handle start_one(const std::string& name, const Tensor& from, const Tensor& to,
                                 const Round& round) const;

  Context* context_;
  std::string name_;
};

}  // namespace bluefog::optim
