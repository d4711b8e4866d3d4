#pragma once
// What Python calls Context: one rank, and what its operations in flight keep alive.

#include <memory>
#include <utility>

#include <nanobind/nanobind.h>

#include <bluefog/context.hpp>

#include "flight.hpp"

namespace bluefog::python {

class PyContext {
 public:
  explicit PyContext(std::shared_ptr<Context> context) : context_(std::move(context)) {}
  PyContext(PyContext&&) = default;
  PyContext& operator=(PyContext&&) = delete;
  ~PyContext();

  [[nodiscard]] Context& engine() const noexcept { return *context_; }
  /// For calls that may be left to themselves (run_interruptibly).
  [[nodiscard]] std::shared_ptr<Context> share() const noexcept { return context_; }

  void shutdown();
  /// The Python handle of an operation that was just started; `keep` lives until it is closed.
  [[nodiscard]] nb::object track(Handle handle, nb::object keep);

 private:
  std::shared_ptr<Context> context_;
  FlightList flights_;
};

/// Context::stats() as a dict.
[[nodiscard]] nb::dict stats_of(const PyContext& context);

/// Adds the operations to the class Context.
void bind_operations(nb::class_<PyContext>& context);

}  // namespace bluefog::python
