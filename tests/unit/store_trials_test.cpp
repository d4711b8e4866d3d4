#include "window/store_trials.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "window/layout.hpp"

namespace bluefog::window {
namespace {

using mixing::StoreKind;
using std::chrono::microseconds;

class HandSetClock final : public base::Clock {
 public:
  [[nodiscard]] base::TimePoint now() const override { return now_; }
  void advance(base::Duration by) { now_ += by; }

 private:
  base::TimePoint now_{};
};

/// An edge over which a delivery takes so long by either kind of store.
class StoreTrialsOfAnEdge : public ::testing::Test {
 protected:
  StoreKind deliver() {
    const StoreKind kind = trials_.begin();
    trials_.time([&] { clock_.advance(kind == StoreKind::Plain ? plain_ : streaming_); });
    trials_.end();
    return kind;
  }
  /// Of so many deliveries, those with plain stores.
  int count_plain(int deliveries) {
    int count = 0;
    for (int i = 0; i < deliveries; ++i) count += deliver() == StoreKind::Plain ? 1 : 0;
    return count;
  }

  HandSetClock clock_;
  StoreTrials trials_{StoreKind::Plain, clock_};
  base::Duration plain_ = microseconds(20);
  base::Duration streaming_ = microseconds(40);
};

TEST_F(StoreTrialsOfAnEdge, TheUsualKindStaysWhileItIsFaster) {
  EXPECT_GE(count_plain(1000), 960);
  EXPECT_GE(count_plain(10'000), 9750);
}

TEST_F(StoreTrialsOfAnEdge, TheFasterKindIsFound) {
  plain_ = microseconds(400);
  count_plain(100);
  EXPECT_LE(count_plain(1000), 10);
}

TEST_F(StoreTrialsOfAnEdge, AChangeForTheWorseIsNoticedAtOnce) {
  count_plain(200);
  plain_ = microseconds(400);
  EXPECT_LE(count_plain(100), 3);
}

TEST_F(StoreTrialsOfAnEdge, AChangeForTheBetterIsNoticedByTrials) {
  plain_ = microseconds(400);
  count_plain(1000);
  plain_ = microseconds(20);
  count_plain(500);
  EXPECT_GE(count_plain(100), 94);
}

TEST_F(StoreTrialsOfAnEdge, WhatTheOtherKindHasLeftBehindDoesNotCount) {
  // Streaming puts all slots out of the cache, and the first plain stores to each bring them back.
  int out_of_cache = first_slots;
  int plain = 0;
  for (int i = 0; i < 1000; ++i) {
    const bool is_plain = trials_.begin() == StoreKind::Plain;
    const auto taken = !is_plain ? microseconds(40) : microseconds(out_of_cache > 0 ? 60 : 24);
    trials_.time([&] { clock_.advance(taken); });
    trials_.end();
    out_of_cache = is_plain ? std::max(0, out_of_cache - 1) : static_cast<int>(first_slots);
    plain += is_plain ? 1 : 0;
  }
  EXPECT_GE(plain, 960);
}

TEST_F(StoreTrialsOfAnEdge, AHopelessTrialEndsAtOnce) {
  plain_ = microseconds(400);
  count_plain(100);
  EXPECT_LE(count_plain(2560), 10);
}

TEST_F(StoreTrialsOfAnEdge, OneInterruptionChangesNothing) {
  count_plain(200);
  plain_ = microseconds(10'000);
  deliver();
  plain_ = microseconds(20);
  EXPECT_GE(count_plain(50), 49);
}

TEST_F(StoreTrialsOfAnEdge, PartsOfADeliveryAddUpAndWhatWasBegunAgainDoesNotCount) {
  streaming_ = microseconds(1);
  for (int i = 0; i < 100; ++i) {
    const bool is_streaming = trials_.begin() == StoreKind::Streaming;
    trials_.time([&] { clock_.advance(microseconds(is_streaming ? 1000 : 1)); });
    static_cast<void>(trials_.begin());
    for (int part = 0; part < 30; ++part) {
      trials_.time([&] { clock_.advance(microseconds(is_streaming ? 1 : 2)); });
    }
    trials_.end();
  }
  EXPECT_EQ(trials_.begin(), StoreKind::Streaming);
}

}  // namespace
}  // namespace bluefog::window
