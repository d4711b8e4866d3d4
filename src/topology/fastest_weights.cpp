#include "topology/fastest_weights.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <utility>

#include "topology/cholesky.hpp"

namespace bluefog::topology {

namespace {

using Vector = std::vector<double>;

double dot(const Vector& a, const Vector& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// The unknowns: the weights of the edges and, last, a bound s of ||W - J||_2. The least s is wanted with
/// sI - (W - J) and sI + (W - J) positive definite, and self weights and weights positive if they must be.
/// The barrier is minus the logarithm of the determinants of the former and of each of the latter.
class Barrier {
 public:
  Barrier(int size, std::span<const UndirectedEdge> edges, Signs signs)
      : size_(static_cast<std::size_t>(size)), signs_(signs) {
    for (const auto& [a, b] : edges) {
      edges_.push_back({static_cast<std::size_t>(a), static_cast<std::size_t>(b)});
    }
  }

  /// A point inside and what the derivatives there are made of.
  struct Point {
    Vector unknowns;
    Vector above;         ///< (sI - (W - J))^-1
    Vector below;         ///< (sI + (W - J))^-1
    Vector self_weights;  ///< diagonal of W
  };

  /// Nothing if these unknowns do not lie inside.
  [[nodiscard]] std::optional<Point> point(Vector unknowns) const {
    const std::size_t n = size_;
    const double bound = unknowns.back();
    Vector laplacian(n * n, 1.0 / static_cast<double>(n));  // and J
    Vector self_weights(n, 1.0);
    for (std::size_t e = 0; e < edges_.size(); ++e) {
      const auto [a, b] = edges_[e];
      const double weight = unknowns[e];
      laplacian[a * n + b] -= weight;
      laplacian[b * n + a] -= weight;
      for (const std::size_t rank : {a, b}) {
        laplacian[rank * n + rank] += weight;
        self_weights[rank] -= weight;
      }
      if (signs_ == Signs::NonNegative && weight <= 0.0) return std::nullopt;
    }
    if (signs_ == Signs::NonNegative && *std::min_element(self_weights.begin(), self_weights.end()) <= 0.0) {
      return std::nullopt;
    }
    // W = I - Laplacian.
    const std::optional<Cholesky> above = Cholesky::of(n, shifted(laplacian, 1.0, bound - 1.0));
    const std::optional<Cholesky> below = Cholesky::of(n, shifted(std::move(laplacian), -1.0, bound + 1.0));
    if (!above || !below) return std::nullopt;
    return Point{std::move(unknowns), above->inverse(), below->inverse(), std::move(self_weights)};
  }

  /// Of sharpness * s + barrier.
  [[nodiscard]] Vector gradient(const Point& at, double sharpness) const {
    Vector result(edges_.size() + 1);
    for (std::size_t e = 0; e < edges_.size(); ++e) {
      result[e] = between(at.below, e, e) - between(at.above, e, e);
      if (signs_ == Signs::Any) continue;
      result[e] -= 1.0 / at.unknowns[e];
      for (const std::size_t rank : {edges_[e].first, edges_[e].second}) {
        result[e] += 1.0 / at.self_weights[rank];
      }
    }
    result.back() = sharpness;
    for (std::size_t i = 0; i < size_; ++i) {
      result.back() -= at.above[i * size_ + i] + at.below[i * size_ + i];
    }
    return result;
  }

  /// Of the barrier; the lower triangle only.
  [[nodiscard]] Vector hessian(const Point& at) const {
    const std::size_t order = edges_.size() + 1;
    Vector result(order * order, 0.0);
    Vector from_above = difference_rows(at.above);
    Vector from_below = difference_rows(at.below);
    for (std::size_t e = 0; e < edges_.size(); ++e) {
      for (std::size_t f = 0; f <= e; ++f) {
        const double above = between(at.above, e, f);
        const double below = between(at.below, e, f);
        result[e * order + f] = above * above + below * below;
        if (signs_ == Signs::NonNegative) result[e * order + f] += sign_curvature(at, e, f);
      }
      const double* above = &from_above[e * size_];
      const double* below = &from_below[e * size_];
      double& with_bound = result[edges_.size() * order + e];
      for (std::size_t i = 0; i < size_; ++i) with_bound += above[i] * above[i] - below[i] * below[i];
    }
    result.back() = dot(at.above, at.above) + dot(at.below, at.below);
    return result;
  }

  /// On the central path s is above the least one by at most this over the sharpness.
  [[nodiscard]] double parameter() const {
    const std::size_t of_signs = signs_ == Signs::NonNegative ? size_ + edges_.size() : 0;
    return static_cast<double>(2 * size_ + of_signs);
  }

 private:
  /// factor * matrix + diagonal * I.
  [[nodiscard]] Vector shifted(Vector matrix, double factor, double diagonal) const {
    for (double& entry : matrix) entry *= factor;
    for (std::size_t i = 0; i < size_; ++i) matrix[i * size_ + i] += diagonal;
    return matrix;
  }

  /// d^T matrix d', d and d' the differences of unit vectors along two edges.
  [[nodiscard]] double between(const Vector& matrix, std::size_t e, std::size_t f) const {
    const auto [a, b] = edges_[e];
    const auto [c, d] = edges_[f];
    return matrix[a * size_ + c] - matrix[a * size_ + d] - matrix[b * size_ + c] + matrix[b * size_ + d];
  }

  /// d^T matrix for all edges, one a row.
  [[nodiscard]] Vector difference_rows(const Vector& matrix) const {
    Vector result(edges_.size() * size_);
    for (std::size_t e = 0; e < edges_.size(); ++e) {
      const auto [a, b] = edges_[e];
      for (std::size_t i = 0; i < size_; ++i) {
        result[e * size_ + i] = matrix[a * size_ + i] - matrix[b * size_ + i];
      }
    }
    return result;
  }

  [[nodiscard]] double sign_curvature(const Point& at, std::size_t e, std::size_t f) const {
    double sum = e == f ? 1.0 / (at.unknowns[e] * at.unknowns[e]) : 0.0;
    for (const std::size_t rank : {edges_[e].first, edges_[e].second}) {
      if (rank != edges_[f].first && rank != edges_[f].second) continue;
      sum += 1.0 / (at.self_weights[rank] * at.self_weights[rank]);
    }
    return sum;
  }

  std::size_t size_;
  Signs signs_;
  std::vector<std::pair<std::size_t, std::size_t>> edges_;
};

/// The first point on the way, of those at 1, 1/2, 1/4 ... of it, that lies inside and where the function
/// does not rise half as steeply as it sank at the start. (Slopes take no logarithms, whose last bits differ
/// between machines.)
std::optional<Barrier::Point> step(const Barrier& barrier, const Barrier::Point& from,
                                   const Vector& direction, double descent, double sharpness) {
  for (double length = 1.0; length > 1e-10; length /= 2.0) {  // NOLINT: halving is exact
    Vector unknowns = from.unknowns;
    for (std::size_t i = 0; i < unknowns.size(); ++i) unknowns[i] += length * direction[i];
    std::optional<Barrier::Point> to = barrier.point(std::move(unknowns));
    if (to && dot(barrier.gradient(*to, sharpness), direction) <= 0.5 * descent) return to;
  }
  return std::nullopt;
}

/// Newton's method: from a point inside to the minimum of sharpness * s + barrier, or as close to it as
/// rounding lets it come.
Barrier::Point minimize(const Barrier& barrier, Barrier::Point at, double sharpness) {
  constexpr int most_steps = 100;
  constexpr double small_descent = 1e-10;
  for (int i = 0; i < most_steps; ++i) {
    const std::optional<Cholesky> curvature = Cholesky::of(at.unknowns.size(), barrier.hessian(at));
    if (!curvature) break;
    const Vector gradient = barrier.gradient(at, sharpness);
    Vector direction = curvature->solve(gradient);
    for (double& entry : direction) entry = -entry;
    const double descent = -dot(gradient, direction);
    if (!(descent > small_descent)) break;
    std::optional<Barrier::Point> next = step(barrier, at, direction, descent, sharpness);
    if (!next) break;
    at = *std::move(next);
  }
  return at;
}

/// Equal weights that leave every rank something: all of them inside for the bound 1.
Vector start_of(int size, std::span<const UndirectedEdge> edges) {
  std::vector<int> degrees(static_cast<std::size_t>(size), 0);
  for (const auto& [a, b] : edges) {
    ++degrees[static_cast<std::size_t>(a)];
    ++degrees[static_cast<std::size_t>(b)];
  }
  Vector start(edges.size() + 1, 1.0 / (1 + *std::max_element(degrees.begin(), degrees.end())));
  start.back() = 1.0;
  return start;
}

}  // namespace

std::vector<double> fastest_weights(int size, std::span<const UndirectedEdge> edges, Signs signs) {
  constexpr double tolerance = 1e-8;
  const Barrier barrier(size, edges, signs);
  // Exists: the graph is connected.
  Barrier::Point at = *barrier.point(start_of(size, edges));
  double sharpness = barrier.parameter();
  for (; sharpness * tolerance < 10.0 * barrier.parameter(); sharpness *= 10.0) {
    at = minimize(barrier, std::move(at), sharpness);
  }
  at.unknowns.pop_back();
  // So coarse that what compilers of two machines make of the last bits is, as good as always, the same
  // number.
  for (double& weight : at.unknowns) weight = std::round(weight * 0x1p32) * 0x1p-32;
  return std::move(at.unknowns);
}

}  // namespace bluefog::topology
