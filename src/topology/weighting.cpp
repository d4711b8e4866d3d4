#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <bluefog/error.hpp>
#include <bluefog/weighting.hpp>

#include "topology/checks.hpp"
#include "topology/fastest_weights.hpp"
#include "topology/symmetric_eigenvalue.hpp"

namespace bluefog {

namespace {

using Edges = std::vector<UndirectedEdge>;

std::size_t index_of(int rank) {
  return static_cast<std::size_t>(rank);
}

/// The edges in ascending order, the lower rank of each first.
Edges checked(const std::string& what, int size, std::span<const UndirectedEdge> edges) {
  topology::check_size(what, size);
  Edges sorted;
  sorted.reserve(edges.size());
  for (const auto& [a, b] : edges) {
    for (const int rank : {a, b}) topology::check_rank(what, rank, size);
    if (a == b) {
      throw InvalidArgument(what + ": an edge joins rank " + std::to_string(a) +
                            " with itself: leave it out, self weights follow from the others");
    }
    sorted.push_back({std::min(a, b), std::max(a, b)});
  }
  std::sort(sorted.begin(), sorted.end(), [](const UndirectedEdge& one, const UndirectedEdge& other) {
    return std::pair(one.a, one.b) < std::pair(other.a, other.b);
  });
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end(),
                                        [](const UndirectedEdge& one, const UndirectedEdge& other) {
                                          return one.a == other.a && one.b == other.b;
                                        });
  if (twice != sorted.end()) {
    throw InvalidArgument(what + ": the edge " + std::to_string(twice->a) + " - " + std::to_string(twice->b) +
                          " is given twice: give every pair once, in one order");
  }
  return sorted;
}

std::vector<int> degrees_of(int size, const Edges& edges) {
  std::vector<int> degrees(index_of(size), 0);
  for (const auto& [a, b] : edges) {
    ++degrees[index_of(a)];
    ++degrees[index_of(b)];
  }
  return degrees;
}

/// @throws InvalidArgument unless every rank can be reached from rank 0
void check_connected(const std::string& what, int size, const Edges& edges) {
  std::vector<int> parts(index_of(size));  // each rank points at a lower one of its part, or at itself
  std::iota(parts.begin(), parts.end(), 0);
  const auto lowest = [&](int rank) {
    while (parts[index_of(rank)] != rank)
      rank = parts[index_of(rank)] = parts[index_of(parts[index_of(rank)])];
    return rank;
  };
  for (const auto& [a, b] : edges) {
    const int one = lowest(a);
    const int other = lowest(b);
    parts[index_of(std::max(one, other))] = std::min(one, other);
  }
  for (int rank = 0; rank < size; ++rank) {
    if (lowest(rank) == 0) continue;
    throw InvalidArgument(what + ": rank " + std::to_string(rank) +
                          " cannot be reached from rank 0, so no weights bring the ranks together: add an "
                          "edge, or use Metropolis-Hastings weights");
  }
}

std::vector<double> metropolis_hastings_weights(int size, const Edges& edges) {
  const std::vector<int> degrees = degrees_of(size, edges);
  std::vector<double> weights;
  for (const auto& [a, b] : edges) {
    weights.push_back(1.0 / (1 + std::max(degrees[index_of(a)], degrees[index_of(b)])));
  }
  return weights;
}

double max_degree_weight(int size, const Edges& edges) {
  const std::vector<int> degrees = degrees_of(size, edges);
  return 1.0 / (1 + *std::max_element(degrees.begin(), degrees.end()));
}

/// 2 / (lambda_2 + lambda_n) of the Laplacian of a connected graph.
double best_constant_weight(int size, const Edges& edges) {
  const std::size_t n = index_of(size);
  std::vector<double> laplacian(n * n, 0.0);
  for (const auto& [a, b] : edges) {
    laplacian[index_of(a) * n + index_of(b)] = laplacian[index_of(b) * n + index_of(a)] = -1.0;
    laplacian[index_of(a) * n + index_of(a)] += 1.0;
    laplacian[index_of(b) * n + index_of(b)] += 1.0;
  }
  const double largest = topology::largest_eigenvalue(n, laplacian);
  // largest (I - J) - Laplacian: 0 on constants, and turns the order of all other eigenvalues around.
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      double& entry = laplacian[i * n + j];
      entry = (i == j ? largest : 0.0) - largest / static_cast<double>(n) - entry;
    }
  }
  const double second_smallest = largest - topology::largest_eigenvalue(n, std::move(laplacian));
  return 2.0 / (second_smallest + largest);
}

std::vector<double> weights_of(int size, const Edges& edges, Weighting weighting) {
  if (edges.empty()) return {};
  switch (weighting) {
    case Weighting::MetropolisHastings:
      return metropolis_hastings_weights(size, edges);
    case Weighting::MaxDegree:
      return std::vector<double>(edges.size(), max_degree_weight(size, edges));
    case Weighting::BestConstant:
      return std::vector<double>(edges.size(), best_constant_weight(size, edges));
    case Weighting::Fmmc:
      return topology::fastest_weights(size, edges, topology::Signs::NonNegative);
    case Weighting::Fdla:
      return topology::fastest_weights(size, edges, topology::Signs::Any);
  }
  throw InvalidArgument("weighted_graph: there is no weighting " +
                        std::to_string(static_cast<int>(weighting)));
}

Topology weighted(const std::string& what, int size, std::span<const UndirectedEdge> given,
                  Weighting weighting) {
  const Edges edges = checked(what, size, given);
  if (weighting != Weighting::MetropolisHastings && weighting != Weighting::MaxDegree) {
    check_connected(what, size, edges);
  }
  const std::vector<double> weights = weights_of(size, edges, weighting);
  std::vector<double> self_weights(index_of(size), 1.0);
  std::vector<Topology::Edge> all;
  for (std::size_t e = 0; e < edges.size(); ++e) {
    const auto& [a, b] = edges[e];
    all.push_back({a, b, weights[e]});
    all.push_back({b, a, weights[e]});
    self_weights[index_of(a)] -= weights[e];
    self_weights[index_of(b)] -= weights[e];
  }
  for (int rank = 0; rank < size; ++rank) all.push_back({rank, rank, self_weights[index_of(rank)]});
  return {size, all};
}

}  // namespace

Topology metropolis_hastings(int size, std::span<const UndirectedEdge> edges) {
  return weighted("metropolis_hastings", size, edges, Weighting::MetropolisHastings);
}

Topology weighted_graph(int size, std::span<const UndirectedEdge> edges, Weighting weighting) {
  return weighted("weighted_graph", size, edges, weighting);
}

Topology reweighted(const Topology& graph, Weighting weighting) {
  Edges edges;
  for (int rank = 0; rank < graph.size(); ++rank) {
    for (const Topology::Neighbor& sender : graph.in_neighbors(rank)) {
      if (!graph.has_edge(rank, sender.rank)) {
        throw InvalidArgument("reweighted: the edge " + std::to_string(sender.rank) + " -> " +
                              std::to_string(rank) +
                              " has no opposite: these weights are for graphs whose edges go both ways");
      }
      if (rank < sender.rank) edges.push_back({rank, sender.rank});
    }
  }
  return weighted("reweighted", graph.size(), edges, weighting);
}

}  // namespace bluefog
