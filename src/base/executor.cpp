#include "base/executor.hpp"

#include <thread>

#include <pthread.h>
#include <sched.h>

#include "base/blocked_signals.hpp"

namespace bluefog::base {

namespace {

// Measured with 4 ranks on 2 cores: a meeting takes 10 us with these, 400 with spinning alone, 150 with a
// futex at once.
constexpr int spins = 200;
constexpr int yields = 50;
/// A look at the clock costs less than a thousandth of so many turns in which something moved.
constexpr int busy_turns_between_looks = 64;

void relax() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

class PrivateDoorbell final : public FutexDoorbell {
 public:
  PrivateDoorbell() : FutexDoorbell(words_) {}

 private:
  DoorbellWords words_;
};

class Thread final : public Background {
 public:
  Thread(const char* name, std::function<void()> body) {
    // The interpreter's and the user's signal handlers run on their own threads.
    const BlockedSignals blocked;
    thread_ = std::jthread(std::move(body));
    pthread_setname_np(thread_.native_handle(), name);
  }

 private:
  std::jthread thread_;
};

}  // namespace

void ThreadExecutor::wait(Doorbell& bell, bool spin, TimePoint deadline, FunctionRef<Turn()> turn) {
  const int patience = spin ? spins : 0;
  int idle = 0;
  int busy = 0;
  while (true) {
    const bool sleeps = idle >= patience + yields;
    const std::uint32_t announced = sleeps ? bell.announce() : 0;
    const Turn seen = turn();
    const bool stop = seen == Turn::Over || (sleeps && clock_.now() >= deadline);
    if (sleeps) {
      if (seen == Turn::Idle && !stop) bell.sleep(announced, deadline);
      bell.leave();
    }
    if (stop) return;
    if (seen == Turn::Busy) {
      idle = 0;
      if (++busy % busy_turns_between_looks == 0 && clock_.now() >= deadline) return;
    } else if (!sleeps) {
      idle++ < patience ? relax() : static_cast<void>(sched_yield());
    }
  }
}

std::unique_ptr<Doorbell> ThreadExecutor::make_doorbell() {
  return std::make_unique<PrivateDoorbell>();
}

std::unique_ptr<Background> ThreadExecutor::spawn(const char* name, std::function<void()> body) {
  return std::make_unique<Thread>(name, std::move(body));
}

}  // namespace bluefog::base
