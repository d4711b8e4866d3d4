#pragma once
/// @file fork_guard.hpp  What becomes of this process's things in the children that it forks.
///
/// A child by fork (a worker of a data loader, for instance) is no rank: it has none of our threads, and must
/// neither write into live tensors nor speak for its parent.

#include <cstdint>
#include <utility>

#include <sys/types.h>

#include "base/unique_fd.hpp"

namespace bluefog::base {

/// Something that must be undone in a forked child. A derived class listens while it is whole: it calls
/// listen() at the end of its constructor and stop_listening() at the begin of its destructor.
class ForkListener {
 public:
  ForkListener(const ForkListener&) = delete;
  ForkListener& operator=(const ForkListener&) = delete;

 protected:
  ForkListener() = default;
  ~ForkListener() = default;
  void listen() noexcept;
  void stop_listening() noexcept;
  /// Called in the child before fork() returns there, the youngest listener first. As in a signal handler,
  /// only what is async-signal-safe may be called: locks of the parent's other threads stay locked.
  virtual void in_child() noexcept = 0;

 private:
  friend class ForkGuard;
  ForkListener* older_ = nullptr;
  ForkListener* younger_ = nullptr;
};

/// A descriptor that this process alone holds: forked children close it, and it closes on exec. Reset and
/// moved under a lock that a fork takes.
class UnsharedFd final : private ForkListener {
 public:
  UnsharedFd() noexcept { listen(); }
  explicit UnsharedFd(UniqueFd fd) noexcept : UnsharedFd() { take(std::move(fd)); }
  UnsharedFd(UnsharedFd&& other) noexcept : UnsharedFd() { take(other); }
  UnsharedFd& operator=(UnsharedFd&& other) noexcept {
    if (this != &other) take(other);
    return *this;
  }
  ~UnsharedFd() { stop_listening(); }

  [[nodiscard]] int get() const noexcept { return fd_.get(); }
  [[nodiscard]] bool valid() const noexcept { return fd_.valid(); }
  void reset() noexcept { take(UniqueFd()); }

 private:
  void in_child() noexcept override { fd_.reset(); }
  void take(UniqueFd fd) noexcept;
  void take(UnsharedFd& other) noexcept;

  UniqueFd fd_;
};

/// The process in which it was made.
class HomeProcess {
 public:
  HomeProcess() noexcept;
  /// Whether this process is a forked child of the home. One load: for every operation.
  [[nodiscard]] bool is_elsewhere() const noexcept { return forks_ != forks(); }
  /// The same without trust in the C library: a child by a bare system call counts too.
  [[nodiscard]] bool is_surely_here() const noexcept;

 private:
  static std::uint64_t forks() noexcept;
  std::uint64_t forks_;
  pid_t pid_;
};

}  // namespace bluefog::base
