#include "topology/cholesky.hpp"

#include <cmath>
#include <utility>

namespace bluefog::topology {

std::optional<Cholesky> Cholesky::of(std::size_t size, std::vector<double> matrix) {
  for (std::size_t i = 0; i < size; ++i) {
    double* row = &matrix[i * size];
    for (std::size_t j = 0; j <= i; ++j) {
      const double* above = &matrix[j * size];
      double rest = row[j];
      for (std::size_t k = 0; k < j; ++k) rest -= row[k] * above[k];
      if (j < i) {
        row[j] = rest / above[j];
      } else if (rest > 0.0) {
        row[j] = std::sqrt(rest);
      } else {
        return std::nullopt;
      }
    }
  }
  return Cholesky(size, std::move(matrix));
}

std::vector<double> Cholesky::solve(std::vector<double> right_side) const {
  std::vector<double>& x = right_side;
  for (std::size_t i = 0; i < size_; ++i) {
    for (std::size_t k = 0; k < i; ++k) x[i] -= factor_[i * size_ + k] * x[k];
    x[i] /= factor_[i * size_ + i];
  }
  for (std::size_t i = size_; i-- > 0;) {
    x[i] /= factor_[i * size_ + i];
    for (std::size_t k = 0; k < i; ++k) x[k] -= factor_[i * size_ + k] * x[i];
  }
  return right_side;
}

std::vector<double> Cholesky::inverse() const {
  std::vector<double> result(size_ * size_);
  for (std::size_t column = 0; column < size_; ++column) {
    std::vector<double> unit(size_, 0.0);
    unit[column] = 1.0;
    unit = solve(std::move(unit));
    for (std::size_t row = 0; row < size_; ++row) result[row * size_ + column] = unit[row];
  }
  return result;
}

}  // namespace bluefog::topology
