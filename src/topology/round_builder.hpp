#pragma once
/// @file round_builder.hpp  Puts one symmetric round together from groups and pairs of ranks.

#include <span>
#include <vector>

#include <bluefog/topology.hpp>

namespace bluefog::topology {

/// Ranks that are in no group and in no pair keep their value.
class RoundBuilder {
 public:
  explicit RoundBuilder(int size);
  /// The members, none of them in another group or pair of this round, take their mean.
  void average(std::span<const int> members);
  /// a and b give each other `weight`, and keep that much less.
  void exchange(int a, int b, double weight);
  [[nodiscard]] Topology finish() const;

 private:
  void join(int a, int b, double weight);

  std::vector<double> self_weights_;
  std::vector<Topology::Edge> edges_;
};

}  // namespace bluefog::topology
