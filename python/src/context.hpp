#pragma once
// What Python calls Context: one rank, and what its operations in flight keep alive.

#include <map>
#include <memory>
#include <string>
#include <utility>

#include <nanobind/nanobind.h>

#include <bluefog/context.hpp>

#include "flight.hpp"

namespace bluefog::python {

class PyWindow;

class PyContext {
 public:
  explicit PyContext(std::shared_ptr<Context> context) : context_(std::move(context)) {}
  PyContext(PyContext&&) = default;
  PyContext& operator=(PyContext&&) = delete;
  ~PyContext();

  [[nodiscard]] Context& engine() const noexcept { return *context_; }
  /// For calls that may be left to themselves (run_interruptibly).
  [[nodiscard]] std::shared_ptr<Context> share() const noexcept { return context_; }

  [[nodiscard]] FlightList& flights() noexcept { return *flights_; }
  [[nodiscard]] std::shared_ptr<FlightList> share_flights() const noexcept { return flights_; }
  /// Those that are open, by name; they keep their tensors.
  [[nodiscard]] std::map<std::string, std::shared_ptr<PyWindow>>& windows() noexcept { return windows_; }

  /// Forgets the windows, too.
  void shutdown();

 private:
  std::shared_ptr<Context> context_;
  std::shared_ptr<FlightList> flights_ = std::make_shared<FlightList>();
  std::map<std::string, std::shared_ptr<PyWindow>> windows_;
};

/// Context::stats() as a dict.
[[nodiscard]] nb::dict stats_of(const PyContext& context);

/// Adds the operations to the class Context.
void bind_operations(nb::class_<PyContext>& context);
/// Adds windows to it, and their classes to the module.
void bind_windows(nb::module_& module, nb::class_<PyContext>& context);
/// Adds asynchronous algorithms to it.
void bind_asynchronous(nb::module_& module, nb::class_<PyContext>& context);
/// Adds synchronous algorithms to it.
void bind_decentralized(nb::module_& module, nb::class_<PyContext>& context);

}  // namespace bluefog::python
