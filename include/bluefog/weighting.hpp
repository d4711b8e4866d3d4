#pragma once
/// @file weighting.hpp  Weights for any undirected graph.

#include <cstdint>
#include <span>

#include <bluefog/export.hpp>
#include <bluefog/graphs.hpp>
#include <bluefog/topology.hpp>

namespace bluefog {

/// How the edges of an undirected graph get their weights. An edge counts the same both ways, and every rank
/// keeps what its edges leave of 1, so that constants and the mean are preserved. The better the weights, the
/// fewer rounds at no cost in bytes; the best ones ask for the whole graph and some time, once.
/// (Xiao, Boyd, "Fast linear iterations for distributed averaging", 2004)
enum class Weighting : std::uint8_t {
  /// 1 / (1 + the larger degree of the two ends).
  MetropolisHastings,
  /// 1 / (1 + the largest degree of all) on every edge.
  MaxDegree,
  /// The best of all weights that are equal on all edges: 2 / (lambda_2 + lambda_n) of the Laplacian. Where
  /// the
  /// graph looks the same from every edge (ring, star, hypercube) no others are better. Ranks may keep less
  /// than 0.
  BestConstant,
  /// Fastest mixing Markov chain: the largest spectral gap among weights of which none, self weights
  /// included, is below 0. (Boyd, Diaconis, Xiao 2004)
  Fmmc,
  /// Fastest distributed linear averaging: the largest spectral gap of all symmetric weights, of either sign.
  Fdla,
};

/// An undirected graph with weights. Fmmc and Fdla are found by Newton's method, within 1e-8 of the best gap,
/// and take O(size^3 + edges^3) for each of some 50 steps: graphs of up to about 500 edges.
/// @param edges  every pair once, in either order
/// @throws InvalidArgument for a size below 1, a rank out of range, a pair given twice, a rank joined with
/// itself; for BestConstant, Fmmc and Fdla also if the graph is not connected, as then no weights are best
[[nodiscard]] BLUEFOG_API Topology weighted_graph(int size, std::span<const UndirectedEdge> edges,
                                                  Weighting weighting);

/// The edges of `graph` with other weights. @throws InvalidArgument if an edge of it lacks its opposite, and
/// as above
[[nodiscard]] BLUEFOG_API Topology reweighted(const Topology& graph, Weighting weighting);

}  // namespace bluefog
