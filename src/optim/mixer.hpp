#pragma once
/// @file mixer.hpp  Vectors of parameters in the operations of a Context.

#include <functional>
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
  Mixer(Context& context, const DecentralizedOptions& options)
      : context_(context), name_(options.name), while_waiting_(options.while_waiting) {}

  /// @param what  which of the algorithm's vectors it is
  [[nodiscard]] Flight start(std::string_view what, const BucketVector& from, const BucketVector& to,
                             const Round& round) const;
  void wait(Flight& flight) const { flight.wait(while_waiting_); }
  void mix(std::string_view what, const BucketVector& vector, const Round& round) const {
    mix(what, vector, vector, round);
  }
  void mix(std::string_view what, const BucketVector& from, const BucketVector& to,
           const Round& round) const {
    Flight flight = start(what, from, to, round);
    wait(flight);
  }
  /// One of the vector's tensors becomes its mean over all ranks.
  [[nodiscard]] Handle start_averaging(std::string_view what, const BucketVector& vector,
                                       std::size_t tensor) const;
  /// The mean over all ranks, which takes the vector's place.
  void average(std::string_view what, const BucketVector& vector) const;

 private:
  [[nodiscard]] std::string name_of(std::string_view what, std::size_t tensor) const {
    return name_ + "." + std::string(what) + "." + std::to_string(tensor);
  }
  [[nodiscard]] Handle start_one(const std::string& name, const Tensor& from, const Tensor& to,
                                 const Round& round) const;

  Context& context_;
  std::string name_;
  std::function<void()> while_waiting_;
};

}  // namespace bluefog::optim
