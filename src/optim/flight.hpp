#pragma once
/// @file flight.hpp  Operations in flight, one for each tensor of a vector.

#include <chrono>
#include <functional>
#include <vector>

#include <bluefog/handle.hpp>

namespace bluefog::optim {

class Flight {
 public:
  Flight() = default;
  Flight(Flight&&) noexcept = default;
  Flight& operator=(Flight&&) = delete;
  /// Ends them, for their tensors may go.
  ~Flight() { abandon(); }

  void add(Handle handle) { handles_.push_back(std::move(handle)); }
  void add(Flight other);
  /// Whether wait() would not wait, after at most `patience`.
  [[nodiscard]] bool wait_for(std::chrono::nanoseconds patience);
  /// For all of them, also if one throws. @throws the first error
  void wait();
  /// As wait(), but calls `while_waiting` several times a second, unless it is empty. When that throws, what
  /// is in flight is given up.
  void wait(const std::function<void()>& while_waiting);
  /// Ends what is in flight, whatever comes of it.
  void abandon() noexcept;

 private:
  std::vector<Handle> handles_;
};

}  // namespace bluefog::optim
