#include <algorithm>
#include <cmath>

#include <nanobind/stl/optional.h>

#include <bluefog/error.hpp>

#include "arguments.hpp"
#include "bindings.hpp"
#include "flight.hpp"
#include "shared_memory.hpp"

namespace bluefog::python {
namespace {

using std::chrono::nanoseconds;
using Seconds = std::chrono::duration<double>;

void cancel_and_wait(Handle& handle) {
  const nb::gil_scoped_release free_gil;
  handle.cancel();
  try {
    handle.wait();
  } catch (const Error&) {  // how the operation ended no longer matters
  }
}

bool is_done(Handle handle) {
  const nb::gil_scoped_release free_gil;
  return handle.done();
}

/// What Python calls Handle.
class PyHandle {
 public:
  explicit PyHandle(std::shared_ptr<Flight> flight) : flight_(std::move(flight)) {}

  bool done() {
    const std::shared_ptr<Flight> flight = flight_;
    if (!flight->closed && is_done(flight->handle)) flight->close();
    return flight->closed;
  }

  bool wait(std::optional<double> timeout) {
    const std::shared_ptr<Flight> flight = flight_;
    Handle handle = flight->handle;
    try {
      if (!wait_interruptibly(handle, patience_of(timeout))) return false;
    } catch (const Error&) {
      flight->close();
      throw;
    }
    flight->close();
    return true;
  }

  void cancel() {
    Handle handle = flight_->handle;
    const nb::gil_scoped_release free_gil;
    handle.cancel();
  }

  [[nodiscard]] GatheredTensor gathered() const { return flight_->handle.gathered(); }

 private:
  static std::optional<nanoseconds> patience_of(std::optional<double> timeout) {
    constexpr double longest = 1e9;  // seconds; what fits in nanoseconds, and more than anyone waits
    if (!timeout || *timeout > longest) return std::nullopt;
    if (std::isnan(*timeout)) throw nb::value_error("timeout is NaN");
    return std::chrono::duration_cast<nanoseconds>(Seconds(std::max(*timeout, 0.0)));
  }

  std::shared_ptr<Flight> flight_;
};

}  // namespace

bool wait_interruptibly(Handle& handle, std::optional<nanoseconds> patience) {
  const auto start = std::chrono::steady_clock::now();
  for (;;) {
    nanoseconds slice = signal_slice;
    if (patience)
      slice = std::min<nanoseconds>(slice, *patience - (std::chrono::steady_clock::now() - start));
    {
      const nb::gil_scoped_release free_gil;
      if (handle.wait_for(std::max(slice, nanoseconds::zero()))) return true;
    }
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
    if (patience && std::chrono::steady_clock::now() - start >= *patience) return false;
  }
}

void finish(Handle handle) {
  try {
    wait_interruptibly(handle, std::nullopt);
  } catch (const nb::python_error&) {
    cancel_and_wait(handle);
    throw;
  }
}

void FlightList::add(std::shared_ptr<Flight> flight) {
  // Looks at a bounded number of the others, in turn, so that every call costs the same.
  // Another thread may come in while one looks, hence the second condition.
  for (std::size_t looks = std::min<std::size_t>(flights_.size(), 4); looks > 0 && !flights_.empty();
       --looks) {
    std::shared_ptr<Flight> oldest = std::move(flights_.front());
    flights_.pop_front();
    if (!oldest->closed && is_done(oldest->handle)) oldest->close();
    if (!oldest->closed) flights_.push_back(std::move(oldest));
  }
  flights_.push_back(std::move(flight));
}

void FlightList::close_all() {
  const std::deque<std::shared_ptr<Flight>> flights = std::move(flights_);
  flights_.clear();
  for (const std::shared_ptr<Flight>& flight : flights) flight->close();
}

nb::object FlightList::track(Handle handle, nb::object keep) {
  auto flight = std::make_shared<Flight>(Flight{std::move(handle), std::move(keep)});
  add(flight);
  return nb::cast(PyHandle(std::move(flight)));
}

void bind_handle(nb::module_& module) {
  nb::class_<GatheredTensor>(module, "GatheredTensor", "The result of a gather.")
      .def_prop_ro("dtype", [](const GatheredTensor& self) { return static_cast<int>(self.dtype); })
      .def_prop_ro("shape", [](const GatheredTensor& self) { return shape_tuple(self.shape); })
      .def("dlpack", &gathered_capsule, "DLPack capsule of the bytes: a one-dimensional uint8 tensor.");

  nb::class_<PyHandle>(module, "Handle", "An operation in flight.")
      .def("done", &PyHandle::done, "True when the operation is closed, with success or an error.")
      .def("wait", &PyHandle::wait, nb::arg("timeout") = nb::none(),
           "Waits until the operation is closed and raises its error. False if it is still in flight after "
           "`timeout` "
           "seconds. Ctrl-C leaves it in flight.")
      .def("cancel", &PyHandle::cancel,
           "Asks the operation to give up; wait() tells whether it did or completed nevertheless.")
      .def("gathered", &PyHandle::gathered, "The result of a gather that is done.");
}

}  // namespace bluefog::python
