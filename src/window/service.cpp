#include "window/service.hpp"

#include <algorithm>
#include <optional>

#include "window/windows.hpp"

namespace bluefog::window {

bool Service::has_work() {
  if (core().is_closed()) return true;
  const WindowHeader& header = core().header();
  if (header.mirror_wanted.load() != header.mirror_filled.load()) return true;
  const std::lock_guard lock(core().mutex());
  FarWishes& wishes = core().wishes();
  return wishes.are_new || !wishes.gets.empty() ||
         std::ranges::any_of(wishes.locks, [](const auto& wish) { return !wish.is_granted; });
}

Task Service::run() {
  while (true) {
    auto work = until("it waits for wishes of others", [this] { return has_work(); });
    co_await work;
    if (core().is_closed()) co_return;
    fill_mirror();
    grant_locks();
    std::optional<FarWishes::Get> wish;
    {
      const std::lock_guard lock(core().mutex());
      FarWishes& wishes = core().wishes();
      if (!wishes.gets.empty()) {
        wish = wishes.gets.front();
        wishes.gets.pop_front();
      }
    }
    if (wish) co_await send_tensor(*wish);
    co_await yield();
  }
}

/// Whoever wants it holds the lock of the tensor.
void Service::fill_mirror() {
  WindowHeader& header = core().header();
  const std::uint64_t wanted = header.mirror_wanted.load();
  if (wanted == header.mirror_filled.load()) return;
  core().stores().scale(core().tensor().dtype, core().mirror(), core().data(), 1.0, core().count());
  core().stores().step();
  header.mirror_filled.store(wanted);
  core().ring_neighbors_of(core().rank());
}

/// In the name of the far ranks.
void Service::grant_locks() {
  const std::lock_guard lock(core().mutex());
  core().wishes().are_new = false;
  auto& locks = core().wishes().locks;
  bool are_released = false;
  for (FarWishes::Lock& wish : locks) {
    wish.is_over = wish.is_over || core().is_lost(wish.rank);
    if (wish.is_over) {
      are_released = wish.lock.release(core().is_dead()) || are_released;
    } else if (!wish.is_granted && wish.lock.try_lock(core().is_dead())) {
      wish.is_granted = true;
      core().transport().send_note(wish.rank, {0, wish.request, Envelope{Letter::Done}.words()});
    }
  }
  std::erase_if(locks, [](const auto& wish) { return wish.is_over; });
  if (are_released) core().ring_neighbors_of(core().rank());
}

/// From a copy, for the link may be slow, and the tensor is not to wait for it.
Task Service::send_tensor(const FarWishes::Get& wish) {
  const std::size_t element = size_of(core().tensor().dtype);
  Envelope envelope{Letter::Value};
  {
    RankLock own(share_core(), core().tensor_lock(), {});
    co_await acquire(own);
    snapshot_.resize(core().bytes());
    Stores().scale(core().tensor().dtype, snapshot_.data(), core().data(), wish.weight, core().count());
    envelope.weight = core().header().push_sum_weight.load();
  }
  const std::size_t piece = piece_bytes / element * element;
  do {
    co_await room_to(wish.rank);
    const std::size_t bytes = std::min(snapshot_.size() - envelope.offset, piece);
    envelope.is_last = envelope.offset + bytes == snapshot_.size();
    core().transport().send_note(
        wish.rank, {0, wish.request, envelope.words(), {snapshot_.data() + envelope.offset, bytes}, {}});
    envelope.offset += bytes;
  } while (!envelope.is_last);
}

}  // namespace bluefog::window
