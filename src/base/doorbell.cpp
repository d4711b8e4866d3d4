#include "base/doorbell.hpp"

#include <climits>
#include <ctime>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace bluefog::base {

namespace {

// std::atomic::wait is private to a process; these are not.
long futex(std::atomic<std::uint32_t>& word, int operation, std::uint32_t value, const timespec* timeout) {
  return ::syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), operation, value, timeout, nullptr, 0);
}

}  // namespace

// Both sides need sequential consistency between their two steps, or a wake-up is lost.
void DoorbellWords::ring() noexcept {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) == 0) return;
  rings_.fetch_add(1, std::memory_order_seq_cst);
  futex(rings_, FUTEX_WAKE, INT_MAX, nullptr);
}

std::uint32_t DoorbellWords::announce() noexcept {
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  const std::uint32_t seen = rings_.load(std::memory_order_seq_cst);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return seen;
}

void DoorbellWords::sleep(std::uint32_t announced, TimePoint deadline, const Clock& clock) noexcept {
  if (deadline == TimePoint::max()) {
    futex(rings_, FUTEX_WAIT, announced, nullptr);
    return;
  }
  const auto left = std::chrono::duration_cast<Duration>(deadline - clock.now());
  if (left <= Duration::zero()) return;
  timespec relative{};
  relative.tv_sec = static_cast<time_t>(left.count() / 1'000'000'000);
  relative.tv_nsec = static_cast<long>(left.count() % 1'000'000'000);
  futex(rings_, FUTEX_WAIT, announced, &relative);
}

void DoorbellWords::leave() noexcept {
  sleepers_.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace bluefog::base
