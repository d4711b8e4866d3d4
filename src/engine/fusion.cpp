// Small operations start together: what they tell the peers goes in one batch. They stay separate operations,
// so that nobody has to agree on which go together.

#include "engine/engine.hpp"

namespace bluefog::engine {

namespace {

/// How long a non-blocking operation waits for others. Waking a thread takes about a third of it.
constexpr base::Duration patience = std::chrono::microseconds(200);

}  // namespace

bool Engine::is_small(const Operation& operation) {
  return operation.request().input.bytes() <= eager_bytes;
}

/// Under submit_mutex_: whether the operation, which is the last of those submitted, may wait for more.
Engine::Gathering Engine::gather(const Operation& operation) {
  const bool was_gathering = is_gathering();
  gathered_bytes_ += operation.request().input.bytes();
  if (!operation.is_async || !is_small(operation) || gathered_bytes_ >= config_.fusion_threshold) {
    end_gathering();
    return Gathering::No;
  }
  if (was_gathering) return Gathering::GoesOn;
  gathering_ends_.store(clock().now() + patience);
  return Gathering::Begins;
}

bool Engine::is_gathering() const {
  return gathering_ends_.load() != base::TimePoint::max();
}

void Engine::end_gathering() {
  gathered_bytes_ = 0;
  gathering_ends_.store(base::TimePoint::max());
}

/// As drive(), but leaves alone what still waits for others.
bool Engine::drive_gathered() {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  return lock.owns_lock() && pass(!is_gathering() || clock().now() >= gathering_ends_.load());
}

}  // namespace bluefog::engine
