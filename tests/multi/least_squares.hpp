#pragma once
/// @file least_squares.hpp  A least-squares problem whose data differ from rank to rank, with known facts.
///
/// f_i(x) = |A_i x - b_i|^2 / (2 samples), so its gradient is H_i x - c_i. The ranks want the minimum of the
/// mean of all f_i.

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "split_mix.hpp"

namespace bluefog::test {

inline constexpr std::size_t least_squares_dims = 10;

/// A point, or a gradient, in the precision in which an algorithm runs.
template <class T>
struct VectorOf : std::array<T, least_squares_dims> {
  friend VectorOf operator+(VectorOf a, const VectorOf& b) {
    for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
    return a;
  }
  friend VectorOf operator-(VectorOf a, const VectorOf& b) {
    for (std::size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
    return a;
  }
  friend VectorOf operator*(T factor, VectorOf a) {
    for (T& value : a) value *= factor;
    return a;
  }
};

class LeastSquares {
 public:
  static constexpr std::size_t dims = least_squares_dims;
  static constexpr std::size_t samples = 20;
  using Vector = VectorOf<double>;
  using Matrix = std::array<Vector, dims>;

  LeastSquares(std::size_t ranks, std::uint64_t seed) : hessians_(ranks), offsets_(ranks) {
    examples::SplitMix64 random(seed);
    const Vector common = normal_vector(random);
    for (std::size_t rank = 0; rank < ranks; ++rank) draw(random, common, hessians_[rank], offsets_[rank]);
    Vector offset{};
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      for (std::size_t i = 0; i < dims; ++i) {
        offset[i] += offsets_[rank][i] / static_cast<double>(ranks);
        for (std::size_t j = 0; j < dims; ++j)
          mean_hessian_[i][j] += hessians_[rank][i][j] / static_cast<double>(ranks);
      }
    }
    optimum_ = solve(mean_hessian_, offset);
  }

  [[nodiscard]] std::size_t ranks() const { return hessians_.size(); }
  [[nodiscard]] const Matrix& hessian(std::size_t rank) const { return hessians_[rank]; }
  [[nodiscard]] const Matrix& mean_hessian() const { return mean_hessian_; }
  [[nodiscard]] const Vector& optimum() const { return optimum_; }

  /// In the arithmetic of T; the problem's data are rounded to T.
  template <class T>
  [[nodiscard]] VectorOf<T> gradient(std::size_t rank, const VectorOf<T>& x) const {
    VectorOf<T> result = times(hessians_[rank], x);
    for (std::size_t i = 0; i < dims; ++i) result[i] -= static_cast<T>(offsets_[rank][i]);
    return result;
  }
  [[nodiscard]] static double squared_norm(const Vector& x) {
    double sum = 0;
    for (const double value : x) sum += value * value;
    return sum;
  }
  /// |x - x*|^2.
  template <class T>
  [[nodiscard]] double squared_distance(const VectorOf<T>& x) const {
    double sum = 0;
    for (std::size_t i = 0; i < dims; ++i) sum += (x[i] - optimum_[i]) * (x[i] - optimum_[i]);
    return sum;
  }
  template <class T>
  [[nodiscard]] static VectorOf<T> times(const Matrix& matrix, const VectorOf<T>& x) {
    VectorOf<T> result{};
    for (std::size_t i = 0; i < dims; ++i) {
      for (std::size_t j = 0; j < dims; ++j) result[i] += static_cast<T>(matrix[i][j]) * x[j];
    }
    return result;
  }

 private:
  static Vector normal_vector(examples::SplitMix64& random) {
    Vector x{};
    for (double& value : x) value = random.normal();
    return x;
  }

  static void draw(examples::SplitMix64& random, const Vector& common, Matrix& hessian, Vector& offset) {
    std::array<Vector, samples> features{};
    for (Vector& row : features) row = normal_vector(random);
    Vector own = normal_vector(random);
    for (std::size_t i = 0; i < dims; ++i) own[i] += common[i];
    for (const Vector& row : features) {
      double label = 0.1 * random.normal();
      for (std::size_t i = 0; i < dims; ++i) label += row[i] * own[i];
      for (std::size_t i = 0; i < dims; ++i) {
        offset[i] += row[i] * label / samples;
        for (std::size_t j = 0; j < dims; ++j) hessian[i][j] += row[i] * row[j] / samples;
      }
    }
  }

  /// Elimination; the matrix is positive definite.
  static Vector solve(Matrix matrix, Vector x) {
    for (std::size_t pivot = 0; pivot < dims; ++pivot) {
      for (std::size_t i = pivot + 1; i < dims; ++i) {
        const double factor = matrix[i][pivot] / matrix[pivot][pivot];
        for (std::size_t j = pivot; j < dims; ++j) matrix[i][j] -= factor * matrix[pivot][j];
        x[i] -= factor * x[pivot];
      }
    }
    for (std::size_t i = dims; i-- > 0;) {
      for (std::size_t j = i + 1; j < dims; ++j) x[i] -= matrix[i][j] * x[j];
      x[i] /= matrix[i][i];
    }
    return x;
  }

  std::vector<Matrix> hessians_;
  std::vector<Vector> offsets_;
  Matrix mean_hessian_{};
  Vector optimum_{};
};

}  // namespace bluefog::test
