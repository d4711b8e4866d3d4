// Operations whose tensors something else still writes: they keep their place in the order of calls, and
// start when a word says so.

#include <algorithm>
#include <chrono>

#include "engine/engine.hpp"

namespace bluefog::engine {

namespace {

// Nobody rings when the word is set. Pauses as long as the wait so far cost little, and add little to it.
constexpr base::Duration shortest_pause = std::chrono::microseconds(50);
constexpr base::Duration longest_pause = std::chrono::milliseconds(1);

}  // namespace

/// Under both locks: whether the first of those submitted may be posted. One that has to give up before it is
/// ready may: it is posted with the error, for its peers wait for this call.
bool Engine::may_begin(Operation& operation) {
  Request& request = operation.request();
  if (request.ready == nullptr) return true;
  const bool is_ready = request.ready->load(std::memory_order_acquire) != 0;
  if (!is_ready && !operation.trouble && !request.local_error) {
    const base::TimePoint now = clock().now();
    const base::Duration waited = now - operation.started;
    next_look_.store(now + std::clamp(waited, shortest_pause, longest_pause));
    return false;
  }
  if (!is_ready && !request.local_error) request.local_error = operation.trouble;
  request.ready = nullptr;
  next_look_.store(base::TimePoint::max());
  return true;
}

bool Engine::waits_for_word() const {
  return next_look_.load() != base::TimePoint::max();
}

void Engine::check_time_of_next(base::TimePoint now) {
  if (!waits_for_word()) return;
  const std::lock_guard lock(submit_mutex_);
  if (incoming_.empty()) return;
  check_time(*incoming_.front(), now,
             ". The device has not finished the copy of it; raise BLUEFOG_OP_TIMEOUT if this is meant");
}

}  // namespace bluefog::engine
