#pragma once
/// @file liveness.hpp  When a rank that gives no sign of life is given up.

#include <cstdint>
#include <optional>

namespace bluefog::membership {

/// Judges one peer by its count of heartbeats. Time is counted in ticks of the judge itself, one a heartbeat
/// period: while the machine is suspended, or the whole job stopped, nobody ages.
class Liveness {
 public:
  /// A peer is lost that has not beaten for so many ticks of the others.
  static constexpr int ticks_until_lost = 5;

  /// @param ticks_until_first  so many ticks a peer may take to its first beat
  explicit Liveness(int ticks_until_first) : ticks_until_first_(ticks_until_first) {}

  /// One tick. @param beats  the peer's count so far; nothing if it is not to be judged
  /// @returns whether the peer is to be given up
  [[nodiscard]] bool is_overdue(std::optional<std::uint64_t> beats) {
    if (!beats || *beats != last_) {
      last_ = beats.value_or(last_);
      missed_ = 0;
      return false;
    }
    return ++missed_ >= (last_ == 0 ? ticks_until_first_ : ticks_until_lost);
  }

 private:
  int ticks_until_first_;
  int missed_ = 0;
  std::uint64_t last_ = 0;
};

}  // namespace bluefog::membership
