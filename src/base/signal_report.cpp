#include "base/signal_report.hpp"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <memory>
#include <mutex>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/executor.hpp"
#include "base/fork_guard.hpp"

namespace bluefog::base {

namespace {

/// What the handler writes to; -1 while nobody listens.
std::atomic<int> bell{-1};
static_assert(std::atomic<int>::is_always_lock_free, "the handler must not lock");

void ring() {
  const std::uint64_t one = 1;
  const int fd = bell.load();
  if (fd >= 0) static_cast<void>(!::write(fd, &one, sizeof(one)));
}

void on_signal(int) {
  const int error = errno;
  ring();
  errno = error;
}

void install_handler() {
  struct sigaction present {};
  ::sigaction(SIGUSR1, nullptr, &present);
  if ((present.sa_flags & SA_SIGINFO) != 0 || present.sa_handler != SIG_DFL) return;
  struct sigaction ours {};
  ours.sa_handler = on_signal;
  ours.sa_flags = SA_RESTART;
  sigemptyset(&ours.sa_mask);
  ::sigaction(SIGUSR1, &ours, nullptr);
}

}  // namespace

/// The reports of this process and the thread that calls them.
class SignalReport::Reporter final : private ForkListener {
 public:
  /// One for each process: a forked child that reports begins anew.
  static Reporter& instance() {
    Reporter* current = current_;
    if (current == nullptr) {
      auto made = std::make_unique<Reporter>();
      if (current_.compare_exchange_strong(current, made.get())) current = made.release();
    }
    return *current;
  }

  Reporter() { listen(); }
  ~Reporter() { stop_listening(); }

  std::list<std::function<void()>>::iterator add(std::function<void()> report) {
    const std::lock_guard lifecycle(lifecycle_mutex_);
    std::unique_lock lock(mutex_);
    const auto where = reports_.insert(reports_.end(), std::move(report));
    lock.unlock();
    if (thread_ == nullptr) start();
    return where;
  }

  void remove(std::list<std::function<void()>>::iterator where) {
    if (home_.is_elsewhere()) return;  // neither the thread is here, nor who may hold the locks
    const std::lock_guard lifecycle(lifecycle_mutex_);
    std::unique_lock lock(mutex_);
    reports_.erase(where);
    const bool is_last = reports_.empty();
    lock.unlock();
    if (is_last) stop();
  }

 private:
  void start() {
    if (!fd_.valid()) fd_ = UnsharedFd(UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
    if (!fd_.valid()) return;  // out of descriptors: then there are no reports
    forget_rings();
    stops_ = false;
    thread_ = ThreadExecutor().spawn("bluefog-signal", [this] { run(); });
    bell = fd_.get();
    install_handler();
  }

  void stop() {
    if (thread_ == nullptr) return;
    stops_ = true;
    ring();
    thread_.reset();
    bell = -1;
  }

  void run() {
    while (true) {
      pollfd entry{fd_.get(), POLLIN, 0};
      if (::poll(&entry, 1, -1) < 0 && errno != EINTR) return;
      forget_rings();
      if (stops_) return;
      const std::lock_guard lock(mutex_);
      for (const auto& report : reports_) report();
    }
  }

  void forget_rings() const {
    std::uint64_t rings = 0;
    static_cast<void>(!::read(fd_.get(), &rings, sizeof(rings)));
  }

  void in_child() noexcept override {
    bell = -1;
    current_ = nullptr;
  }

  static inline std::atomic<Reporter*> current_{nullptr};  ///< never destroyed: a signal may come late
  HomeProcess home_;
  std::mutex lifecycle_mutex_;  ///< of the thread; taken first
  std::mutex mutex_;            ///< of the reports
  std::list<std::function<void()>> reports_;
  UnsharedFd fd_;  ///< kept until the process ends: a handler may be about to write to it
  std::atomic<bool> stops_{false};
  std::unique_ptr<Background> thread_;
};

SignalReport::SignalReport(std::function<void()> report)
    : reporter_(Reporter::instance()), where_(reporter_.add(std::move(report))) {}

SignalReport::~SignalReport() {
  reporter_.remove(where_);
}

}  // namespace bluefog::base
