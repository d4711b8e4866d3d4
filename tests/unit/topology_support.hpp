#pragma once
/// @file topology_support.hpp  What the tests of graphs, schedules and spectral facts share.

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/error.hpp>
#include <bluefog/topology.hpp>

namespace bluefog::testing {

inline std::vector<int> ranks_of(std::span<const Topology::Neighbor> neighbors) {
  std::vector<int> ranks;
  for (const Topology::Neighbor& neighbor : neighbors) ranks.push_back(neighbor.rank);
  return ranks;
}

/// Runs `action`, which must throw InvalidArgument with every one of `words` in its message.
template <class Action>
void expect_invalid(Action action, std::initializer_list<std::string> words) {
  try {
    action();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const InvalidArgument& error) {
    const std::string message = error.what();
    for (const std::string& word : words) {
      EXPECT_NE(message.find(word), std::string::npos) << "'" << word << "' is missing in: " << message;
    }
  }
}

/// Largest absolute difference of two matrices of equal size.
inline double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

/// The matrix that averages exactly.
inline std::vector<double> averaging_matrix(int size) {
  return std::vector<double>(static_cast<std::size_t>(size) * static_cast<std::size_t>(size), 1.0 / size);
}

}  // namespace bluefog::testing
