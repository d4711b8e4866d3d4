#include "context.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bindings.hpp"
#include "interruptible.hpp"

namespace bluefog::python {

PyContext::~PyContext() {
  if (context_ == nullptr) return;
  {
    const nb::gil_scoped_release free_gil;
    context_.reset();  // shuts down, so that every flight is closed
  }
  flights_->close_all();
}

void PyContext::shutdown() {
  {
    const nb::gil_scoped_release free_gil;
    context_->shutdown();
  }
  flights_->close_all();
  windows_.clear();
}

namespace {

void join(PyContext* self) {
  new (self) PyContext(run_interruptibly([] { return std::make_shared<Context>(); }));
}

std::vector<PyContext> in_process(int size) {
  std::vector<PyContext> ranks;
  for (Context& context : Context::in_process(size))
    ranks.emplace_back(std::make_shared<Context>(std::move(context)));
  return ranks;
}

void set_topology(PyContext& self, const Topology& topology, bool weighted) {
  run_interruptibly(
      [context = self.share(), topology, weighted] { context->set_topology(topology, weighted); });
}

void bind_membership(nb::class_<PyContext>& context) {
  context.def("__init__", &join, "Joins the job that the environment describes, or a job of one without it.")
      .def_static("in_process", &in_process, nb::arg("size"),
                  "The ranks of a new job inside this process, for threads.")
      .def("rank", [](const PyContext& self) { return self.engine().rank(); })
      .def("size", [](const PyContext& self) { return self.engine().size(); })
      .def("local_rank", [](const PyContext& self) { return self.engine().local_rank(); })
      .def("local_size", [](const PyContext& self) { return self.engine().local_size(); })
      .def("machine_rank", [](const PyContext& self) { return self.engine().machine_rank(); })
      .def("machine_size", [](const PyContext& self) { return self.engine().machine_size(); })
      .def("host_count", [](const PyContext& self) { return self.engine().host_count(); })
      .def(
          "config", [](const PyContext& self) { return self.engine().config().to_map(); },
          "Every BLUEFOG_* setting with its value.")
      .def_prop_ro("bucket_size", [](const PyContext& self) { return self.engine().config().bucket_size; })
      .def("stats", &stats_of, "What this rank has done, and on whom it waited, as a dict.")
      .def("shutdown", &PyContext::shutdown, "Leaves the job; operations in flight fail after at most 10 s.")
      .def(
          "timeline_start_activity",
          [](PyContext& self, const std::string& name, const std::string& activity) {
            return self.engine().timeline_start_activity(name, activity);
          },
          nb::arg("name"), nb::arg("activity"), "False without a timeline (BLUEFOG_TIMELINE).")
      .def(
          "timeline_end_activity",
          [](PyContext& self, const std::string& name) { return self.engine().timeline_end_activity(name); },
          nb::arg("name"), "False if no activity is open in that row.")
      .def("is_shut_down", [](const PyContext& self) { return self.engine().is_shut_down(); });
}

void bind_memory_and_topology(nb::class_<PyContext>& context) {
  context
      .def("set_topology", &set_topology, nb::arg("topology"), nb::arg("weighted") = false,
           "Collective: every rank gives the same graph.")
      .def("topology", [](const PyContext& self) { return self.engine().topology(); })
      .def("is_topology_weighted", [](const PyContext& self) { return self.engine().is_topology_weighted(); })
      .def(
          "set_machine_topology",
          [](PyContext& self, const Topology& topology, bool weighted) {
            self.engine().set_machine_topology(topology, weighted);
          },
          nb::arg("topology"), nb::arg("weighted") = false, "Local: give the same graph on every rank.")
      .def(
          "machine_topology", [](const PyContext& self) { return self.engine().machine_topology(); },
          "None until it is set.")
      .def("is_machine_topology_weighted",
           [](const PyContext& self) { return self.engine().is_machine_topology_weighted(); })
      .def(
          "allocate_shared",
          [](PyContext& self, std::size_t bytes) {
            const nb::gil_scoped_release free_gil;
            return self.engine().allocate_shared(bytes);
          },
          nb::arg("nbytes"), "Zeroed memory of this rank's arena, 64-byte aligned.")
      .def(
          "memory_is_shared",
          [](const PyContext& self, std::uintptr_t address) {
            const auto* pointer = reinterpret_cast<const void*>(address);  // NOLINT
            return self.engine().memory_kind(pointer) == MemoryKind::Arena;
          },
          nb::arg("address"));
}

}  // namespace

void bind_context(nb::module_& module) {
  nb::class_<PyContext> context(
      module, "Context",
      "One rank of one job. Tensors are given by address, DType code and shape; they must be "
      "contiguous and live until the operation is closed.");
  bind_membership(context);
  bind_memory_and_topology(context);
  bind_operations(context);
  bind_windows(module, context);
  bind_asynchronous(module, context);
  bind_decentralized(module, context);
}

}  // namespace bluefog::python
