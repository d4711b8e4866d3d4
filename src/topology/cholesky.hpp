#pragma once
/// @file cholesky.hpp  Symmetric positive definite matrices: factors, solutions, inverses.

#include <cstddef>
#include <optional>
#include <vector>

namespace bluefog::topology {

/// A = L L^T, L lower triangular. (Golub and Van Loan, Matrix Computations, 4.2.)
class Cholesky {
 public:
  /// @param matrix  size * size entries, of which those above the diagonal are not read
  /// @return nothing if the matrix is not positive definite
  [[nodiscard]] static std::optional<Cholesky> of(std::size_t size, std::vector<double> matrix);
  /// x with A x = right_side.
  [[nodiscard]] std::vector<double> solve(std::vector<double> right_side) const;
  /// A^-1, all entries.
  [[nodiscard]] std::vector<double> inverse() const;

 private:
  Cholesky(std::size_t size, std::vector<double> factor) : size_(size), factor_(std::move(factor)) {}
  std::size_t size_;
  std::vector<double> factor_;
};

}  // namespace bluefog::topology
