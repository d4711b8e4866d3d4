#include "window/rank_lock.hpp"

#include <utility>

#include <bluefog/error.hpp>

#include "engine/operation.hpp"
#include "window/windows.hpp"

namespace bluefog::window {

RankLock::RankLock(std::shared_ptr<Core> core, LockPlace& place, std::thread::id caller)
    : core_(std::move(core)), place_(&place), caller_(caller) {
  if (place.words != nullptr) lock_ = RobustLock(*place.words, core_->windows().self(), core_->stores());
}

RankLock::RankLock(RankLock&& other) noexcept
    : core_(std::move(other.core_)),
      place_(other.place_),
      caller_(other.caller_),
      is_in_(std::exchange(other.is_in_, false)),
      lock_(other.lock_),
      answer_(std::move(other.answer_)),
      request_(other.request_) {}

std::string RankLock::describe() const {
  std::string what = place_->source < 0 ? "the tensor of " + engine::rank_text(place_->rank)
                                        : "the mutex of " + engine::rank_text(place_->source) + " at " +
                                              engine::rank_text(place_->rank);
  if (place_->words == nullptr) return what;
  const int holder = lock_.holder().rank();
  return what + (holder < 0 ? "" : ", which " + engine::rank_text(holder) + " holds");
}

int RankLock::awaited_peer() const {
  const int rank = place_->words == nullptr ? place_->rank : lock_.holder().rank();
  return rank == core_->rank() ? -1 : rank;
}

bool RankLock::enter_process() {
  const std::lock_guard lock(core_->mutex());
  if (!place_->is_busy) {
    place_->is_busy = true;
    is_in_ = true;
  }
  return is_in_;
}

void RankLock::leave_process() {
  {
    const std::lock_guard lock(core_->mutex());
    place_->is_busy = false;
    place_->kept_by = {};
  }
  is_in_ = false;
  core_->ring_self();
}

bool RankLock::try_lock(std::string_view operation) {
  if (!is_in_ && !enter_process()) {
    const std::lock_guard lock(core_->mutex());
    if (place_->kept_by != caller_ || caller_ == std::thread::id()) return false;
    if (place_->source < 0) return true;  // the thread that edits the tensor makes a call about it
    throw InvalidArgument(core_->describe_call(operation) + ": this thread holds the mutex of " +
                          engine::rank_text(place_->source) + " at " + engine::rank_text(place_->rank) +
                          " already; release it first");
  }
  if (place_->words != nullptr) {
    if (lock_.try_lock(core_->is_dead())) return true;
  } else {
    if (answer_ == nullptr) ask_far();
    if (answer_->state.load(std::memory_order_acquire) == Answer::State::Done) return true;
  }
  if (core_->is_lost(place_->rank)) core_->throw_lost(operation, place_->rank, "");
  if (answer_ != nullptr && answer_->state.load(std::memory_order_acquire) == Answer::State::Refused) {
    throw InvalidArgument(core_->describe_call(operation) + ": " + engine::rank_text(place_->rank) + " " +
                          answer_->reason);
  }
  return false;
}

void RankLock::ask_far() {
  answer_ = std::make_shared<Answer>();
  answer_->peer = place_->rank;
  request_ = core_->windows().expect(answer_);
  const std::uint64_t topic = core_->neighbor(place_->rank)->there.topic;
  core_->stores().step();
  core_->transport().send_note(place_->rank, {topic, request_, Envelope{Letter::Lock}.words()});
}

void RankLock::keep() {
  const std::lock_guard lock(core_->mutex());
  place_->kept_by = caller_;
}

void RankLock::release() noexcept {
  if (!is_in_) return;
  if (place_->words != nullptr) {
    if (lock_.release(core_->is_dead())) core_->ring_neighbors_of(place_->rank);
  } else if (answer_ != nullptr) {
    core_->windows().expect_no_more(request_);
    const std::uint64_t topic = core_->neighbor(place_->rank)->there.topic;
    core_->stores().step();
    core_->transport().send_note(place_->rank, {topic, request_, Envelope{Letter::Unlock}.words()});
    answer_.reset();
  }
  leave_process();
}

}  // namespace bluefog::window
