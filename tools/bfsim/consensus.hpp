#pragma once
/// @file consensus.hpp  How far the ranks are from their mean after each step, collected while they run.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace bfsim {

class Consensus {
 public:
  /// Looks at that many elements of a tensor at most.
  static constexpr std::size_t most_elements = 16;

  Consensus(int ranks, int steps, std::size_t elements, std::uint64_t seed);

  /// Writes what the rank starts from: normal numbers, the same ones over and over.
  void start(int rank, std::span<float> x) const;
  /// Notes what a rank holds after a step.
  void add(int step, std::span<const float> x);
  /// Root mean square distance from the mean, after each step, over that at the start.
  [[nodiscard]] std::vector<double> distances() const;

 private:
  /// Sums over ranks of y = x - m and of |y|^2; m is the mean at the start, so that little cancels out.
  struct Sums {
    std::vector<double> y;
    double squares = 0;
  };
  [[nodiscard]] Sums no_sums() const { return {std::vector<double>(mean_.size()), 0}; }
  void add(Sums& sums, std::span<const float> x) const;
  [[nodiscard]] double spread(const Sums& sums) const;

  int ranks_;
  std::uint64_t seed_;
  std::vector<double> mean_;
  Sums first_;
  std::vector<Sums> after_;
};

}  // namespace bfsim
