#pragma once
// Operations in flight, seen from Python: what they keep alive, and how to wait for them.

#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include <nanobind/nanobind.h>

#include <bluefog/handle.hpp>

namespace bluefog::python {

namespace nb = nanobind;

/// An operation in flight and the Python objects whose memory it uses. Made, changed and destroyed with the
/// GIL held: the engine's threads know the Handle only.
struct Flight {
  Handle handle;
  nb::object keep;
  bool closed = false;

  /// The operation is closed: nothing needs to be kept any more.
  void close() {
    closed = true;
    keep.reset();
  }
};

/// Keeps the flights of one Context whose Python handles may have been dropped.
class FlightList {
 public:
  void add(std::shared_ptr<Flight> flight);
  /// Every flight is closed, as after a shutdown.
  void close_all();
  /// The Python handle of an operation that was just started; `keep` lives until it is closed.
  [[nodiscard]] nb::object track(Handle handle, nb::object keep);

 private:
  std::deque<std::shared_ptr<Flight>> flights_;
};

/// How long a wait goes on before it looks for Ctrl-C.
constexpr std::chrono::nanoseconds signal_slice = std::chrono::milliseconds(100);

/// Waits for at most `patience` (for ever without it), with the GIL released; false if the operation is still
/// in flight. Ctrl-C raises KeyboardInterrupt and leaves the operation in flight. @throws the operation's
/// error
bool wait_interruptibly(Handle& handle, std::optional<std::chrono::nanoseconds> patience);

/// Waits until the operation is closed. Ctrl-C cancels it, waits for its end, because the caller's memory is
/// in use until then, and raises KeyboardInterrupt.
void finish(Handle handle);

/// Starts an operation and waits for its end. The first wait needs no look at signals: most operations end
/// within it.
template <class Start>
Handle run_blocking(Start start) {
  Handle handle;
  const bool closed = [&] {
    const nb::gil_scoped_release free_gil;
    handle = start();
    return handle.wait_for(signal_slice);
  }();
  if (!closed) finish(handle);
  return handle;
}

/// Starts an operation, and gives its Python handle.
template <class Start>
nb::object run_async(FlightList& flights, nb::object keep, Start start) {
  Handle handle = [&] {
    const nb::gil_scoped_release free_gil;
    return start();
  }();
  return flights.track(std::move(handle), std::move(keep));
}

}  // namespace bluefog::python
