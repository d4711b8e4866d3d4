#pragma once
/// @file doorbell.hpp  What a rank sleeps on; its peers ring it, from their processes too.

#include <atomic>
#include <cstdint>

#include "base/clock.hpp"

namespace bluefog::base {

/// The protocol is Dekker's: a ringer changes the state, then looks for sleepers; a sleeper announces itself,
/// then looks at the state, and sleeps only if it found nothing.
class Doorbell {
 public:
  virtual ~Doorbell() = default;

  /// After a change of state that a sleeper may wait for.
  virtual void ring() noexcept = 0;

  /// Announces a sleeper. The caller then checks its condition, and calls sleep() if it does not hold.
  [[nodiscard]] virtual std::uint32_t announce() noexcept = 0;
  /// Sleeps until rung after announce() or until `deadline`; may wake for no reason.
  virtual void sleep(std::uint32_t announced, TimePoint deadline) = 0;
  /// Ends what announce() began.
  virtual void leave() noexcept = 0;

 protected:
  Doorbell() = default;
};

/// The words of a doorbell that may lie in memory shared by processes. Zeroed memory is a valid one.
class DoorbellWords {
 public:
  /// A system call only if somebody sleeps.
  void ring() noexcept;
  [[nodiscard]] std::uint32_t announce() noexcept;
  void sleep(std::uint32_t announced, TimePoint deadline, const Clock& clock) noexcept;
  void leave() noexcept;

 private:
  std::atomic<std::uint32_t> rings_{0};
  std::atomic<std::uint32_t> sleepers_{0};
};

/// For threads of the operating system: sleeps on a futex.
class FutexDoorbell : public Doorbell {
 public:
  explicit FutexDoorbell(DoorbellWords& words) : words_(words) {}
  void ring() noexcept override { words_.ring(); }
  [[nodiscard]] std::uint32_t announce() noexcept override { return words_.announce(); }
  void sleep(std::uint32_t announced, TimePoint deadline) override {
    words_.sleep(announced, deadline, clock_);
  }
  void leave() noexcept override { words_.leave(); }

 private:
  DoorbellWords& words_;
  SteadyClock clock_;
};

}  // namespace bluefog::base
