#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <bluefog/ceca.hpp>
#include <bluefog/spectral.hpp>

#include "bindings.hpp"
#include "schedule.hpp"

namespace bluefog::python {

void bind_ceca(nb::module_& module) {
  nb::class_<CecaRound>(module, "CecaRound", "What all ranks do in one round of CECA.")
      .def_prop_ro(
          "sends_x", [](const CecaRound& self) { return self.sent == CecaState::X; },
          "All ranks send x; if not, all send h.")
      .def_ro("x_weight", &CecaRound::x_weight, "How far x moves towards what arrives.")
      .def_ro("h_weight", &CecaRound::h_weight, "How far h moves towards what arrives.");
  nb::class_<CecaSchedule>(module, "CecaSchedule",
                           "The exact mean in ceil(log2 size) rounds of one message each, with two vectors x "
                           "and h on every rank.\n\n"
                           "In round t, with x and h of equal shape and h a copy of x at the start::\n\n"
                           "    step = ceca.round(t)\n"
                           "    received = bf.neighbor_allreduce(\n"
                           "        x if step.sends_x else h, schedule=ceca.deliveries, round=t)\n"
                           "    x.lerp_(received, step.x_weight)\n"
                           "    h.lerp_(received, step.h_weight)\n\n"
                           "It preserves constants, and the mean of x if whatever changes x between rounds "
                           "changes h alike. (Ding et "
                           "al., DSGD-CECA, ICML 2023)")
      .def_prop_ro("size", &CecaSchedule::size)
      .def_prop_ro("period", &CecaSchedule::period, "Rounds until x is the exact mean.")
      .def("round", &CecaSchedule::round, nb::arg("t"), "What all ranks do in round t, modulo period.")
      .def_prop_ro(
          "deliveries", [](const CecaSchedule& self) { return PySchedule{self.deliveries()}; },
          "A schedule of permutations: who receives from whom.")
      .def(
          "product", [](const CecaSchedule& self, std::uint64_t rounds) { return product(self, rounds); },
          nb::arg("rounds"), "Row-major [rank * size + whose x at the start], if h = x at the start.")
      .def("__repr__", [](const CecaSchedule& self) {
        return "<CecaSchedule of " + std::to_string(self.size()) + " ranks>";
      });
  module.def("ceca_two_port", &CecaSchedule::two_port, nb::arg("size"),
             "CECA for any size: a rank receives from one and sends to another.");
  module.def("ceca_one_port", &CecaSchedule::one_port, nb::arg("size"),
             "CECA for even sizes, and 1: a rank exchanges with one other.");
}

}  // namespace bluefog::python
