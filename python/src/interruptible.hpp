#pragma once
// Long calls of the engine that know nothing of Ctrl-C.

#include <future>
#include <memory>
#include <thread>

#include <nanobind/nanobind.h>

#include "base/blocked_signals.hpp"
#include "flight.hpp"

namespace bluefog::python {

/// Runs `call` on a thread of its own and waits for it with the GIL released. Ctrl-C raises KeyboardInterrupt
/// at once and leaves the call to itself: it must own all that it uses. @throws what `call` throws
template <class Call>
auto run_interruptibly(Call call) -> decltype(call()) {
  auto task = std::make_shared<std::packaged_task<decltype(call())()>>(std::move(call));
  auto result = task->get_future();
  {
    const base::BlockedSignals blocked;  // Ctrl-C belongs to the main thread
    std::thread([task] { (*task)(); }).detach();
  }
  for (;;) {
    {
      const nb::gil_scoped_release free_gil;
      if (result.wait_for(signal_slice) == std::future_status::ready) break;
    }
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
  }
  return result.get();
}

}  // namespace bluefog::python
