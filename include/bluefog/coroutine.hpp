#pragma once
/// @file coroutine.hpp  Operations as awaitables of C++20 coroutines.
///
///     bluefog::Task<> average(bluefog::Context& context, std::span<float> a, std::span<float> b) {
///       bluefog::Handle first = context.neighbor_allreduce_async(a, a);
///       prepare(b);                                         // while a is averaged
///       co_await first;
///       co_await context.neighbor_allreduce_async(b, b);    // other tasks go on meanwhile
///     }
///
///     bluefog::run(average(context, a, b));
///
/// In a Simulation, whose ranks share one thread, `co_await` waits at its place: tasks run one after another.

#include <bluefog/error.hpp>
#include <bluefog/handle.hpp>

#ifndef __cpp_impl_coroutine
#error "bluefog/coroutine.hpp needs a compiler with C++20 coroutines: g++ 11, clang 14 or newer"
#endif

#include <atomic>
#include <condition_variable>
#include <coroutine>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace bluefog {

template <class T = void>
class Task;

namespace coroutine {

/// Coroutines that can go on. Operations put them there, from whichever thread closes them; the thread in
/// run() takes them out.
class ReadyQueue {
 public:
  void put(std::coroutine_handle<> coroutine) {
    const std::lock_guard lock(mutex_);
    ready_.push_back(coroutine);
    filled_.notify_one();  // under the lock: whoever waits may end, and the queue with it
  }
  /// Waits for one.
  [[nodiscard]] std::coroutine_handle<> take() {
    std::unique_lock lock(mutex_);
    filled_.wait(lock, [this] { return !ready_.empty(); });
    const std::coroutine_handle<> coroutine = ready_.front();
    ready_.pop_front();
    return coroutine;
  }

 private:
  std::mutex mutex_;
  std::condition_variable filled_;
  std::deque<std::coroutine_handle<>> ready_;
};

/// That of the run() that this thread is in.
inline std::weak_ptr<ReadyQueue>& current_queue() {
  thread_local std::weak_ptr<ReadyQueue> queue;
  return queue;
}

/// Resumes who awaits a task when that is over.
struct FinalAwaiter {
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> over) const noexcept {
    return over.promise().continuation;
  }
  void await_resume() const noexcept {}
};

class PromiseBase {
 public:
  std::coroutine_handle<> continuation = std::noop_coroutine();

  [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }
  [[nodiscard]] FinalAwaiter final_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept { error_ = std::current_exception(); }

 protected:
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::exception_ptr error_;
};

template <class T>
class Promise : public PromiseBase {
 public:
  Task<T> get_return_object() noexcept;
  template <class U>
  void return_value(U&& value) {
    value_.emplace(std::forward<U>(value));
  }
  [[nodiscard]] T result() {
    rethrow();
    return std::move(*value_);
  }

 private:
  std::optional<T> value_;
};

template <>
class Promise<void> : public PromiseBase {
 public:
  Task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void result() const { rethrow(); }
};

}  // namespace coroutine

/// A coroutine that starts when it is awaited, or given to run(). Movable; awaited once.
template <class T>
class [[nodiscard]] Task {
 public:
  /// What the language asks for.
  using promise_type = coroutine::Promise<T>;

  /// Made by the language.
  explicit Task(std::coroutine_handle<promise_type> coroutine) noexcept : coroutine_(coroutine) {}
  /// The other has no coroutine afterwards.
  Task(Task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  /// Both change places.
  Task& operator=(Task&& other) noexcept {
    std::swap(coroutine_, other.coroutine_);
    return *this;
  }
  ~Task() {
    if (coroutine_) coroutine_.destroy();
  }

  /// Its value, or what it threw.
  [[nodiscard]] auto operator co_await() && noexcept {
    struct Awaiter {
      std::coroutine_handle<promise_type> task;
      [[nodiscard]] bool await_ready() const noexcept { return task.done(); }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiting) const noexcept {
        task.promise().continuation = waiting;
        return task;
      }
      T await_resume() const { return task.promise().result(); }
    };
    return Awaiter{coroutine_};
  }

 private:
  std::coroutine_handle<promise_type> coroutine_;
};

namespace coroutine {

template <class T>
Task<T> Promise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<Promise>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<Promise>::from_promise(*this));
}

/// A coroutine that starts at once, owns itself, and must not throw.
struct Detached {
  struct promise_type {
    [[nodiscard]] Detached get_return_object() const noexcept { return {}; }
    [[nodiscard]] std::suspend_never initial_suspend() const noexcept { return {}; }
    [[nodiscard]] std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
  };
};

