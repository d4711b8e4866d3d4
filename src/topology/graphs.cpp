#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <bluefog/error.hpp>
#include <bluefog/graphs.hpp>

#include "topology/checks.hpp"

namespace bluefog {

namespace {

/// Rank i sends to i + d (mod size) for every d of `distances`, each in [1, size); all weights equal.
/// A distance that is given twice counts once.
Topology circulant_graph(int size, std::vector<int> distances) {
  std::sort(distances.begin(), distances.end());
  distances.erase(std::unique(distances.begin(), distances.end()), distances.end());
  const double weight = 1.0 / static_cast<double>(distances.size() + 1);
  std::vector<Topology::Edge> edges;
  edges.reserve(static_cast<std::size_t>(size) * (distances.size() + 1));
  for (int sender = 0; sender < size; ++sender) {
    edges.push_back({sender, sender, weight});
    for (const int distance : distances) {
      const int past_the_end = size - distance;
      const int receiver = sender < past_the_end ? sender + distance : sender - past_the_end;
      edges.push_back({receiver, sender, weight});
    }
  }
  return {size, edges};
}

/// 1, base, base^2, ... up to `largest`.
std::vector<int> powers_up_to(const std::string& what, int base, int largest) {
  if (base < 2)
    throw InvalidArgument(what + ": the base is " + std::to_string(base) + ", it must be 2 or more");
  std::vector<int> powers;
  for (std::int64_t power = 1; power <= largest; power *= base) powers.push_back(static_cast<int>(power));
  return powers;
}

GridShape checked_shape(const std::string& what, int size, std::optional<GridShape> shape) {
  topology::check_size(what, size);
  if (!shape) return closest_grid_shape(size);
  if (shape->rows < 1 || shape->columns < 1 || std::int64_t{shape->rows} * shape->columns != size) {
    throw InvalidArgument(what + ": a grid of " + std::to_string(shape->rows) + " rows and " +
                          std::to_string(shape->columns) + " columns does not hold " + std::to_string(size) +
                          " ranks: give a shape whose product is the size, or none");
  }
  return *shape;
}

}  // namespace

Topology exponential_two_graph(int size) {
  topology::check_size("exponential_two_graph", size);
  return circulant_graph(size, powers_up_to("exponential_two_graph", 2, size - 1));
}

Topology exponential_graph(int size, int base) {
  topology::check_size("exponential_graph", size);
  return circulant_graph(size, powers_up_to("exponential_graph", base, size - 1));
}

Topology symmetric_exponential_graph(int size, int base) {
  topology::check_size("symmetric_exponential_graph", size);
  std::vector<int> distances = powers_up_to("symmetric_exponential_graph", base, size / 2);
  const std::size_t forwards = distances.size();
  for (std::size_t i = 0; i < forwards; ++i) distances.push_back(size - distances[i]);
  return circulant_graph(size, std::move(distances));
}

GridShape closest_grid_shape(int size) {
  topology::check_size("closest_grid_shape", size);
  int rows = 1;
  for (int candidate = 2; candidate <= size / candidate; ++candidate) {
    if (size % candidate == 0) rows = candidate;
  }
  return {rows, size / rows};
}

Topology mesh_grid_2d_graph(int size, std::optional<GridShape> shape) {
  const auto [rows, columns] = checked_shape("mesh_grid_2d_graph", size, shape);
  std::vector<UndirectedEdge> edges;
  for (int row = 0; row < rows; ++row) {
    for (int column = 0; column < columns; ++column) {
      const int rank = row * columns + column;
      if (column + 1 < columns) edges.push_back({rank, rank + 1});
      if (row + 1 < rows) edges.push_back({rank, rank + columns});
    }
  }
  return metropolis_hastings(size, edges);
}

Topology torus_graph(int size, std::optional<GridShape> shape) {
  const auto [rows, columns] = checked_shape("torus_graph", size, shape);
  std::vector<Topology::Edge> edges;
  for (int row = 0; row < rows; ++row) {
    for (int column = 0; column < columns; ++column) {
      const int above = (row + rows - 1) % rows;
      const int below = (row + 1) % rows;
      const int left = (column + columns - 1) % columns;
      const int right = (column + 1) % columns;
      std::vector<int> members = {row * columns + column, above * columns + column, below * columns + column,
                                  row * columns + left, row * columns + right};
      const int rank = members.front();
      std::sort(members.begin(), members.end());
      members.erase(std::unique(members.begin(), members.end()), members.end());
      const double weight = 1.0 / static_cast<double>(members.size());
      for (const int sender : members) edges.push_back({rank, sender, weight});
    }
  }
  return {size, edges};
}

Topology star_graph(int size, int center) {
  topology::check_size("star_graph", size);
  topology::check_rank("star_graph: center", center, size);
  const double weight = 1.0 / size;
  std::vector<Topology::Edge> edges = {{center, center, weight}};
  for (int leaf = 0; leaf < size; ++leaf) {
    if (leaf == center) continue;
    edges.push_back({leaf, leaf, 1.0 - weight});
    edges.push_back({leaf, center, weight});
    edges.push_back({center, leaf, weight});
  }
  return {size, edges};
}

Topology ring_graph(int size, RingStyle style) {
  topology::check_size("ring_graph", size);
  if (size == 1) return circulant_graph(size, {});
  switch (style) {
    case RingStyle::Bidirectional:
      return circulant_graph(size, {1, size - 1});
    case RingStyle::Left:
      return circulant_graph(size, {size - 1});
    case RingStyle::Right:
      return circulant_graph(size, {1});
  }
  throw InvalidArgument("ring_graph: the style is " + std::to_string(static_cast<int>(style)) +
                        ", it must be 0 (both ways), 1 (left) or 2 (right)");
}

Topology fully_connected_graph(int size) {
  topology::check_size("fully_connected_graph", size);
  std::vector<int> distances;
  for (int distance = 1; distance < size; ++distance) distances.push_back(distance);
  return circulant_graph(size, std::move(distances));
}

Topology hypercube_graph(int size) {
  const int dimensions = topology::hypercube_dimensions("hypercube_graph", size);
  const double weight = 1.0 / (dimensions + 1);
  std::vector<Topology::Edge> edges;
  for (int rank = 0; rank < size; ++rank) {
    edges.push_back({rank, rank, weight});
    for (int bit = 0; bit < dimensions; ++bit) edges.push_back({rank, rank ^ (1 << bit), weight});
  }
  return {size, edges};
}

}  // namespace bluefog
