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
/// that lies in the own cache half as long. Where it lies depends on how it was filled last time: a trial is
/// a row of deliveries, of which the first do not count.
class StoreTrials {
 public:
  /// @param usual  the kind that is used until the other has been found faster
  StoreTrials(mixing::StoreKind usual, const base::Clock& clock);

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
    /// As if all had taken so long.
    void fill(base::Duration time) {
      times_.fill(time);
      count_ = times_.size();
    }
    [[nodiscard]] bool is_full() const noexcept { return count_ >= times_.size(); }
    [[nodiscard]] base::Duration median() const;

   private:
    std::array<base::Duration, 3> times_{};
    std::size_t count_ = 0;
  };
  [[nodiscard]] Record& record_of(mixing::StoreKind kind) { return records_[static_cast<std::size_t>(kind)]; }
  [[nodiscard]] const Record& record_of(mixing::StoreKind kind) const {
    return records_[static_cast<std::size_t>(kind)];
  }

  [[nodiscard]] mixing::StoreKind faster() const;
  [[nodiscard]] mixing::StoreKind next();

  const base::Clock& clock_;
  std::array<Record, 2> records_;
  mixing::StoreKind usual_;
  mixing::StoreKind kind_;
  mixing::StoreKind tried_;  ///< in the last trial
  int in_a_row_ = 0;         ///< deliveries by kind_ that have ended
  int since_trial_ = 0;      ///< deliveries that have ended
  int left_of_trial_ = 0;    ///< deliveries
  int between_trials_;       ///< deliveries
  base::Duration elapsed_{};
};

}  // namespace bluefog::window
