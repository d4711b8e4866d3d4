#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nanobind/stl/map.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <bluefog/error.hpp>
#include <bluefog/window.hpp>

#include "arguments.hpp"
#include "context.hpp"

namespace bluefog::python {

/// A window, and the Python object whose memory it uses.
class PyWindow {
 public:
  PyWindow(Window window, nb::object tensor, std::shared_ptr<FlightList> flights)
      : window_(std::move(window)), tensor_(std::move(tensor)), flights_(std::move(flights)) {}

  [[nodiscard]] Window& engine() noexcept { return window_; }
  [[nodiscard]] nb::object tensor() const { return tensor_; }
  [[nodiscard]] FlightList& flights() noexcept { return *flights_; }

 private:
  Window window_;
  nb::object tensor_;
  std::shared_ptr<FlightList> flights_;
};

namespace {

/// What Python calls WindowLock.
class PyWindowLock {
 public:
  explicit PyWindowLock(WindowLock lock) : lock_(std::move(lock)) {}
  void release() {
    WindowLock lock = std::move(lock_);
    const nb::gil_scoped_release free_gil;
    lock.release();
  }

 private:
  WindowLock lock_;
};

/// Runs `convert`; what it finds wrong is an InvalidArgument. No peer waits for a call on a window.
template <class Convert>
void convert_arguments(Convert convert) {
  try {
    convert();
  } catch (const nb::python_error&) {
    throw;
  } catch (const std::exception& error) {
    throw InvalidArgument(error.what());
  }
}

// --- creation and end

WindowOptions creation_options(bool zero_init, nb::handle group, nb::handle src_ranks, nb::handle dst_ranks,
                               std::string refusal) {
  WindowOptions options;
  options.zero_init = zero_init;
  options.refusal = std::move(refusal);
  convert_or_refuse(options, [&] {
    if (!group.is_none()) options.group = ranks_from(group, "group");
    if (!src_ranks.is_none()) options.src_ranks = ranks_from(src_ranks, "src_ranks");
    if (!dst_ranks.is_none()) options.dst_ranks = ranks_from(dst_ranks, "dst_ranks");
  });
  if (!group.is_none() && options.group.empty() && options.refusal.empty()) {
    throw InvalidArgument("group: an empty list names no rank; leave the group out for all ranks");
  }
  return options;
}

/// Ctrl-C gives up the creation; if it has succeeded nevertheless, the window is open afterwards.
std::shared_ptr<PyWindow> create_window(PyContext& self, nb::handle given_name, std::uintptr_t address,
                                        int dtype, nb::handle shape, bool zero_init, nb::handle group,
                                        nb::handle src_ranks, nb::handle dst_ranks, nb::object keep,
                                        std::string refusal) {
  const std::string name = name_from(given_name);
  WindowOptions options = creation_options(zero_init, group, src_ranks, dst_ranks, std::move(refusal));
  Tensor tensor;
  convert_or_refuse(options, [&] {
    const ConstTensor given = tensor_from(address, dtype, shape);
    tensor = {reinterpret_cast<void*>(address), given.dtype, given.shape};  // NOLINT
  });
  std::optional<WindowCreation> creation;
  std::exception_ptr interrupt;
  try {
    run_blocking([&] {
      creation.emplace(self.engine().create_window_async(name, tensor, options));
      return creation->handle();
    });
  } catch (const Error&) {
    if (!creation) throw;  // else finish() throws it
  } catch (const nb::python_error&) {
    interrupt = std::current_exception();
  }
  std::shared_ptr<PyWindow> created;
  try {
    Window window = [&] {
      const nb::gil_scoped_release free_gil;
      return creation->finish();
    }();
    created = std::make_shared<PyWindow>(std::move(window), std::move(keep), self.share_flights());
    self.windows().insert_or_assign(name, created);
  } catch (const Error&) {
    if (!interrupt) throw;
  }
  if (interrupt) std::rethrow_exception(interrupt);
  return created;
}

std::shared_ptr<PyWindow> find_window(PyContext& self, nb::handle name) {
  const auto found = self.windows().find(name_from(name));
  return found == self.windows().end() ? nullptr : found->second;
}

std::vector<std::string> window_names(PyContext& self) {
  std::vector<std::string> names;
  for (const auto& [name, window] : self.windows()) names.push_back(name);
  return names;
}

void free_window(PyContext& self, nb::handle given_name) {
  const std::string name = name_from(given_name);
  const std::shared_ptr<PyWindow> window = find_window(self, given_name);
  if (window == nullptr) throw InvalidArgument("win_free: no window is named \"" + name + "\"");
  run_blocking([&] { return window->engine().free_async({.attended = true}); });
  const auto found = self.windows().find(name);
  if (found != self.windows().end() && found->second == window) self.windows().erase(found);
}

// --- operations

enum class Sending : std::uint8_t { Put, Accumulate };

template <Sending sending, bool Blocking>
nb::object send(PyWindow& self, std::uintptr_t address, int dtype, nb::handle shape, nb::handle self_weight,
                nb::handle dst_weights, bool require_mutex, nb::object keep) {
  WindowPutOptions options;
  options.attended = Blocking;
  options.require_mutex = require_mutex;
  std::optional<SentTensor> value;
  convert_arguments([&] {
    value.emplace(tensor_from(address, dtype, shape));
    if (!self_weight.is_none()) {
      options.self_weight = weight_from(self_weight, "self_weight");
      value->writable = reinterpret_cast<void*>(address);  // NOLINT
    }
    if (!dst_weights.is_none()) options.dst_weights = destinations_from(dst_weights, "dst_weights");
  });
  const auto start = [&] {
    return sending == Sending::Put ? self.engine().put_async(*value, options)
                                   : self.engine().accumulate_async(*value, options);
  };
  if constexpr (!Blocking) return run_async(self.flights(), std::move(keep), start);
  run_blocking(start);
  return nb::none();
}

template <bool Blocking>
nb::object get(PyWindow& self, nb::handle src_weights, bool require_mutex, nb::object keep) {
  WindowGetOptions options;
  options.attended = Blocking;
  options.require_mutex = require_mutex;
  convert_arguments([&] {
    if (!src_weights.is_none()) options.src_weights = destinations_from(src_weights, "src_weights");
  });
  const auto start = [&] { return self.engine().get_async(options); };
  if constexpr (!Blocking) return run_async(self.flights(), std::move(keep), start);
  run_blocking(start);
  return nb::none();
}

void update(PyWindow& self, nb::handle self_weight, nb::handle src_weights, bool reset, std::uintptr_t output,
            bool require_mutex) {
  WindowUpdateOptions options;
  options.attended = true;
  options.reset = reset;
  options.require_mutex = require_mutex;
  convert_arguments([&] {
    if (!self_weight.is_none()) options.self_weight = weight_from(self_weight, "self_weight");
    if (!src_weights.is_none()) options.src_weights = weights_from(src_weights, "neighbor_weights");
  });
  if (output != 0) {
    options.output = self.engine().tensor();
    options.output.data = reinterpret_cast<void*>(output);  // NOLINT
  }
  run_blocking([&] { return self.engine().update_async(options); });
}

void update_then_collect(PyWindow& self, bool require_mutex) {
  run_blocking([&] { return self.engine().update_then_collect_async(require_mutex, {.attended = true}); });
}

// --- locks

PyWindowLock lock_mutexes(PyWindow& self, nb::handle ranks, bool own) {
  std::optional<std::vector<int>> list;
  convert_arguments([&] {
    if (!ranks.is_none()) list = ranks_from(ranks, "ranks");
  });
  WindowLock lock;
  run_blocking([&] {
    return own ? self.engine().lock_own_async(lock, list, {.attended = true})
               : self.engine().lock_async(lock, list, {.attended = true});
  });
  return PyWindowLock(std::move(lock));
}

PyWindowLock edit(PyWindow& self) {
  WindowLock lock;
  run_blocking([&] { return self.engine().edit_async(lock, {.attended = true}); });
  return PyWindowLock(std::move(lock));
}

using nb::arg;

template <class Function>
void def_send(nb::class_<PyWindow>& window, const char* method, Function function) {
  window.def(method, function, arg("input"), arg("dtype"), arg("shape"), nb::kw_only(),
             arg("self_weight") = nb::none(), arg("dst_weights") = nb::none(), arg("require_mutex") = false,
             arg("keep") = nb::none());
}

template <class Function>
void def_get(nb::class_<PyWindow>& window, const char* method, Function function) {
  window.def(method, function, nb::kw_only(), arg("src_weights") = nb::none(), arg("require_mutex") = false,
             arg("keep") = nb::none());
}

void bind_lock(nb::module_& module) {
  nb::class_<PyWindowLock>(module, "WindowLock", "Locks of a window, until they are released.")
      .def("release", &PyWindowLock::release, "Once or more often; also when it is collected.");
}

void bind_window(nb::module_& module) {
  nb::class_<PyWindow> window(
      module, "Window",
      "One rank's part of a window. Tensors are given by address, DType code and shape; they must be "
      "contiguous and live until the operation is closed.");
  window.def_prop_ro("name", [](PyWindow& self) { return self.engine().name(); })
      .def_prop_ro("tensor", &PyWindow::tensor, "What create_window() was given as `keep`.")
      .def_prop_ro(
          "address",
          [](PyWindow& self) {
            return reinterpret_cast<std::uintptr_t>(self.engine().tensor().data);  // NOLINT
          },
          "Of the registered tensor.")
      .def_prop_ro(
          "sources", [](PyWindow& self) { return self.engine().sources(); }, "Ascending.")
      .def_prop_ro(
          "destinations", [](PyWindow& self) { return self.engine().destinations(); }, "Ascending.")
      .def("update", &update, nb::kw_only(), arg("self_weight") = nb::none(), arg("src_weights") = nb::none(),
           arg("reset") = false, arg("output") = 0, arg("require_mutex") = false,
           "The result goes to the address `output`, or to the registered tensor if that is 0.")
      .def("update_then_collect", &update_then_collect, nb::kw_only(), arg("require_mutex") = true)
      .def("versions", [](PyWindow& self) { return self.engine().versions(); })
      .def("associated_p", [](PyWindow& self) { return self.engine().associated_p(); })
      .def("lock", &lock_mutexes, arg("ranks") = nb::none(), nb::kw_only(), arg("own") = false,
           "The mutexes of this rank at `ranks`; own: those of `ranks` at this rank.")
      .def("edit", &edit, "The lock of the registered tensor.");
  def_send(window, "put", &send<Sending::Put, true>);
  def_send(window, "put_async", &send<Sending::Put, false>);
  def_send(window, "accumulate", &send<Sending::Accumulate, true>);
  def_send(window, "accumulate_async", &send<Sending::Accumulate, false>);
  def_get(window, "get", &get<true>);
  def_get(window, "get_async", &get<false>);
}

}  // namespace

void bind_windows(nb::module_& module, nb::class_<PyContext>& context) {
  bind_lock(module);
  bind_window(module);
  context
      .def("create_window", &create_window, arg("name").none(), arg("tensor"), arg("dtype"), arg("shape"),
           nb::kw_only(), arg("zero_init") = false, arg("group") = nb::none(), arg("src_ranks") = nb::none(),
           arg("dst_ranks") = nb::none(), arg("keep") = nb::none(), arg("refusal") = "",
           "Collective among neighbours. `keep` lives until the window is freed.")
      .def("window", &find_window, arg("name").none(), "None if no window has this name.")
      .def("window_names", &window_names, "Ascending; of windows that are open.")
      .def("free_window", &free_window, arg("name").none(), "Collective among neighbours.")
      .def(
          "use_associated_p", [](PyContext& self, bool on) { self.engine().use_associated_p(on); }, arg("on"),
          "Whether window operations move push-sum weights along.")
      .def("uses_associated_p", [](PyContext& self) { return self.engine().uses_associated_p(); });
}

}  // namespace bluefog::python
