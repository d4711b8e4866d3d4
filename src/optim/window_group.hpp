#pragma once
/// @file window_group.hpp  The windows of a set of buckets, and what is in flight on them.

#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <bluefog/context.hpp>
#include <bluefog/error.hpp>
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

  WindowGroup(WindowGroup&&) noexcept = default;
  WindowGroup& operator=(WindowGroup&&) = delete;
  ~WindowGroup() { abandon(); }

  [[nodiscard]] std::vector<Window>& windows() noexcept { return windows_; }
  /// Starts an operation on each, unless the Handle it gives is not valid; wait() ends them.
  void start(const std::function<Handle(Window&)>& operation) {
    for (Window& window : windows_) {
      if (Handle handle = operation(window); handle.valid()) in_flight_.push_back(std::move(handle));
    }
  }
  /// Whether wait() would not wait, after at most `patience`.
  [[nodiscard]] bool wait_for(std::chrono::nanoseconds patience) {
    const auto until = std::chrono::steady_clock::now() + patience;
    return std::ranges::all_of(in_flight_, [&](Handle& handle) {
      try {
        return handle.wait_for(
            std::max(until - std::chrono::steady_clock::now(), std::chrono::nanoseconds(0)));
      } catch (const Error&) {  // wait() tells
        return true;
      }
    });
  }
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
  /// Ends what is in flight, for the buckets may go, and frees the windows while nobody waits for it.
  void abandon() noexcept {
    for (Handle& handle : in_flight_) {
      try {
        handle.cancel();
        handle.wait();
      } catch (const Error&) {  // nobody wants to know any more
      }
    }
    for (Window& window : windows_) {
      try {
        static_cast<void>(window.free_async());
      } catch (const Error&) {  // the rank has left
      }
    }
  }

  std::vector<Window> windows_;
  std::vector<Handle> in_flight_;
};

}  // namespace bluefog::optim
