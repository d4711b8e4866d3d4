#pragma once
/// @file store_trials.hpp  Which stores fill memory sooner that another rank reads again and again.

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/clock.hpp"
#include "mixing/kernels.hpp"

namespace bluefog::window {

/// Found out on the way, for it depends on what changes: whether the other rank has read what was there
/// before, and how far apart the two cores are, which a virtual machine may change at any time. Memory that
/// lies in a distant cache can take ten times as long to fill with plain stores as past the cache, and memory
/// that lies in the own cache half as long.
class StoreTrials {
 public:
  /// @param usual  the kind that is used until the other has been found faster
  StoreTrials(mixing::StoreKind usual, const base::Clock& clock)
      : clock_(clock), usual_(usual), kind_(usual) {}

  /// For the next delivery: what was faster lately, or, now and then, the other.
  [[nodiscard]] mixing::StoreKind begin();
  /// Does a part of the delivery.
  template <class Part>
  void time(Part part) {
    const base::TimePoint start = clock_.now();
    part();
    elapsed_ += clock_.now() - start;
  }
  /// The delivery has reached its end.
  void end();

 private:
  /// The last deliveries by one kind; of three, one may have been interrupted.
  class Record {
   public:
    void add(base::Duration time) { times_[count_++ % times_.size()] = time; }
    [[nodiscard]] bool is_full() const noexcept { return count_ >= times_.size(); }
    [[nodiscard]] base::Duration median() const;

   private:
    std::array<base::Duration, 3> times_{};
    std::size_t count_ = 0;
  };
  [[nodiscard]] Record& record_of(mixing::StoreKind kind) { return records_[static_cast<std::size_t>(kind)]; }

  [[nodiscard]] mixing::StoreKind faster();

  const base::Clock& clock_;
  std::array<Record, 2> records_;
  mixing::StoreKind usual_;
  mixing::StoreKind kind_;
  std::uint64_t deliveries_ = 0;
  base::Duration elapsed_{};
};

}  // namespace bluefog::window
