#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <tuple>

#include <bluefog/error.hpp>
#include <bluefog/topology.hpp>

#include "base/hash.hpp"
#include "topology/checks.hpp"

namespace bluefog {

namespace {

using Edge = Topology::Edge;
using Neighbor = Topology::Neighbor;

std::string describe(const Edge& edge) {
  if (edge.sender == edge.receiver) return "self weight of rank " + std::to_string(edge.sender);
  return "edge " + std::to_string(edge.sender) + " -> " + std::to_string(edge.receiver);
}

void check_edge(int size, const Edge& edge) {
  for (const int rank : {edge.sender, edge.receiver}) {
    if (rank >= 0 && rank < size) continue;
    throw InvalidArgument("Topology: the " + describe(edge) + " names rank " + std::to_string(rank) +
                          ", but the ranks are 0 to " + std::to_string(size - 1) +
                          ": correct the edge or give a larger size");
  }
  if (!std::isfinite(edge.weight)) {
    throw InvalidArgument("Topology: the " + describe(edge) + " has the weight " +
                          std::to_string(edge.weight) + ": give a finite weight");
  }
}

void check_no_duplicates(std::span<const Edge> sorted) {
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end(), [](const Edge& a, const Edge& b) {
    return a.receiver == b.receiver && a.sender == b.sender;
  });
  if (twice == sorted.end()) return;
  throw InvalidArgument("Topology: the " + describe(*twice) +
                        " is given twice: give it once, with the sum of the weights");
}

const Neighbor* find_neighbor(std::span<const Neighbor> neighbors, int rank) {
  const auto at =
      std::lower_bound(neighbors.begin(), neighbors.end(), rank,
                       [](const Neighbor& neighbor, int wanted) { return neighbor.rank < wanted; });
  return at != neighbors.end() && at->rank == rank ? &*at : nullptr;
}

double sum_of_weights(double self_weight, std::span<const Neighbor> neighbors) {
  double sum = self_weight;
  for (const Neighbor& neighbor : neighbors) sum += neighbor.weight;
  return sum;
}

bool is_one(double sum, int size) {
  return std::abs(sum - 1.0) <= size * 1e-15;
}

}  // namespace

std::span<const Neighbor> Topology::Lists::of(int rank) const {
  const auto at = static_cast<std::size_t>(rank);
  return std::span(neighbors).subspan(begins[at], begins[at + 1] - begins[at]);
}

Topology::Topology(int size, std::span<const Edge> edges) {
  topology::check_size("Topology", size);
  for (const Edge& edge : edges) check_edge(size, edge);
  std::vector<Edge> sorted(edges.begin(), edges.end());
  const auto by_receiver = [](const Edge& a, const Edge& b) {
    return std::tie(a.receiver, a.sender) < std::tie(b.receiver, b.sender);
  };
  std::sort(sorted.begin(), sorted.end(), by_receiver);
  check_no_duplicates(sorted);

  const auto ranks = static_cast<std::size_t>(size);
  self_weights_.assign(ranks, 0.0);
  in_.begins.assign(ranks + 1, 0);
  out_.begins.assign(ranks + 1, 0);
  for (Edge& edge : sorted) {
    if (edge.weight == 0.0) edge.weight = 0.0;  // -0 and 0 are equal, so must their hashes be
    if (edge.sender == edge.receiver) {
      self_weights_[static_cast<std::size_t>(edge.sender)] = edge.weight;
      continue;
    }
    ++in_.begins[static_cast<std::size_t>(edge.receiver) + 1];
    ++out_.begins[static_cast<std::size_t>(edge.sender) + 1];
  }
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    in_.begins[rank + 1] += in_.begins[rank];
    out_.begins[rank + 1] += out_.begins[rank];
  }
  in_.neighbors.reserve(in_.begins.back());
  out_.neighbors.resize(out_.begins.back());
  std::vector<std::size_t> next_out(out_.begins.begin(), out_.begins.end() - 1);
  for (const Edge& edge : sorted) {
    if (edge.sender == edge.receiver) continue;
    in_.neighbors.push_back({edge.sender, edge.weight});
    out_.neighbors[next_out[static_cast<std::size_t>(edge.sender)]++] = {edge.receiver, edge.weight};
  }

  hash_ = base::hash_combine(0, ranks);
  for (int rank = 0; rank < size; ++rank) {
    hash_ = base::hash_combine(hash_,
                               std::bit_cast<std::uint64_t>(self_weights_[static_cast<std::size_t>(rank)]));
    hash_ = base::hash_combine(hash_, in_.of(rank).size());
    for (const Neighbor& neighbor : in_.of(rank)) {
      hash_ = base::hash_combine(hash_, static_cast<std::uint64_t>(neighbor.rank));
      hash_ = base::hash_combine(hash_, std::bit_cast<std::uint64_t>(neighbor.weight));
    }
  }
}

