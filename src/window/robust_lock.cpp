#include "window/robust_lock.hpp"

#include <thread>

namespace bluefog::window {

/// Nobody makes it this rank's own but who hands it over.
bool RobustLock::may_take(std::uint64_t seen, IsDead is_dead) const {
  if (seen == self_.bits()) return is_waiting_;
  return seen == 0 || is_dead(LockOwner::from(seen));
}

bool RobustLock::try_lock(IsDead is_dead) {
  const std::uint64_t seen = words_->holder.load();
  is_held_ =
      may_take(seen, is_dead) && (seen == self_.bits() || exchange(words_->holder, seen, self_.bits()));
  if (is_held_) {
    leave(is_dead);
    return true;
  }
  enter();
  return false;
}

void RobustLock::enter() {
  if (!is_waiting_) {
    is_waiting_ = true;
    stores_.step();
    words_->contenders.fetch_add(1);
  }
  if (!has_asked_) has_asked_ = words_->next.load() == 0 && exchange(words_->next, 0, self_.bits());
}

/// Ends the wait. Whoever was asked to hand the lock over may be about to do so.
void RobustLock::leave(IsDead is_dead) {
  if (!is_waiting_) return;
  is_waiting_ = false;
  const LockOwner before = holder();
  if (has_asked_ && !exchange(words_->next, self_.bits(), 0) && !is_held_) {
    while (holder() == before && before != self_ && !is_dead(before)) std::this_thread::yield();
    is_held_ = holder() == self_;
  }
  has_asked_ = false;
  stores_.step();
  words_->contenders.fetch_sub(1);
}

bool RobustLock::release(IsDead is_dead) {
  leave(is_dead);
  if (is_held_) unlock(is_dead);
  return words_->contenders.load() > 0;
}

void RobustLock::unlock(IsDead is_dead) {
  is_held_ = false;
  std::uint64_t next = words_->next.load();
  if (next != 0 && !exchange(words_->next, next, 0)) next = 0;  // it has just gone
  if (next != 0 && is_dead(LockOwner::from(next))) next = 0;
  static_cast<void>(exchange(words_->holder, self_.bits(), next));
}

}  // namespace bluefog::window
