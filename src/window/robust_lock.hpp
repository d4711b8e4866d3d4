#pragma once
/// @file robust_lock.hpp  A lock between ranks that outlives the death of its holder.

#include <cstdint>

#include "base/function_ref.hpp"
#include "window/layout.hpp"
#include "window/stores.hpp"

namespace bluefog::window {

/// Who holds a lock: a rank, and which of its lives. Never 0.
class LockOwner {
 public:
  LockOwner() = default;
  LockOwner(int rank, std::uint32_t incarnation)
      : bits_(std::uint64_t{incarnation} << 32 | (static_cast<std::uint32_t>(rank) + 1)) {}
  [[nodiscard]] static LockOwner from(std::uint64_t bits) {
    LockOwner owner;
    owner.bits_ = bits;
    return owner;
  }
  [[nodiscard]] std::uint64_t bits() const noexcept { return bits_; }
  /// -1: nobody.
  [[nodiscard]] int rank() const noexcept { return static_cast<int>(bits_ & 0xffffffffU) - 1; }
  friend bool operator==(const LockOwner&, const LockOwner&) = default;

 private:
  std::uint64_t bits_ = 0;
};

/// Whether an owner cannot release a lock any more.
using IsDead = base::FunctionRef<bool(LockOwner owner)>;

/// One way of an owner to a lock, over many tries, and back. A lock is released to whoever asked next, so a
/// rank that takes it again and again keeps nobody out.
class RobustLock {
 public:
  RobustLock() = default;
  RobustLock(LockWords& words, LockOwner self, Stores stores = Stores())
      : words_(&words), self_(self), stores_(stores) {}

  [[nodiscard]] bool is_held() const noexcept { return is_held_; }
  /// Whether a try has a chance.
  [[nodiscard]] bool may_lock(IsDead is_dead) const { return may_take(words_->holder.load(), is_dead); }
  /// After a try in vain the caller is rung when another may succeed.
  [[nodiscard]] bool try_lock(IsDead is_dead);
  /// Gives back what is held, or asks no more. @returns whether somebody else wants to be rung
  bool release(IsDead is_dead);
  /// Whoever has it now.
  [[nodiscard]] LockOwner holder() const {
    return LockOwner::from(words_->holder.load(std::memory_order_acquire));
  }

 private:
  [[nodiscard]] bool may_take(std::uint64_t seen, IsDead is_dead) const;
  void enter();
  void leave(IsDead is_dead);
  void unlock(IsDead is_dead);
  [[nodiscard]] bool exchange(std::atomic<std::uint64_t>& word, std::uint64_t expected,
                              std::uint64_t wanted) {
    stores_.step();
    return word.compare_exchange_strong(expected, wanted);
  }

  LockWords* words_ = nullptr;
  LockOwner self_;
  Stores stores_;
  bool is_held_ = false;
  bool is_waiting_ = false;
  bool has_asked_ = false;  ///< to be the next
};

}  // namespace bluefog::window
