#pragma once
/// @file window_group.hpp  The windows of a set of buckets, and what is in flight on them.

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <bluefog/context.hpp>
#include <bluefog/error.hpp>
#include <bluefog/window.hpp>

#include "optim/flight.hpp"
#include "window/core.hpp"

namespace bluefog::optim {

class WindowGroup {
 public:
  /// @param keeper  what the buckets lie in, if not in the user's memory: neighbours may use it until they
  /// have freed the windows too
  WindowGroup(Context& context, const std::vector<Tensor>& buckets, const std::string& name,
              const WindowOptions& options, const std::shared_ptr<const void>& keeper = {})
      : WindowGroup() {  // so that the destructor frees those that are open when the next cannot be opened
    for (std::size_t i = 0; i < buckets.size(); ++i) {
      windows_.push_back(context.create_window(name + "." + std::to_string(i), buckets[i], options));
      windows_.back().core_->keep(keeper);
    }
  }

  WindowGroup(WindowGroup&&) noexcept = default;
  WindowGroup& operator=(WindowGroup&&) = delete;
  ~WindowGroup() { abandon(); }

  [[nodiscard]] std::vector<Window>& windows() noexcept { return windows_; }
  /// Starts an operation on each, unless the Handle it gives is not valid; wait() ends them.
  void start(const std::function<Handle(Window&)>& operation) {
    for (Window& window : windows_) {
      if (Handle handle = operation(window); handle.valid()) flight_.add(std::move(handle));
    }
  }
  [[nodiscard]] bool wait_for(std::chrono::nanoseconds patience) { return flight_.wait_for(patience); }
  void wait() { flight_.wait(); }
  /// Whatever fails, each window is freed that can be. @throws the first error
  void close() {
    std::exception_ptr error;
    const auto attempt = [&error](const auto& part) {
      try {
        part();
      } catch (...) {
        if (!error) error = std::current_exception();
      }
    };
    attempt([this] { wait(); });
    Flight ends;
    for (Window& window : windows_) attempt([&] { ends.add(window.free_async()); });
    attempt([&ends] { ends.wait(); });
    if (error) std::rethrow_exception(error);
    windows_.clear();
  }

 private:
  WindowGroup() = default;

  /// Ends what is in flight, for the buckets may go, and frees the windows while nobody waits for it.
  void abandon() noexcept {
    flight_.abandon();
    for (Window& window : windows_) {
      try {
        static_cast<void>(window.free_async());
      } catch (const Error&) {  // the rank has left
      }
    }
  }

  std::vector<Window> windows_;
  Flight flight_;
};

}  // namespace bluefog::optim
