#pragma once
/// @file fiber.hpp  A body with a stack of its own that gives up the thread when it waits, so that many ranks
/// share one thread.

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>

namespace bluefog::transport::sim {

class Fiber {
 public:
  static constexpr std::size_t default_stack_bytes = std::size_t{256} << 10;

  explicit Fiber(std::function<void()> body, std::size_t stack_bytes = default_stack_bytes);
  /// The body must have ended.
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Runs the body until it suspends or ends.
  void resume();
  /// Called by the body: gives the thread back to whoever resumed it.
  void suspend();
  [[nodiscard]] bool ended() const noexcept;
  /// What ended the body, if it was an exception.
  [[nodiscard]] std::exception_ptr error() const noexcept;
  /// The fiber that runs on this thread, or nullptr.
  [[nodiscard]] static Fiber* current() noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bluefog::transport::sim
