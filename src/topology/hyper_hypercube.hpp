#pragma once
/// @file hyper_hypercube.hpp  Ranks on the corners of a box, averaging along one side after the other.

#include <optional>
#include <vector>

#include "topology/round_builder.hpp"

namespace bluefog::topology {

/// The fewest factors, each from 2 to `largest`, whose product is `number`; ascending. Empty for 1; nothing
/// if a prime factor is above `largest`.
[[nodiscard]] std::optional<std::vector<int>> fewest_factors(int number, int largest);

/// The i-th of `ranks` stands where the mixed-radix digits of i say. Every round averages those ranks whose
/// places differ in one digit alone; after one round per digit all hold the mean.
class HyperHypercube {
 public:
  /// @param sides  how many values each digit takes; the product is the number of ranks
  HyperHypercube(std::vector<int> ranks, std::vector<int> sides);
  /// Number of rounds until all hold the mean; 0 for a single rank.
  [[nodiscard]] int rounds() const noexcept { return static_cast<int>(sides_.size()); }
  /// Round t, repeating after rounds().
  void add_round(int t, RoundBuilder& round) const;

 private:
  std::vector<int> ranks_;
  std::vector<int> sides_;
};

}  // namespace bluefog::topology
