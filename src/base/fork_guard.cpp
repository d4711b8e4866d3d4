#include "base/fork_guard.hpp"

#include <atomic>
#include <mutex>

#include <pthread.h>

namespace bluefog::base {

namespace {

/// Forks between the first process of the program and this one.
std::atomic<std::uint64_t> forks_so_far{0};

}  // namespace

class ForkGuard {
 public:
  static ForkGuard& instance() {
    static ForkGuard* const guard =
        new ForkGuard;  // NOLINT: outlives static destruction, for fork may come late
    return *guard;
  }
  void add(ForkListener& listener) {
    const std::lock_guard lock(mutex);
    listener.older_ = youngest_;
    if (youngest_ != nullptr) youngest_->younger_ = &listener;
    youngest_ = &listener;
  }
  void remove(ForkListener& listener) {
    const std::lock_guard lock(mutex);
    if (listener.older_ != nullptr) listener.older_->younger_ = listener.younger_;
    (listener.younger_ != nullptr ? listener.younger_->older_ : youngest_) = listener.older_;
  }

  std::mutex mutex;  ///< a fork holds it too

 private:
  ForkGuard() {
    pthread_atfork([] { instance().mutex.lock(); }, [] { instance().mutex.unlock(); },
                   [] { instance().in_child(); });
  }
  void in_child() {
    forks_so_far.fetch_add(1, std::memory_order_relaxed);
    for (ForkListener* listener = youngest_; listener != nullptr; listener = listener->older_) {
      listener->in_child();
    }
    mutex.unlock();
  }

  ForkListener* youngest_ = nullptr;
};

void ForkListener::listen() noexcept {
  ForkGuard::instance().add(*this);
}
void ForkListener::stop_listening() noexcept {
  ForkGuard::instance().remove(*this);
}

void UnsharedFd::take(UniqueFd fd) noexcept {
  const std::lock_guard lock(ForkGuard::instance().mutex);
  fd_ = std::move(fd);
}

void UnsharedFd::take(UnsharedFd& other) noexcept {
  const std::lock_guard lock(ForkGuard::instance().mutex);
  fd_ = std::move(other.fd_);
}

HomeProcess::HomeProcess() noexcept : pid_(::getpid()) {
  static_cast<void>(ForkGuard::instance());  // counts from now on at the latest
  forks_ = forks();
}

std::uint64_t HomeProcess::forks() noexcept {
  return forks_so_far.load(std::memory_order_relaxed);
}

bool HomeProcess::is_surely_here() const noexcept {
  return !is_elsewhere() && ::getpid() == pid_;
}

}  // namespace bluefog::base
