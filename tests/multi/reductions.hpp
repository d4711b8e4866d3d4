#pragma once
/// @file reductions.hpp  The operations that give one tensor of the input's shape: how to call them, and what
/// they must give.

#include <functional>
#include <string>
#include <variant>
#include <vector>

#include <bluefog/bluefog.hpp>

#include "multi/reference.hpp"

namespace bluefog::test {

using ReductionOptions = std::variant<NeighborAllreduceOptions, AllreduceOptions>;

struct ReductionCase {
  std::string name;
  /// All types that can be summed, or only the floating ones.
  bool takes_integers = false;
  /// Uses the topology of weighted_topology() instead of the default one.
  bool sets_topology = false;
  std::function<bool(int rank, int size)> takes_part;
  std::function<ReductionOptions(int rank, int size)> options;
  std::function<Expectation(int rank, int size)> expectation;
};

[[nodiscard]] const std::vector<ReductionCase>& reduction_cases();

/// An irregular directed graph whose rows and columns do not sum to 1.
[[nodiscard]] Topology weighted_topology(int size);

/// Ranks that `rank` receives from in the default topology, ascending.
[[nodiscard]] std::vector<int> exponential_sources(int rank, int size);

}  // namespace bluefog::test
