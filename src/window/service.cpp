#include "window/service.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "window/windows.hpp"

namespace bluefog::window {

/// What whoever holds the lock of the tensor may be waiting for.
bool Service::has_pressing_work() {
  if (core().is_closed()) return true;
  const WindowHeader& header = core().header();
  if (header.mirror_wanted.load() != header.mirror_filled.load()) return true;
  const std::lock_guard lock(core().mutex());
  return std::ranges::any_of(core().wishes().locks, [this](FarWishes::Lock& wish) {
    if (wish.is_over || core().is_lost(wish.rank)) return true;
    if (!wish.is_granted) wish.is_granted = wish.lock.try_lock(core().is_dead());
    return wish.is_granted && !wish.is_told;
  });
}

bool Service::has_work() {
  if (has_pressing_work()) return true;
  const std::lock_guard lock(core().mutex());
  return !core().wishes().gets.empty();
}

Task Service::run() {
  while (true) {
    auto work = until("it waits for wishes of others", [this] { return has_work(); });
    co_await work;
    if (core().is_closed()) break;
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
  refuse_wishes();
}

void Service::refuse_wishes() {
  FarWishes wishes;
  {
    const std::lock_guard lock(core().mutex());
    wishes.gets = std::exchange(core().wishes().gets, {});
    core().wishes().are_served = false;
  }
  for (const FarWishes::Get& wish : wishes.gets) core().windows().refuse(wish.rank, wish.request);
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
  auto& locks = core().wishes().locks;
  bool are_released = false;
  for (FarWishes::Lock& wish : locks) {
    wish.is_over = wish.is_over || core().is_lost(wish.rank);
    if (wish.is_over) {
      are_released = wish.lock.release(core().is_dead()) || are_released;
    } else if (wish.is_granted && !std::exchange(wish.is_told, true)) {
      core().transport().send_note(wish.rank, {0, wish.request, Envelope{Letter::Done}.words()});
    }
  }
  std::erase_if(locks, [](const auto& wish) { return wish.is_over; });
  if (are_released) core().ring_neighbors_of(core().rank());
}

/// Does meanwhile what its holder may be waiting for.
Task Service::acquire_tensor(RankLock& own) {
  bool is_held = own.try_lock(name());
  while (!is_held) {
    auto turn = until("it waits for the tensor",
                      [&] { return has_pressing_work() || (is_held = own.try_lock(name())); });
    co_await turn;
    if (core().is_closed()) co_return;
    fill_mirror();
    grant_locks();
  }
}

/// From a copy, for the link may be slow, and the tensor is not to wait for it.
Task Service::send_tensor(const FarWishes::Get& wish) {
  const std::size_t element = size_of(core().tensor().dtype);
  Envelope envelope{Letter::Value};
  {
    RankLock own(share_core(), core().tensor_lock(), {});
    co_await acquire_tensor(own);
    if (core().is_closed()) {
      core().windows().refuse(wish.rank, wish.request);
      co_return;
    }
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
