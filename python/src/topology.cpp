#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <bluefog/dynamic_graphs.hpp>
#include <bluefog/graphs.hpp>
#include <bluefog/spectral.hpp>
#include <bluefog/topology.hpp>
#include <bluefog/weighting.hpp>

#include "bindings.hpp"

namespace bluefog::python {
namespace {

using SenderReceiverWeight = std::tuple<int, int, double>;
using Pair = std::pair<std::vector<int>, std::vector<int>>;

Topology topology_from(int size, const std::vector<SenderReceiverWeight>& edges) {
  std::vector<Topology::Edge> converted;
  converted.reserve(edges.size());
  for (const auto& [sender, receiver, weight] : edges) converted.push_back({receiver, sender, weight});
  return {size, converted};
}

std::vector<SenderReceiverWeight> edges_of(const Topology& topology) {
  std::vector<SenderReceiverWeight> edges;
  for (int sender = 0; sender < topology.size(); ++sender) {
    if (topology.self_weight(sender) != 0) edges.emplace_back(sender, sender, topology.self_weight(sender));
    for (const auto& neighbor : topology.out_neighbors(sender))
      edges.emplace_back(sender, neighbor.rank, neighbor.weight);
  }
  return edges;
}

std::vector<int> ranks_of(std::span<const Topology::Neighbor> neighbors) {
  std::vector<int> ranks;
  for (const auto& neighbor : neighbors) ranks.push_back(neighbor.rank);
  return ranks;
}

std::optional<GridShape> shape_from(std::optional<std::pair<int, int>> shape) {
  if (!shape) return std::nullopt;
  return GridShape{shape->first, shape->second};
}

Pair pair_from(SendRecv lists) {
  return {std::move(lists.send), std::move(lists.recv)};
}

void bind_class(nb::module_& module) {
  nb::class_<Topology>(module, "Topology",
                       "A weighted directed graph over ranks: the mixing matrix. Immutable.")
      .def(
          "__init__",
          [](Topology* self, int size, const std::vector<SenderReceiverWeight>& edges) {
            new (self) Topology(topology_from(size, edges));
          },
          nb::arg("size"), nb::arg("edges"),
          "From (sender, receiver, weight) triples; sender == receiver: self weight.")
      .def_prop_ro("size", &Topology::size)
      .def("weight", &Topology::weight, nb::kw_only(), nb::arg("receiver"), nb::arg("sender"))
      .def("self_weight", &Topology::self_weight, nb::arg("rank"))
      .def("has_edge", &Topology::has_edge, nb::kw_only(), nb::arg("sender"), nb::arg("receiver"))
      .def("edges", &edges_of, "All (sender, receiver, weight), self weights that are not 0 included.")
      .def(
          "in_neighbors", [](const Topology& self, int rank) { return ranks_of(self.in_neighbors(rank)); },
          nb::arg("rank"), "Ranks that `rank` receives from, ascending, without itself.")
      .def(
          "out_neighbors", [](const Topology& self, int rank) { return ranks_of(self.out_neighbors(rank)); },
          nb::arg("rank"), "Ranks that `rank` sends to, ascending, without itself.")
      .def("preserves_constants", &Topology::preserves_constants, "What every receiver takes sums to 1.")
      .def("preserves_mean", &Topology::preserves_mean, "What every sender gives sums to 1.")
      .def("is_symmetric", &Topology::is_symmetric)
      .def("is_regular", &Topology::is_regular)
      .def("with_uniform_weights", &Topology::with_uniform_weights)
      .def("spectral_gap", [](const Topology& self) { return spectral_gap(self); })
      .def(
          "rounds_to_consensus",
          [](const Topology& self, double tolerance) { return rounds_to_consensus(self, tolerance); },
          nb::arg("tolerance") = 1e-10)
      .def("__eq__",
           [](const Topology& self, nb::handle other) {
             return nb::isinstance<Topology>(other) && nb::cast<const Topology&>(other) == self;
           })
      .def("__hash__", &Topology::hash);
}

void bind_static_graphs(nb::module_& module) {
  module.def("exponential_two_graph", &exponential_two_graph, nb::arg("size"));
  module.def("exponential_graph", &exponential_graph, nb::arg("size"), nb::arg("base") = 2);
  module.def("symmetric_exponential_graph", &symmetric_exponential_graph, nb::arg("size"),
             nb::arg("base") = 4);
  module.def(
      "mesh_grid_2d_graph",
      [](int size, std::optional<std::pair<int, int>> shape) {
        return mesh_grid_2d_graph(size, shape_from(shape));
      },
      nb::arg("size"), nb::arg("shape") = nb::none());
  module.def(
      "torus_graph",
      [](int size, std::optional<std::pair<int, int>> shape) { return torus_graph(size, shape_from(shape)); },
      nb::arg("size"), nb::arg("shape") = nb::none());
  module.def("star_graph", &star_graph, nb::arg("size"), nb::arg("center") = 0);
  module.def(
      "ring_graph", [](int size, int style) { return ring_graph(size, static_cast<RingStyle>(style)); },
      nb::arg("size"), nb::arg("style") = 0);
  module.def("fully_connected_graph", &fully_connected_graph, nb::arg("size"));
  module.def("hypercube_graph", &hypercube_graph, nb::arg("size"));
}

void bind_weighting(nb::module_& module) {
  nb::enum_<Weighting>(module, "Weighting", "How the edges of an undirected graph get their weights.")
      .value("metropolis_hastings", Weighting::MetropolisHastings)
      .value("max_degree", Weighting::MaxDegree)
      .value("best_constant", Weighting::BestConstant)
      .value("fmmc", Weighting::Fmmc)
      .value("fdla", Weighting::Fdla);
  module.def(
      "weighted_graph",
      [](int size, const std::vector<std::pair<int, int>>& edges, Weighting weighting) {
        std::vector<UndirectedEdge> converted;
        converted.reserve(edges.size());
        for (const auto& [a, b] : edges) converted.push_back({a, b});
        return weighted_graph(size, converted, weighting);
      },
      nb::arg("size"), nb::arg("edges"), nb::arg("weighting"));
}

void bind_dynamic_graphs(nb::module_& module) {
  module.def(
      "dynamic_one_peer_send_recv",
      [](const Topology& topology, int rank, std::uint64_t t) {
        return pair_from(dynamic_one_peer_send_recv(topology, rank, t));
      },
      nb::arg("topology"), nb::arg("rank"), nb::arg("t"));
  module.def(
      "one_peer_exponential_send_recv",
      [](int size, int rank, std::uint64_t t) {
        return pair_from(one_peer_exponential_send_recv(size, rank, t));
      },
      nb::arg("size"), nb::arg("rank"), nb::arg("t"));
  module.def(
      "exp2_machine_send_recv",
      [](int world_size, int local_size, int rank, int local_rank, std::uint64_t t) {
        return pair_from(exp2_machine_send_recv(world_size, local_size, rank, local_rank, t));
      },
      nb::arg("world_size"), nb::arg("local_size"), nb::arg("rank"), nb::arg("local_rank"), nb::arg("t"));
  module.def(
      "inner_outer_ring_send_recv",
      [](int world_size, int local_size, int rank, std::uint64_t t) {
        return pair_from(inner_outer_ring_send_recv(world_size, local_size, rank, t));
      },
      nb::arg("world_size"), nb::arg("local_size"), nb::arg("rank"), nb::arg("t"));
  module.def(
      "inner_outer_expo2_send_recv",
      [](int world_size, int local_size, int rank, std::uint64_t t) {
        return pair_from(inner_outer_expo2_send_recv(world_size, local_size, rank, t));
      },
      nb::arg("world_size"), nb::arg("local_size"), nb::arg("rank"), nb::arg("t"));
}

}  // namespace

void bind_topology(nb::module_& module) {
  bind_class(module);
  bind_static_graphs(module);
  bind_weighting(module);
  bind_dynamic_graphs(module);
}

}  // namespace bluefog::python
