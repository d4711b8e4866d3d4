#pragma once
// Products of row-major matrices. The inner loops run along rows of what they add to, so that compilers make
// vector instructions of them without reordering sums; the middle ones run over few rows, which stay in the
// cache.

#include <algorithm>
#include <cstddef>
#include <span>

namespace bluefog::examples {

template <class T>
class MatrixView {
 public:
  MatrixView(std::span<T> elements, std::size_t columns) : elements_(elements), columns_(columns) {}
  operator MatrixView<const T>() const { return {elements_, columns_}; }  // NOLINT

  [[nodiscard]] std::size_t rows() const { return elements_.size() / columns_; }
  [[nodiscard]] std::size_t columns() const { return columns_; }
  [[nodiscard]] std::span<T> row(std::size_t index) const {
    return elements_.subspan(index * columns_, columns_);
  }

 private:
  std::span<T> elements_;
  std::size_t columns_;
};

/// to += factor * from
inline void add_scaled(std::span<float> to, float factor, std::span<const float> from) {
  float* const result = to.data();
  const float* const summand = from.data();
  for (std::size_t i = 0; i < to.size(); ++i) result[i] += factor * summand[i];
}

/// Every row of `matrix` <- `values`.
inline void fill_rows(MatrixView<float> matrix, std::span<const float> values) {
  for (std::size_t i = 0; i < matrix.rows(); ++i) std::ranges::copy(values, matrix.row(i).begin());
}

/// result += left * right
inline void add_product(MatrixView<float> result, MatrixView<const float> left,
                        MatrixView<const float> right) {
  for (std::size_t k = 0; k < right.rows(); ++k) {
    for (std::size_t i = 0; i < result.rows(); ++i) add_scaled(result.row(i), left.row(i)[k], right.row(k));
  }
}

/// result += transposed left * right
inline void add_transposed_product(MatrixView<float> result, MatrixView<const float> left,
                                   MatrixView<const float> right) {
  for (std::size_t i = 0; i < result.rows(); ++i) {
    for (std::size_t k = 0; k < right.rows(); ++k) add_scaled(result.row(i), left.row(k)[i], right.row(k));
  }
}

}  // namespace bluefog::examples
