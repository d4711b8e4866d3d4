#pragma once
/// @file task.hpp  Coroutines of the engine: operations that wait without holding a thread.

#include <coroutine>
#include <cstddef>
#include <exception>
#include <type_traits>
#include <utility>

#include "base/recycled_memory.hpp"

namespace bluefog::engine {

/// What an operation waits for: a condition over shared words, polled by whoever drives the engine.
class Suspension {
 public:
  using Check = bool (*)(void*);
  void set(std::coroutine_handle<> where, Check check, void* state) noexcept {
    where_ = where;
    check_ = check;
    state_ = state;
  }
  [[nodiscard]] bool ready() const { return check_ == nullptr || check_(state_); }
  [[nodiscard]] bool is_yield() const noexcept { return check_ == nullptr; }
  void resume() { std::exchange(where_, {}).resume(); }
  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(where_); }

 private:
  std::coroutine_handle<> where_;
  Check check_ = nullptr;
  void* state_ = nullptr;
};

/// A coroutine that starts when awaited (or by start()), and passes its exception on.
class [[nodiscard]] Task {
 public:
  struct promise_type {
    std::coroutine_handle<> continuation;
    std::exception_ptr error;

    Task get_return_object() { return Task(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    auto final_suspend() noexcept {
      struct Final {
        bool await_ready() noexcept { return false; }
        std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> self) noexcept {
          return self.promise().continuation ? self.promise().continuation : std::noop_coroutine();
        }
        void await_resume() noexcept {}
      };
      return Final{};
    }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { error = std::current_exception(); }

    // An operation in a loop allocates nothing for its frames.
    static void* operator new(std::size_t bytes) { return base::allocate_recycled(bytes); }
    static void operator delete(void* frame, std::size_t bytes) noexcept {
      base::free_recycled(frame, bytes);
    }
  };

  Task() = default;
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      destroy();
      handle_ = std::exchange(other.handle_, {});
    }
    return *this;
  }
  ~Task() { destroy(); }

  [[nodiscard]] std::coroutine_handle<> handle() const noexcept { return handle_; }
  [[nodiscard]] bool finished() const noexcept { return !handle_ || handle_.done(); }
  void rethrow() const {
    if (handle_ && handle_.promise().error) std::rethrow_exception(handle_.promise().error);
  }

  bool await_ready() const noexcept { return finished(); }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) noexcept {
    handle_.promise().continuation = caller;
    return handle_;
  }
  void await_resume() const { rethrow(); }

 private:
  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  void destroy() noexcept {
    if (handle_) handle_.destroy();
    handle_ = {};
  }
  std::coroutine_handle<promise_type> handle_;
};

/// co_await an lvalue of this: suspends until the condition holds. The condition must not throw.
template <class Condition>
class Until {
 public:
  Until(Suspension& suspension, Condition condition)
      : suspension_(suspension), condition_(std::move(condition)) {}
  bool await_ready() { return condition_(); }
  void await_suspend(std::coroutine_handle<> where) noexcept {
    suspension_.set(
        where, [](void* self) { return static_cast<Until*>(self)->condition_(); }, this);
  }
  void await_resume() const noexcept {}

 private:
  Suspension& suspension_;
  Condition condition_;
};

/// Lets others run; resumed at the next pass of the driver.
class Yield {
 public:
  explicit Yield(Suspension& suspension) : suspension_(suspension) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> where) noexcept { suspension_.set(where, nullptr, nullptr); }
  void await_resume() const noexcept {}

 private:
  Suspension& suspension_;
};

}  // namespace bluefog::engine
