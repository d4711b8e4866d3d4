#include "topology/symmetric_eigenvalue.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace bluefog::topology {

namespace {

struct Tridiagonal {
  std::vector<double> diagonal;
  std::vector<double> beside;  ///< beside[i] joins i and i + 1
};

/// Reflects `x` onto its first entry. Leaves the reflection I - scale * v v^T, v in place of x.
/// @return what the first entry becomes; scale is 0 if nothing is to be done
double make_reflection(std::vector<double>& x, double& scale) {
  double tail = 0.0;
  for (std::size_t i = 1; i < x.size(); ++i) tail += x[i] * x[i];
  scale = 0.0;
  if (tail == 0.0) return x[0];
  const double norm = std::sqrt(x[0] * x[0] + tail);
  const double image = x[0] > 0.0 ? -norm : norm;  // the sign that does not cancel
  x[0] -= image;
  scale = 2.0 / (x[0] * x[0] + tail);
  return image;
}

/// matrix <- (I - scale v v^T) matrix (I - scale v v^T) on the lower right block from `start` on.
void reflect_block(std::size_t size, std::vector<double>& matrix, std::size_t start,
                   const std::vector<double>& v, double scale) {
  const std::size_t length = v.size();
  std::vector<double> w(length, 0.0);
  for (std::size_t i = 0; i < length; ++i) {
    const double* row = &matrix[(start + i) * size + start];
    const double factor = scale * v[i];
    for (std::size_t j = 0; j < length; ++j) w[j] += factor * row[j];
  }
  double along = 0.0;
  for (std::size_t i = 0; i < length; ++i) along += v[i] * w[i];
  along *= 0.5 * scale;
  for (std::size_t i = 0; i < length; ++i) w[i] -= along * v[i];
  for (std::size_t i = 0; i < length; ++i) {
    double* row = &matrix[(start + i) * size + start];
    for (std::size_t j = 0; j < length; ++j) row[j] -= v[i] * w[j] + w[i] * v[j];
  }
}

Tridiagonal tridiagonalize(std::size_t size, std::vector<double>& matrix) {
  Tridiagonal result;
  std::vector<double> v;
  for (std::size_t k = 0; k < size; ++k) {
    result.diagonal.push_back(matrix[k * size + k]);
    if (k + 1 == size) break;
    v.resize(size - k - 1);
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = matrix[(k + 1 + i) * size + k];
    double scale = 0.0;
    result.beside.push_back(make_reflection(v, scale));
    if (scale != 0.0) reflect_block(size, matrix, k + 1, v, scale);
  }
  return result;
}

/// Whether every eigenvalue is below x: all pivots of T - x I are negative.
bool all_are_below(const Tridiagonal& t, double x) {
  double pivot = t.diagonal[0] - x;
  for (std::size_t i = 1; i < t.diagonal.size(); ++i) {
    if (pivot >= 0.0) return false;
    pivot = t.diagonal[i] - x - t.beside[i - 1] / pivot * t.beside[i - 1];
  }
  return pivot < 0.0;
}

}  // namespace

double largest_eigenvalue(std::size_t size, std::vector<double> matrix) {
  const Tridiagonal t = tridiagonalize(size, matrix);
  // It is no less than any entry of the diagonal, and no more than the largest row sum (Gershgorin).
  double low = 0.0;
  double high = 0.0;
  for (std::size_t i = 0; i < size; ++i) {
    const double left = i == 0 ? 0.0 : std::abs(t.beside[i - 1]);
    const double right = i + 1 == size ? 0.0 : std::abs(t.beside[i]);
    low = std::max(low, t.diagonal[i]);
    high = std::max(high, t.diagonal[i] + left + right);
  }
  while (high - low > std::numeric_limits<double>::epsilon() * high) {
    const double middle = low + (high - low) / 2.0;
    if (middle <= low || middle >= high) break;
    (all_are_below(t, middle) ? high : low) = middle;
  }
  return low + (high - low) / 2.0;
}

}  // namespace bluefog::topology
