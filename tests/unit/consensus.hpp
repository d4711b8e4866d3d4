#pragma once
/// @file consensus.hpp  Mixing of the values that the tables of consensus rounds start from.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include <bluefog/topology.hpp>

#include "split_mix.hpp"

namespace bluefog::testing {

/// Four normal numbers on every rank, of the same seed for every size, and how far they are from their mean.
class Consensus {
 public:
  using Values = std::vector<std::array<double, 4>>;

  explicit Consensus(int size) : values_(static_cast<std::size_t>(size)) {
    examples::SplitMix64 random(7);
    for (auto& row : values_) {
      for (double& value : row) value = random.normal();
    }
    for (const auto& row : values_) {
      for (std::size_t k = 0; k < 4; ++k) mean_[k] += row[k] / size;
    }
    start_ = distance();
  }

  void mix(const Topology& topology) { values_ = mixed(topology, values_); }

  [[nodiscard]] static Values mixed(const Topology& topology, const Values& values) {
    Values next(values.size(), {0.0, 0.0, 0.0, 0.0});
    for (int rank = 0; rank < topology.size(); ++rank) {
      const auto add = [&](int sender, double weight) {
        for (std::size_t k = 0; k < 4; ++k) {
          next[static_cast<std::size_t>(rank)][k] += weight * values[static_cast<std::size_t>(sender)][k];
        }
      };
      add(rank, topology.self_weight(rank));
      for (const auto& [sender, weight] : topology.in_neighbors(rank)) add(sender, weight);
    }
    return next;
  }

  [[nodiscard]] Values& values() { return values_; }
  /// Distance from the mean of the start, over all ranks, relative to that at the start.
  [[nodiscard]] double relative_error() const { return distance() / start_; }
  [[nodiscard]] double largest_error() const {
    double largest = 0.0;
    for (const auto& row : values_) {
      for (std::size_t k = 0; k < 4; ++k) largest = std::max(largest, std::abs(row[k] - mean_[k]));
    }
    return largest;
  }

 private:
  [[nodiscard]] double distance() const {
    double sum = 0.0;
    for (const auto& row : values_) {
      for (std::size_t k = 0; k < 4; ++k) sum += (row[k] - mean_[k]) * (row[k] - mean_[k]);
    }
    return std::sqrt(sum);
  }

  Values values_;
  std::array<double, 4> mean_ = {0.0, 0.0, 0.0, 0.0};
  double start_ = 0.0;
};

}  // namespace bluefog::testing
