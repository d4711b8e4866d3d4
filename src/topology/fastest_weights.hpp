#pragma once
/// @file fastest_weights.hpp  The weights of an undirected graph whose rounds bring the ranks together
/// fastest.

#include <span>
#include <vector>

#include <bluefog/graphs.hpp>

namespace bluefog::topology {

enum class Signs { Any, NonNegative };

/// Weights w of the edges that make ||W - J||_2 least, W = I - sum over edges of w_ab (e_a - e_b)(e_a -
/// e_b)^T, to within 1e-8: for Signs::Any the FDLA problem, for Signs::NonNegative, where no w and no
/// diagonal entry of W may be below 0, the FMMC problem. By an interior point method (Xiao and Boyd 2004,
/// section 6.1).
/// @param edges  a connected graph of two ranks or more, every pair once
[[nodiscard]] std::vector<double> fastest_weights(int size, std::span<const UndirectedEdge> edges,
                                                  Signs signs);

}  // namespace bluefog::topology
