#include "topology/round_builder.hpp"

#include <cstddef>

namespace bluefog::topology {

RoundBuilder::RoundBuilder(int size) : self_weights_(static_cast<std::size_t>(size), 1.0) {}

void RoundBuilder::average(std::span<const int> members) {
  const double weight = 1.0 / static_cast<double>(members.size());
  for (std::size_t i = 0; i < members.size(); ++i) {
    self_weights_[static_cast<std::size_t>(members[i])] = weight;
    for (std::size_t j = 0; j < i; ++j) join(members[i], members[j], weight);
  }
}

void RoundBuilder::exchange(int a, int b, double weight) {
  self_weights_[static_cast<std::size_t>(a)] -= weight;
  self_weights_[static_cast<std::size_t>(b)] -= weight;
  join(a, b, weight);
}

Topology RoundBuilder::finish() const {
  std::vector<Topology::Edge> edges = edges_;
  const auto size = static_cast<int>(self_weights_.size());
  for (int rank = 0; rank < size; ++rank) {
    edges.push_back({rank, rank, self_weights_[static_cast<std::size_t>(rank)]});
  }
  return {size, edges};
}

void RoundBuilder::join(int a, int b, double weight) {
  edges_.push_back({a, b, weight});
  edges_.push_back({b, a, weight});
}

}  // namespace bluefog::topology