Topology Topology::from_matrix(int size, std::span<const double> matrix) {
  topology::check_size("Topology::from_matrix", size);
  const auto ranks = static_cast<std::size_t>(size);
  if (matrix.size() != ranks * ranks) {
    throw InvalidArgument("Topology::from_matrix: the matrix has " + std::to_string(matrix.size()) +
                          " entries, " + std::to_string(size) + " ranks need " +
                          std::to_string(ranks * ranks) + ": give size * size entries, row by row");
  }
  std::vector<Edge> edges;
  for (int receiver = 0; receiver < size; ++receiver) {
    for (int sender = 0; sender < size; ++sender) {
      const double weight =
          matrix[static_cast<std::size_t>(receiver) * ranks + static_cast<std::size_t>(sender)];
      if (weight != 0.0 || receiver == sender) edges.push_back({receiver, sender, weight});
    }
  }
  return {size, edges};
}

double Topology::weight(int receiver, int sender) const {
  topology::check_rank("Topology::weight", sender, size());
  if (receiver == sender) return self_weight(receiver);
  const Neighbor* neighbor = find_neighbor(in_neighbors(receiver), sender);
  return neighbor == nullptr ? 0.0 : neighbor->weight;
}

double Topology::self_weight(int rank) const {
  topology::check_rank("Topology::self_weight", rank, size());
  return self_weights_[static_cast<std::size_t>(rank)];
}

bool Topology::has_edge(int sender, int receiver) const {
  topology::check_rank("Topology::has_edge", sender, size());
  return find_neighbor(in_neighbors(receiver), sender) != nullptr;
}

std::span<const Neighbor> Topology::in_neighbors(int rank) const {
  topology::check_rank("Topology::in_neighbors", rank, size());
  return in_.of(rank);
}

std::span<const Neighbor> Topology::out_neighbors(int rank) const {
  topology::check_rank("Topology::out_neighbors", rank, size());
  return out_.of(rank);
}

int Topology::max_out_degree() const {
  std::size_t largest = 0;
  for (int rank = 0; rank < size(); ++rank) largest = std::max(largest, out_.of(rank).size());
  return static_cast<int>(largest);
}

bool Topology::preserves_constants() const {
  for (int rank = 0; rank < size(); ++rank) {
    if (!is_one(sum_of_weights(self_weight(rank), in_.of(rank)), size())) return false;
  }
  return true;
}

bool Topology::preserves_mean() const {
  for (int rank = 0; rank < size(); ++rank) {
    if (!is_one(sum_of_weights(self_weight(rank), out_.of(rank)), size())) return false;
  }
  return true;
}

bool Topology::is_symmetric() const {
  return in_ == out_;
}

bool Topology::is_regular() const {
  const std::size_t degree = in_.of(0).size() + out_.of(0).size();
  for (int rank = 1; rank < size(); ++rank) {
    if (in_.of(rank).size() + out_.of(rank).size() != degree) return false;
  }
  return true;
}

Topology Topology::with_uniform_weights() const {
  std::vector<Edge> edges;
  edges.reserve(self_weights_.size() + in_.neighbors.size());
  for (int rank = 0; rank < size(); ++rank) {
    const std::span<const Neighbor> senders = in_.of(rank);
    const double weight = 1.0 / static_cast<double>(senders.size() + 1);
    edges.push_back({rank, rank, weight});
    for (const Neighbor& sender : senders) edges.push_back({rank, sender.rank, weight});
  }
  return {size(), edges};
}

std::vector<double> Topology::to_matrix() const {
  const std::size_t ranks = self_weights_.size();
  std::vector<double> matrix(ranks * ranks, 0.0);
  for (std::size_t receiver = 0; receiver < ranks; ++receiver) {
    matrix[receiver * ranks + receiver] = self_weights_[receiver];
    for (const Neighbor& sender : in_.of(static_cast<int>(receiver))) {
      matrix[receiver * ranks + static_cast<std::size_t>(sender.rank)] = sender.weight;
    }
  }
  return matrix;
}

bool operator==(const Topology& a, const Topology& b) {
  return a.hash_ == b.hash_ && a.self_weights_ == b.self_weights_ && a.in_ == b.in_;
}

}  // namespace bluefog
