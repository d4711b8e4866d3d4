// The lock between ranks: one holder at a time, in turn, and none that is dead.

#include <array>
#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "window/robust_lock.hpp"

namespace bluefog::window {
namespace {

class RobustLocks : public testing::Test {
 protected:
  RobustLock lock_of(int rank, StoreHook* hook = nullptr) {
    return {words_, LockOwner(rank, 7), Stores(hook)};
  }
  bool try_lock(RobustLock& lock) { return lock.try_lock(is_dead_); }
  bool release(RobustLock& lock) { return lock.release(is_dead_); }
  void bury(int rank) { dead_.insert(rank); }
  int holder() { return lock_of(0).holder().rank(); }

 private:
  LockWords words_{};
  std::set<int> dead_;
  std::function<bool(LockOwner)> death_ = [this](LockOwner owner) { return dead_.contains(owner.rank()); };
  IsDead is_dead_ = death_;
};

TEST_F(RobustLocks, IsHeldByOne) {
  auto a = lock_of(0);
  auto b = lock_of(1);
  EXPECT_TRUE(try_lock(a));
  EXPECT_FALSE(try_lock(b));
  EXPECT_FALSE(try_lock(b));
  EXPECT_EQ(holder(), 0);
}

TEST_F(RobustLocks, GoesToWhoAskedNotToWhoTakesItAgain) {
  auto a = lock_of(0);
  auto b = lock_of(1);
  ASSERT_TRUE(try_lock(a));
  ASSERT_FALSE(try_lock(b));
  EXPECT_TRUE(release(a)) << "somebody wants to be rung";
  auto again = lock_of(0);
  EXPECT_FALSE(try_lock(again));
  EXPECT_TRUE(try_lock(b));
  release(b);
  EXPECT_TRUE(try_lock(again));
  EXPECT_FALSE(release(again));
}

TEST_F(RobustLocks, IsTakenFromTheDead) {
  auto a = lock_of(0);
  auto b = lock_of(1);
  ASSERT_TRUE(try_lock(a));
  ASSERT_FALSE(try_lock(b));
  bury(0);
  EXPECT_TRUE(try_lock(b));
}

TEST_F(RobustLocks, IsNotHandedToTheDead) {
  auto a = lock_of(0);
  auto b = lock_of(1);
  auto c = lock_of(2);
  ASSERT_TRUE(try_lock(a));
  ASSERT_FALSE(try_lock(b));
  bury(1);
  release(a);
  EXPECT_TRUE(try_lock(c));
}

TEST_F(RobustLocks, WhoGivesUpIsNotHandedIt) {
  auto a = lock_of(0);
  auto b = lock_of(1);
  auto c = lock_of(2);
  ASSERT_TRUE(try_lock(a));
  ASSERT_FALSE(try_lock(b));
  release(b);
  release(a);
  EXPECT_EQ(holder(), -1);
  EXPECT_TRUE(try_lock(c));
}

TEST_F(RobustLocks, WhoGivesUpAfterItWasHandedOverPassesItOn) {
  auto a = lock_of(0);
  auto b = lock_of(1);
  auto c = lock_of(2);
  ASSERT_TRUE(try_lock(a));
  ASSERT_FALSE(try_lock(b));
  release(a);
  ASSERT_EQ(holder(), 1);
  release(b);
  EXPECT_TRUE(try_lock(c));
}

/// Ends the rank at one store.
class Ending final : public StoreHook {
 public:
  explicit Ending(int at) : left_(at) {}
  void before_store() override {
    if (left_-- == 0) throw std::runtime_error("dead");
  }

 private:
  int left_;
};

TEST_F(RobustLocks, SurvivesADeathAtAnyStore) {
  bool has_died = true;
  for (int store = 0; has_died; ++store) {
    Ending ending(store);
    auto mortal = lock_of(10 + store, &ending);
    auto first = lock_of(0);
    auto second = lock_of(1);
    ASSERT_TRUE(try_lock(first));
    has_died = false;
    try {
      EXPECT_FALSE(try_lock(mortal));
      EXPECT_FALSE(try_lock(second));
      release(first);
      if (!try_lock(mortal)) release(mortal);
      release(mortal);
    } catch (const std::runtime_error&) {
      has_died = true;
      bury(10 + store);
      release(first);
    }
    auto third = lock_of(2);
    bool is_locked = try_lock(second);
    if (is_locked) release(second);
    for (int tries = 0; !is_locked && tries < 3; ++tries) is_locked = try_lock(third);
    EXPECT_TRUE(is_locked || third.is_held()) << "after a death at store " << store;
    release(second);
    release(third);
    EXPECT_EQ(holder(), -1) << "after a death at store " << store;
  }
}

TEST_F(RobustLocks, LetsOneThreadInAtATime) {
  constexpr int threads = 4;
  constexpr int rounds = 2000;
  std::atomic<int> inside{0};
  std::array<int, threads> taken{};
  std::vector<std::jthread> all;
  for (int rank = 0; rank < threads; ++rank) {
    all.emplace_back([&, rank] {
      for (int round = 0; round < rounds; ++round) {
        auto lock = lock_of(rank);
        bool gives_up = round % 7 == 3;
        while (!try_lock(lock)) {
          if (std::exchange(gives_up, false)) {
            release(lock);
            lock = lock_of(rank);
          }
          std::this_thread::yield();
        }
        EXPECT_EQ(inside.fetch_add(1), 0);
        ++taken[static_cast<std::size_t>(rank)];
        inside.fetch_sub(1);
        release(lock);
      }
    });
  }
  all.clear();
  for (const int count : taken) EXPECT_EQ(count, rounds);
  EXPECT_EQ(holder(), -1);
}

}  // namespace
}  // namespace bluefog::window
