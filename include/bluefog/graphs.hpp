#pragma once
/// @file graphs.hpp  Static graphs with their weights.
///
/// Every graph preserves both constants and the mean (its matrix is doubly stochastic). Every function takes
/// any size from 1 up unless it says otherwise, and throws InvalidArgument for a size below 1.

#include <optional>
#include <span>

#include <bluefog/export.hpp>
#include <bluefog/topology.hpp>

namespace bluefog {

/// Rank i sends to i + 2^j (mod size) for every power of two below size; all weights equal.
/// (Ying et al., "Exponential Graph is Provably Efficient for Decentralized Deep Training", 2021)
[[nodiscard]] BLUEFOG_API Topology exponential_two_graph(int size);

/// Rank i sends to i + base^j (mod size) for every power of `base` below size, 1 included; all weights equal.
/// @throws InvalidArgument for a base below 2
[[nodiscard]] BLUEFOG_API Topology exponential_graph(int size, int base = 2);

/// Ranks whose distance around the ring, the shorter way, is a power of `base` are joined both ways; all
/// weights equal.
/// @throws InvalidArgument for a base below 2
[[nodiscard]] BLUEFOG_API Topology symmetric_exponential_graph(int size, int base = 4);

/// Rows and columns of a grid; rank = row * columns + column.
struct GridShape {
  /// One below the other.
  int rows;
  /// Side by side.
  int columns;
  friend bool operator==(const GridShape&, const GridShape&) = default;
};

/// The two closest factors of size, rows <= columns; one row if size is prime.
[[nodiscard]] BLUEFOG_API GridShape closest_grid_shape(int size);

/// A grid in which ranks side by side or one above the other are joined both ways, with Metropolis-Hastings
/// weights.
/// @param shape  by default closest_grid_shape(size)
/// @throws InvalidArgument if rows * columns is not size
[[nodiscard]] BLUEFOG_API Topology mesh_grid_2d_graph(int size,
                                                      std::optional<GridShape> shape = std::nullopt);

/// A grid whose rows and columns are closed to rings; all weights equal (1/5 from three rows and columns up;
/// in a ring of two the neighbours on both sides are one).
/// @param shape  by default closest_grid_shape(size)
/// @throws InvalidArgument if rows * columns is not size
[[nodiscard]] BLUEFOG_API Topology torus_graph(int size, std::optional<GridShape> shape = std::nullopt);

/// Rank `center` is joined with every other, both ways, by weight 1/size; it keeps 1/size, the others 1 -
/// 1/size.
/// @throws InvalidArgument for a center out of range
[[nodiscard]] BLUEFOG_API Topology star_graph(int size, int center = 0);

/// Which way the messages of a ring go; the numbers are those of BlueFog 0.3's connect_style.
enum class RingStyle {
  Bidirectional = 0,  ///< rank i sends to i - 1 and i + 1; weights 1/3
  Left = 1,           ///< rank i sends to i - 1; weights 1/2
  Right = 2,          ///< rank i sends to i + 1; weights 1/2
};

/// Ranks in a ring. Two ranks average 1/2 and 1/2 in every style.
[[nodiscard]] BLUEFOG_API Topology ring_graph(int size, RingStyle style = RingStyle::Bidirectional);

/// Every rank sends to every other; all weights 1/size.
[[nodiscard]] BLUEFOG_API Topology fully_connected_graph(int size);

/// Ranks whose numbers differ in one bit are joined both ways; all weights 1/(log2 size + 1).
/// @throws InvalidArgument if size is not a power of two
[[nodiscard]] BLUEFOG_API Topology hypercube_graph(int size);

/// Two ranks that send to each other.
struct UndirectedEdge {
  /// One rank.
  int a;
  /// The other.
  int b;
};

/// Metropolis-Hastings weights on an undirected graph: 1/(1 + max(degree a, degree b)) on the edge a - b, and
/// what is missing to 1 as self weight. Symmetric. (Xiao, Boyd, Kim 2007)
/// @param edges  every pair once, in either order
/// @throws InvalidArgument for a rank out of range, a pair given twice, a rank joined with itself
[[nodiscard]] BLUEFOG_API Topology metropolis_hastings(int size, std::span<const UndirectedEdge> edges);

}  // namespace bluefog
