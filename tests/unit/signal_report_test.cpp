// SIGUSR1 and who handles it. Each test in a process of its own: handlers stay.

#include "base/signal_report.hpp"

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <thread>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "quiet_fork.hpp"
#include "sanitizers.hpp"

namespace bluefog::base {
namespace {

/// The wait status of a child that exits with 0 if `body` holds.
int status_of_child(const std::function<bool()>& body) {
  const pid_t child = test::quiet_fork();
  if (child == 0) ::_exit(body() ? 0 : 1);
  int status = -1;
  ::waitpid(child, &status, 0);
  return status;
}

/// Counts calls, on whatever thread.
class Calls {
 public:
  [[nodiscard]] std::function<void()> counter() {
    return [this] {
      thread_ = std::this_thread::get_id();
      count_.fetch_add(1);
      count_.notify_all();
    };
  }
  void wait_for_first() const { count_.wait(0); }
  [[nodiscard]] int count() const { return count_.load(); }
  [[nodiscard]] std::thread::id thread() const { return thread_; }

 private:
  std::atomic<int> count_{0};
  std::atomic<std::thread::id> thread_;
};

TEST(SignalReport, IsCalledOnAThreadOfItsOwn) {
  const int status = status_of_child([] {
    Calls calls;
    const SignalReport report(calls.counter());
    ::raise(SIGUSR1);
    calls.wait_for_first();
    return calls.thread() != std::this_thread::get_id();
  });
  EXPECT_EQ(status, 0);
}

TEST(SignalReport, AllThatLiveAreCalled) {
  const int status = status_of_child([] {
    Calls first;
    Calls gone;
    Calls last;
    const SignalReport a(first.counter());
    { const SignalReport b(gone.counter()); }
    const SignalReport c(last.counter());
    ::raise(SIGUSR1);
    first.wait_for_first();
    last.wait_for_first();
    return gone.count() == 0;
  });
  EXPECT_EQ(status, 0);
}

TEST(SignalReport, AfterTheLastTheSignalDoesNothing) {
  const int status = status_of_child([] {
    Calls calls;
    { const SignalReport report(calls.counter()); }
    ::raise(SIGUSR1);
    Calls again;
    const SignalReport report(again.counter());
    ::raise(SIGUSR1);
    again.wait_for_first();
    return calls.count() == 0;
  });
  EXPECT_EQ(status, 0);
}

std::atomic<bool> users_handler_ran{false};

TEST(SignalReport, AHandlerOfTheUserStays) {
  const int status = status_of_child([] {
    std::signal(SIGUSR1, [](int) { users_handler_ran = true; });
    Calls calls;
    {
      const SignalReport report(calls.counter());
      ::raise(SIGUSR1);
    }
    return users_handler_ran && calls.count() == 0;
  });
  EXPECT_EQ(status, 0);
}

TEST(SignalReport, AnIgnoredSignalStaysIgnored) {
  const int status = status_of_child([] {
    std::signal(SIGUSR1, SIG_IGN);
    const SignalReport report([] {});
    return std::signal(SIGUSR1, SIG_IGN) == SIG_IGN;
  });
  EXPECT_EQ(status, 0);
}

TEST(SignalReport, AForkedChildReportsNothingOfItsParent) {
  const int status = status_of_child([] {
    Calls calls;
    const SignalReport report(calls.counter());
    const int of_child = status_of_child([] {
      ::raise(SIGUSR1);
      if (test::is_thread_sanitized) return true;  // ThreadSanitizer ends a forked child that starts a thread
      Calls own;
      const SignalReport another(own.counter());
      ::raise(SIGUSR1);
      own.wait_for_first();
      return true;
    });
    const bool was_quiet = calls.count() == 0;
    ::raise(SIGUSR1);
    calls.wait_for_first();
    return of_child == 0 && was_quiet;
  });
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace bluefog::base
