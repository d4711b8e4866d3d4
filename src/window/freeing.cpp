#include "window/freeing.hpp"

#include <algorithm>

#include "engine/operation.hpp"
#include "window/windows.hpp"

namespace bluefog::window {

FreeOperation::FreeOperation(std::shared_ptr<Core> shared) : Operation(std::move(shared), "win_free", false) {
  core().windows().engine().require_home();
  core().close_to_calls(name());
  attempt_.emplace(share_core());
}

FreeOperation::Attempt::~Attempt() {
  if (core_ != nullptr) core_->end_freeing(has_succeeded);
}

bool FreeOperation::is_done_with(const Neighbor& peer) const {
  return core().is_lost(peer.rank) ||
         (peer.is_far ? peer.has_closed.load(std::memory_order_acquire)
                      : peer.edge->is_closed.load(std::memory_order_acquire) != 0);
}

Task FreeOperation::run() {
  Attempt attempt = std::move(*attempt_);  // it ends when this does, whatever comes
  if (core().is_first_to_tell()) tell_neighbors();
  for (const auto& peer : core().neighbors()) {
    auto closed = until(
        "it waits for " + engine::rank_text(peer->rank) + " to free the window too",
        [&] { return is_done_with(*peer); }, peer->rank);
    co_await closed;
  }
  core().retire();
  auto alone = until("it waits for its own background thread", [this] { return !core().is_served.load(); });
  co_await alone;
  core().windows().forget(core());
  core().release_memory();
  attempt.has_succeeded = true;
}

void FreeOperation::tell_neighbors() {
  for (const auto& peer : core().neighbors()) {
    if (peer->is_far) {
      send(*peer, 0, Envelope{Letter::Close});
      continue;
    }
    core().stores().step();
    peer->there.edge->is_closed.store(1, std::memory_order_release);
    core().transport().nudge(peer->rank);
  }
}

}  // namespace bluefog::window
