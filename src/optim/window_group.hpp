#pragma once
/// @file window_group.hpp  The windows of a set of buckets, and what is in flight on them.

#include <functional>
#include <string>
#include <vector>

#include <bluefog/asynchronous.hpp>
#include <bluefog/window.hpp>

namespace bluefog::optim {

class WindowGroup {
 public:
  WindowGroup(Context& context, const std::vector<Tensor>& buckets, const std::string& name,
              const WindowOptions& options) {
    for (std::size_t i = 0; i < buckets.size(); ++i) {
      windows_.push_back(context.create_window(name + "." + std::to_string(i), buckets[i], options));
    }
  }

  [[nodiscard]] std::vector<Window>& windows() noexcept { return windows_; }
  /// Starts an operation on each; wait() ends them.
  void start(const std::function<Handle(Window&)>& operation) {
    for (Window& window : windows_) in_flight_.push_back(operation(window));
  }
  [[nodiscard]] bool is_in_flight() const noexcept { return !in_flight_.empty(); }
  /// All of them, also if one throws.
  void wait() {
    std::exception_ptr error;
    for (Handle& handle : in_flight_) {
      try {
        handle.wait();
      } catch (...) {
        if (!error) error = std::current_exception();
      }
    }
    in_flight_.clear();
    if (error) std::rethrow_exception(error);
  }
  void close() {
    wait();
    std::vector<Handle> ends;
    for (Window& window : windows_) ends.push_back(window.free_async());
    for (Handle& end : ends) end.wait();
    windows_.clear();
  }

 private:
  std::vector<Window> windows_;
  std::vector<Handle> in_flight_;
};

}  // namespace bluefog::optim