/// What is left of several tasks, and who waits for the last of them. One thread.
class Countdown {
 public:
  explicit Countdown(std::size_t count) : left_(count) {}
  void one_is_over(std::exception_ptr error) {
    if (error && !error_) error_ = std::move(error);
    if (--left_ == 0 && waiting_) waiting_.resume();
  }
  [[nodiscard]] bool await_ready() const noexcept { return left_ == 0; }
  void await_suspend(std::coroutine_handle<> waiting) noexcept { waiting_ = waiting; }
  void await_resume() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::size_t left_;
  std::exception_ptr error_;
  std::coroutine_handle<> waiting_;
};

inline Detached count_down_after(Task<> task, Countdown& countdown) {
  std::exception_ptr error;
  try {
    co_await std::move(task);
  } catch (...) {
    error = std::current_exception();
  }
  countdown.one_is_over(error);
}

/// The queue of this thread, for the length of a run().
class Loop {
 public:
  Loop() : outer_(std::exchange(current_queue(), queue_)) {}
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  ~Loop() {  // another rank of a Simulation may have begun one meanwhile
    if (current_queue().lock() == queue_) current_queue() = std::move(outer_);
  }
  /// Resumes coroutines until end() is called, on whichever thread.
  void until_end() const {
    while (!is_over_) queue_->take().resume();
  }
  void end() noexcept {
    const std::shared_ptr<ReadyQueue> queue = queue_;  // the loop may go at once
    is_over_ = true;
    queue->put(std::noop_coroutine());
  }

 private:
  std::shared_ptr<ReadyQueue> queue_ = std::make_shared<ReadyQueue>();
  std::weak_ptr<ReadyQueue> outer_;
  std::atomic<bool> is_over_ = false;
};

/// The task is gone before the loop ends: what it refers to may go then.
template <class T>
Detached store_result(Task<T> task, std::optional<T>& result, std::exception_ptr& error, Loop& loop) {
  try {
    Task<T> own = std::move(task);
    result.emplace(co_await std::move(own));
  } catch (...) {
    error = std::current_exception();
  }
  loop.end();
}
inline Detached store_result(Task<> task, std::exception_ptr& error, Loop& loop) {
  try {
    Task<> own = std::move(task);
    co_await std::move(own);
  } catch (...) {
    error = std::current_exception();
  }
  loop.end();
}

class HandleAwaiter {
 public:
  explicit HandleAwaiter(Handle handle) : handle_(std::move(handle)) {}
  [[nodiscard]] bool await_ready() { return handle_.done(); }
  bool await_suspend(std::coroutine_handle<> waiting) {
    const std::shared_ptr<ReadyQueue> queue = current_queue().lock();
    if (queue == nullptr) return false;  // nobody would resume it: await_resume() waits
    try {
      handle_.when_closed([queue, waiting] { queue->put(waiting); });
    } catch (const InvalidArgument&) {  // in a Simulation
      return false;
    }
    return true;
  }
  Handle await_resume() {
    handle_.wait();
    return std::move(handle_);
  }

 private:
  Handle handle_;
};

}  // namespace coroutine

/// `co_await handle` suspends the coroutine until the operation is closed, throws the operation's error, and
/// gives the Handle, for what it gathered. Inside run() other tasks go on meanwhile; in a coroutine that
/// something else drives, the thread waits (see Handle::when_closed for how to tell another loop).
inline coroutine::HandleAwaiter operator co_await(Handle handle) {
  return coroutine::HandleAwaiter(std::move(handle));
}

/// Runs a task, and what it awaits, on this thread, until it is over. @returns its value
/// @throws what it threw
template <class T>
T run(Task<T> task) {
  coroutine::Loop loop;
  std::exception_ptr error;
  if constexpr (std::is_void_v<T>) {
    coroutine::store_result(std::move(task), error, loop);
    loop.until_end();
    if (error) std::rethrow_exception(error);
  } else {
    std::optional<T> result;
    coroutine::store_result(std::move(task), result, error, loop);
    loop.until_end();
    if (error) std::rethrow_exception(error);
    return std::move(*result);
  }
}

/// Runs tasks side by side, on one thread, until all are over. Their operations should have names, for the
/// order of their calls may differ between ranks. @throws what the first that failed threw
inline Task<> when_all(std::vector<Task<>> tasks) {
  coroutine::Countdown countdown(tasks.size());
  for (Task<>& task : tasks) coroutine::count_down_after(std::move(task), countdown);
  co_await countdown;
}

}  // namespace bluefog
