#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include <bluefog/error.hpp>
#include <bluefog/spectral.hpp>

#include "topology/checks.hpp"
#include "topology/symmetric_eigenvalue.hpp"

namespace bluefog {

namespace {

using Matrix = std::vector<double>;

std::size_t index_of(int value) {
  return static_cast<std::size_t>(value);
}

Matrix identity(int size) {
  Matrix matrix(index_of(size) * index_of(size), 0.0);
  for (std::size_t i = 0; i < index_of(size); ++i) matrix[i * index_of(size) + i] = 1.0;
  return matrix;
}

Matrix minus_average(int size, Matrix matrix) {
  for (double& entry : matrix) entry -= 1.0 / size;
  return matrix;
}

Matrix multiply(int size, const Matrix& a, const Matrix& b) {
  const std::size_t n = index_of(size);
  Matrix result(n * n, 0.0);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < n; ++k) {
      const double factor = a[i * n + k];
      for (std::size_t j = 0; j < n; ++j) result[i * n + j] += factor * b[k * n + j];
    }
  }
  return result;
}

/// topology * matrix, along the edges.
Matrix mix(const Topology& topology, const Matrix& matrix) {
  const std::size_t n = index_of(topology.size());
  Matrix result(n * n, 0.0);
  for (int receiver = 0; receiver < topology.size(); ++receiver) {
    double* row = &result[index_of(receiver) * n];
    const auto add = [&](int sender, double weight) {
      const double* source = &matrix[index_of(sender) * n];
      for (std::size_t j = 0; j < n; ++j) row[j] += weight * source[j];
    };
    add(receiver, topology.self_weight(receiver));
    for (const Topology::Neighbor& sender : topology.in_neighbors(receiver)) add(sender.rank, sender.weight);
  }
  return result;
}

/// Whether the spectral norm is at most `bound`. Decides by the Frobenius norm where that is enough, as it is
/// at least the spectral norm and at most sqrt(size) times it.
bool norm_is_within(int size, const Matrix& matrix, double bound) {
  const double largest = std::abs(*std::max_element(
      matrix.begin(), matrix.end(), [](double a, double b) { return std::abs(a) < std::abs(b); }));
  if (largest > bound) return false;
  double sum_of_squares = 0.0;
  for (const double entry : matrix) sum_of_squares += entry * entry;
  const double frobenius = std::sqrt(sum_of_squares);
  if (frobenius <= bound) return true;
  if (frobenius > bound * std::sqrt(size) * (1.0 + 1e-12)) return false;
  return spectral_norm(size, matrix) <= bound;
}

void check_tolerance(double tolerance) {
  if (tolerance > 0.0) return;
  throw InvalidArgument("rounds_to_consensus: the tolerance is " + std::to_string(tolerance) +
                        ", it must be above 0: exact agreement is lost in rounding");
}

}  // namespace

double spectral_norm(int size, std::span<const double> matrix) {
  topology::check_size("spectral_norm", size);
  const std::size_t n = index_of(size);
  if (matrix.size() != n * n) {
    throw InvalidArgument("spectral_norm: the matrix has " + std::to_string(matrix.size()) + " entries, " +
                          std::to_string(n * n) + " are needed: give size * size entries");
  }
  double scale = 0.0;
  for (const double entry : matrix) scale = std::max(scale, std::abs(entry));
  if (scale == 0.0) return 0.0;
  // A^T A squares the entries: scaled to 1 they neither underflow nor overflow. Squaring costs small singular
  // values their digits, not the largest one.
  Matrix gram(n * n, 0.0);
  Matrix row(n);
  for (std::size_t k = 0; k < n; ++k) {
    for (std::size_t i = 0; i < n; ++i) row[i] = matrix[k * n + i] / scale;
    for (std::size_t i = 0; i < n; ++i) {
      if (row[i] == 0.0) continue;
      for (std::size_t j = 0; j < n; ++j) gram[i * n + j] += row[i] * row[j];
    }
  }
  return scale * std::sqrt(topology::largest_eigenvalue(n, std::move(gram)));
}

double consensus_rate(const Topology& topology) {
  return spectral_norm(topology.size(), minus_average(topology.size(), topology.to_matrix()));
}

double spectral_gap(const Topology& topology) {
  return 1.0 - consensus_rate(topology);
}

std::vector<double> product(const Schedule& schedule, std::uint64_t rounds, std::uint64_t first) {
  Matrix result = identity(schedule.size());
  for (std::uint64_t t = 0; t < rounds; ++t) result = mix(schedule.round(first + t), result);
  return result;
}

std::vector<double> product(const CecaSchedule& schedule, std::uint64_t rounds) {
  Matrix x = identity(schedule.size());
  Matrix h = x;
  for (std::uint64_t t = 0; t < rounds; ++t) {
    const CecaRound round = schedule.round(t);
    const Matrix received = mix(schedule.deliveries()->round(t), round.sent == CecaState::X ? x : h);
    round.update(std::span(x), std::span(h), std::span<const double>(received));
  }
  return x;
}

double contraction(const Schedule& schedule, std::uint64_t rounds) {
  return spectral_norm(schedule.size(), minus_average(schedule.size(), product(schedule, rounds)));
}

std::optional<std::uint64_t> rounds_to_consensus(const Topology& topology, double tolerance,
                                                 std::uint64_t max_rounds) {
  check_tolerance(tolerance);
  const int size = topology.size();
  if (norm_is_within(size, minus_average(size, identity(size)), tolerance)) return 0;
  if (!topology.preserves_constants() || !topology.preserves_mean()) return std::nullopt;

  // (W - J)^t = W^t - J. Square until the error is within the tolerance, then find t bit by bit from the top,
  // as the largest t whose error is not yet.
  std::vector<Matrix> squares = {minus_average(size, topology.to_matrix())};
  while (!norm_is_within(size, squares.back(), tolerance)) {
    if (squares.size() == 64 || std::uint64_t{1} << (squares.size() - 1) >= max_rounds) return std::nullopt;
    squares.push_back(multiply(size, squares.back(), squares.back()));
  }
  std::uint64_t rounds = 0;
  Matrix reached = identity(size);
  for (std::size_t bit = squares.size() - 1; bit-- > 0;) {
    Matrix further = multiply(size, reached, squares[bit]);
    if (norm_is_within(size, further, tolerance)) continue;
    reached = std::move(further);
    rounds += std::uint64_t{1} << bit;
  }
  ++rounds;
  return rounds <= max_rounds ? std::optional(rounds) : std::nullopt;
}

std::optional<std::uint64_t> rounds_to_consensus(const Schedule& schedule, double tolerance,
                                                 std::uint64_t max_rounds) {
  check_tolerance(tolerance);
  const int size = schedule.size();
  Matrix error = minus_average(size, identity(size));
  if (norm_is_within(size, error, tolerance)) return 0;
  if (!schedule.preserves_constants() || !schedule.preserves_mean()) return std::nullopt;

  // W (P - J) = W P - J, as W preserves constants.
  for (std::uint64_t t = 0; t < max_rounds; ++t) {
    error = mix(schedule.round(t), error);
    if (norm_is_within(size, error, tolerance)) return t + 1;
  }
  return std::nullopt;
}

}  // namespace bluefog
