#include "optim/mixer.hpp"

#include <utility>

namespace bluefog::optim {

namespace {

Round round_of_all() {
  Round round;
  round.type = CommunicationType::Allreduce;
  return round;
}

}  // namespace

Flight Mixer::start(std::string_view what, const BucketVector& from, const BucketVector& to,
                    const Round& round) const {
  Flight flight;
  if (round.type == CommunicationType::Empty) return flight;
  for (std::size_t i = 0; i < from.tensors().size(); ++i) {
    flight.add(start_one(name_of(what, i), from.tensors()[i], to.tensors()[i], round));
  }
  return flight;
}

Handle Mixer::start_averaging(std::string_view what, const BucketVector& vector, std::size_t tensor) const {
  const Tensor& place = vector.tensors()[tensor];
  return start_one(name_of(what, tensor), place, place, round_of_all());
}

void Mixer::average(std::string_view what, const BucketVector& vector) const {
  mix(what, vector, round_of_all());
}

Handle Mixer::start_one(const std::string& name, const Tensor& from, const Tensor& to,
                        const Round& round) const {
  const MixingWeights& weights = round.weights;
  if (round.type == CommunicationType::Allreduce) {
    AllreduceOptions options;
    options.name = name;
    return context_.allreduce_async(from, to, options);
  }
  if (round.type == CommunicationType::HierarchicalNeighborAllreduce) {
    HierarchicalNeighborAllreduceOptions options;
    options.name = name;
    options.self_weight = weights.self_weight;
    options.src_machine_weights = weights.src_machine_weights;
    options.dst_machine_weights = weights.dst_machine_weights;
    if (!weights.self_weight && !weights.src_machine_weights && !weights.dst_machine_weights) {
      options.schedule = round.schedule;
      options.round = round.number;
    }
    options.form = round.form;
    return context_.hierarchical_neighbor_allreduce_async(from, to, options);
  }
  NeighborAllreduceOptions options;
  options.name = name;
  options.self_weight = weights.self_weight;
  options.src_weights = weights.src_weights;
  options.dst_weights = weights.dst_weights;
  if (!weights.self_weight && !weights.src_weights && !weights.dst_weights) {
    options.schedule = round.schedule;
    options.round = round.number;
  }
  options.form = round.form;
  options.meet = true;
  options.check_topology = weights.check_topology;
  return context_.neighbor_allreduce_async(from, to, options);
}

}  // namespace bluefog::optim
