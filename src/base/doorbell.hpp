#pragma once
/// @file doorbell.hpp  What a rank sleeps on; its peers ring it, from their processes too.

#include <atomic>
#include <cstdint>

#include "base/clock.hpp"

namespace bluefog::base {

/// Lives in shared memory. The protocol is Dekker's: a ringer changes the state, then looks for sleepers; a
/// sleeper announces itself, then looks at the state. Both need sequential consistency between the two, or a
/// wake-up is lost.
class Doorbell {
 public:
  /// After a change of state that a sleeper may wait for. A system call only if somebody sleeps.
  void ring() noexcept;

  /// Announces a sleeper. The caller then checks its condition, and calls sleep() if it does not hold.
  [[nodiscard]] std::uint32_t announce() noexcept;
  /// Sleeps until rung after announce() or until `deadline`; may wake for no reason.
  void sleep(std::uint32_t announced, TimePoint deadline, const Clock& clock) noexcept;
  /// Ends what announce() began.
  void leave() noexcept;

 private:
  std::atomic<std::uint32_t> rings_{0};
  std::atomic<std::uint32_t> sleepers_{0};
};

}  // namespace bluefog::base
