#pragma once
// The parts of the module bluefog._core; module.cpp puts them together.

#include <nanobind/nanobind.h>

namespace bluefog::python {

namespace nb = nanobind;

void bind_errors(nb::module_& module);
void bind_topology(nb::module_& module);
void bind_schedule(nb::module_& module);
void bind_ceca(nb::module_& module);
void bind_shared_memory(nb::module_& module);
void bind_handle(nb::module_& module);
void bind_context(nb::module_& module);

}  // namespace bluefog::python
