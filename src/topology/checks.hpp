#pragma once
/// @file checks.hpp  Checks of arguments that all of this room shares.

#include <algorithm>
#include <bit>
#include <string>

#include <bluefog/error.hpp>

namespace bluefog::topology {

/// @throws InvalidArgument unless size is at least 1; `what` begins the message
inline void check_size(const std::string& what, int size) {
  if (size >= 1) return;
  throw InvalidArgument(what + ": the number of ranks is " + std::to_string(size) + ", it must be 1 or more");
}

/// @throws InvalidArgument unless rank is in [0, size)
inline void check_rank(const std::string& what, int rank, int size) {
  if (rank >= 0 && rank < size) return;
  throw InvalidArgument(what + ": rank " + std::to_string(rank) + " is out of range, the ranks are 0 to " +
                        std::to_string(size - 1));
}

/// log2 of size. @throws InvalidArgument unless size is a power of two
inline int hypercube_dimensions(const std::string& what, int size) {
  check_size(what, size);
  const auto ranks = static_cast<unsigned>(size);
  if (!std::has_single_bit(ranks)) {
    throw InvalidArgument(
        what + ": " + std::to_string(size) +
        " ranks form no hypercube: use a power of two, or an exponential graph, which takes any size");
  }
  return std::countr_zero(ranks);
}

/// How many ranks may average among themselves if each talks to at most max_degree others: max_degree + 1,
/// but no more than there are, and at least 2. @throws InvalidArgument for a max_degree below 1
inline int largest_group(const std::string& what, int size, int max_degree) {
  if (max_degree < 1) {
    throw InvalidArgument(what + ": a rank may talk to " + std::to_string(max_degree) +
                          " others in a round, it must be 1 or more");
  }
  return std::max(2, std::min(max_degree, size - 1) + 1);
}

}  // namespace bluefog::topology
