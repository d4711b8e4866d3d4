#include "schedule.hpp"

#include <optional>
#include <string>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <bluefog/spectral.hpp>

#include "bindings.hpp"

namespace bluefog::python {
namespace {

void bind_class(nb::module_& module) {
  nb::class_<PySchedule>(module, "Schedule",
                         "A sequence of topologies, one per mixing round. It holds no state.")
      .def_prop_ro("name", [](const PySchedule& self) { return std::string(self.schedule->name()); })
      .def_prop_ro("size", [](const PySchedule& self) { return self.schedule->size(); })
      .def_prop_ro(
          "period", [](const PySchedule& self) { return self.schedule->period(); },
          "Number of distinct rounds; 2^64 - 1 if there are more, or if they never repeat.")
      .def(
          "round", [](const PySchedule& self, std::uint64_t t) { return self.schedule->round(t); },
          nb::arg("t"), "The topology of round t.")
      .def(
          "preserves_constants", [](const PySchedule& self) { return self.schedule->preserves_constants(); },
          "In every round what each receiver takes sums to 1.")
      .def(
          "preserves_mean", [](const PySchedule& self) { return self.schedule->preserves_mean(); },
          "In every round what each sender gives sums to 1.")
      .def("__hash__", [](const PySchedule& self) { return self.schedule->hash(); })
      .def("__eq__",
           [](const PySchedule& self, nb::handle other) {
             return nb::isinstance<PySchedule>(other) &&
                    nb::cast<const PySchedule&>(other).schedule->hash() == self.schedule->hash();
           })
      .def("__repr__", [](const PySchedule& self) {
        return "<Schedule " + std::string(self.schedule->name()) + " of " +
               std::to_string(self.schedule->size()) + " ranks>";
      });
}

void bind_exact_schedules(nb::module_& module) {
  module.def(
      "hyper_hypercube",
      [](int size, int max_degree) { return PySchedule{hyper_hypercube(size, max_degree)}; }, nb::arg("size"),
      nb::arg("max_degree"),
      "Groups of at most max_degree + 1 ranks average, along one side of a box after the other; exact after "
      "one round a side.");
  module.def(
      "base_k_plus_one",
      [](int size, int max_degree) { return PySchedule{base_k_plus_one(size, max_degree)}; }, nb::arg("size"),
      nb::arg("max_degree"),
      "The Base-(k+1) graph, k = max_degree: the exact mean for any size, after a few rounds.");
}

void bind_random_schedules(nb::module_& module) {
  module.def(
      "one_peer_random_matching",
      [](int size, std::uint64_t seed) { return PySchedule{one_peer_random_matching(size, seed)}; },
      nb::arg("size"), nb::arg("seed"),
      "In every round a random matching, drawn from the seed that all ranks share; pairs average 1/2, 1/2.");
  module.def(
      "one_peer_random_shift",
      [](int size, std::uint64_t seed, double weight) {
        return PySchedule{one_peer_random_shift(size, seed, weight)};
      },
      nb::arg("size"), nb::arg("seed"), nb::arg("weight") = 0.5,
      "In every round rank i sends to i + u, u drawn from the seed that all ranks share.");
}

}  // namespace

void bind_schedule(nb::module_& module) {
  bind_class(module);
  module.def(
      "static_schedule", [](const Topology& topology) { return PySchedule{static_schedule(topology)}; },
      nb::arg("topology"), "The same topology in every round.");
  module.def(
      "one_peer_exponential", [](int size) { return PySchedule{one_peer_exponential(size)}; },
      nb::arg("size"), "In round t rank i sends to i + 2^(t mod ceil(log2 size)) and averages 1/2, 1/2.");
  module.def(
      "one_peer_hypercube", [](int size) { return PySchedule{one_peer_hypercube(size)}; }, nb::arg("size"),
      "In round t rank i exchanges with i xor 2^(t mod k), size = 2^k.");
  module.def(
      "one_peer_dynamic", [](const Topology& topology) { return PySchedule{one_peer_dynamic(topology)}; },
      nb::arg("topology"),
      "In round t every rank sends half of its value to one out-neighbour, going around them clockwise.");
  module.def(
      "inner_outer_ring",
      [](int world_size, int local_size) { return PySchedule{inner_outer_ring(world_size, local_size)}; },
      nb::arg("world_size"), nb::arg("local_size"),
      "One rank of each machine sends to the next machine, the others form a ring inside it; weights 1/2, "
      "1/2.");
  module.def(
      "inner_outer_expo2",
      [](int world_size, int local_size) { return PySchedule{inner_outer_expo2(world_size, local_size)}; },
      nb::arg("world_size"), nb::arg("local_size"),
      "One rank of each machine sends 2^j machines further, the others do one-peer exponential-2 inside it.");
  bind_exact_schedules(module);
  bind_random_schedules(module);
  module.def(
      "hierarchical",
      [](const PySchedule& machines, int local_size) {
        return PySchedule{hierarchical(machines.schedule, local_size)};
      },
      nb::arg("machines"), nb::arg("local_size"),
      "In every round the ranks of each machine average exactly, and the machines mix by the schedule "
      "`machines`.");
  module.def(
      "schedule_product",
      [](const PySchedule& schedule, std::uint64_t rounds, std::uint64_t first) {
        return product(*schedule.schedule, rounds, first);
      },
      nb::arg("schedule"), nb::arg("rounds"), nb::arg("first") = 0);
  module.def(
      "contraction",
      [](const PySchedule& schedule, std::uint64_t rounds) {
        return contraction(*schedule.schedule, rounds);
      },
      nb::arg("schedule"), nb::arg("rounds"),
      "Factor by which `rounds` rounds shrink the distance of the ranks' values from their mean, at worst.");
  module.def(
      "rounds_to_consensus",
      [](const PySchedule& schedule, double tolerance) -> std::optional<std::uint64_t> {
        return rounds_to_consensus(*schedule.schedule, tolerance);
      },
      nb::arg("schedule"), nb::arg("tolerance") = 1e-10);
}

}  // namespace bluefog::python
