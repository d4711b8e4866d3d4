#include "window/service.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "window/windows.hpp"

namespace bluefog::window {

namespace {

template <class Wish>
std::optional<Wish> take_first(std::deque<Wish>& wishes) {
  if (wishes.empty()) return {};
  Wish first = std::move(wishes.front());
  wishes.pop_front();
  return first;
}

bool wants_mean(const Neighbor& peer) {
  return peer.edge->means_wanted.load() != peer.edge->means_made.load();
}

}  // namespace

Service::Service(std::shared_ptr<Core> shared)
    : Operation(std::move(shared), "window service", false),
      mirror_trials_(core().windows().store_trials(core().bytes())) {
  core().is_served = true;
}

Service::~Service() {
  core().is_served = false;
  core().ring_self();
}

/// What whoever holds the lock of the tensor may be waiting for.
bool Service::has_pressing_work() {
  if (core().is_retired()) return true;
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
  if (std::ranges::any_of(core().neighbors(), [](const auto& peer) { return wants_mean(*peer); }))
    return true;
  const std::lock_guard lock(core().mutex());
  return !core().wishes().gets.empty() || !core().wishes().means.empty();
}

Task Service::run() {
  while (true) {
    auto work = until("it waits for wishes of others", [this] { return has_work(); });
    co_await work;
    if (core().is_retired()) break;
    fill_mirror();
    grant_locks();
    co_await make_near_means();
    std::optional<FarWishes::Get> get;
    std::optional<FarWishes::Mean> mean;
    {
      const std::lock_guard lock(core().mutex());
      get = take_first(core().wishes().gets);
      mean = take_first(core().wishes().means);
    }
    if (get) co_await send_tensor(*get);
    if (mean) co_await make_far_mean(std::move(*mean));
    co_await yield();
  }
  refuse_wishes();
}

void Service::refuse_wishes() {
  FarWishes wishes;
  {
    const std::lock_guard lock(core().mutex());
    wishes = std::exchange(core().wishes(), {});
    core().wishes().are_served = false;
    for (FarWishes::Lock& wish : wishes.locks) static_cast<void>(wish.lock.release(core().is_dead()));
  }
  for (const FarWishes::Get& wish : wishes.gets) core().windows().refuse(wish.rank, wish.request);
  for (const FarWishes::Mean& wish : wishes.means) core().windows().refuse(wish.rank, wish.request);
  for (const FarWishes::Lock& wish : wishes.locks) {
    if (!wish.is_over && !wish.is_told) core().windows().refuse(wish.rank, wish.request);
  }
}

/// Whoever wants it holds the lock of the tensor.
void Service::fill_mirror() {
  WindowHeader& header = core().header();
  const std::uint64_t wanted = header.mirror_wanted.load();
  if (wanted == header.mirror_filled.load()) return;
  // Who wrote the tensor last, and who writes it next, are threads of this process, but the lock goes through
  // another: a thread sanitizer sees the order only if this one touches the lock too.
  static_cast<void>(header.tensor_lock.holder.fetch_add(0));
  Stores stores = core().stores();
  std::byte* const mirror = core().mirror();
  const auto copy = [&] { stores.scale(core().tensor().dtype, mirror, core().data(), 1.0, core().count()); };
  if (mirror_trials_) {
    stores.use(mirror_trials_->begin());
    mirror_trials_->time(copy);
    mirror_trials_->end();
  } else {
    copy();
  }
  static_cast<void>(header.tensor_lock.holder.fetch_add(0));
  stores.step();
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
      core().windows().answer(wish.rank, wish.request, Envelope{Letter::Done});
    }
  }
  std::erase_if(locks, [](const auto& wish) { return wish.is_over; });
  if (are_released) core().ring_neighbors_of(core().rank());
}

/// Until the condition holds, or the window is closed. Does meanwhile what those may be waiting for on whom
/// the condition depends.
Task Service::serve_until(std::string_view what, base::FunctionRef<bool()> condition) {
  bool holds = condition();
  while (!holds && !core().is_retired()) {
    auto turn = until(std::string(what), [&] { return has_pressing_work() || (holds = condition()); });
    co_await turn;
    if (core().is_retired()) co_return;
    fill_mirror();
    grant_locks();
  }
}

Task Service::acquire_tensor(RankLock& own) {
  co_await serve_until("it waits for the tensor", [&] { return own.try_lock(name()); });
}

/// From a copy, for the link may be slow, and the tensor is not to wait for it.
Task Service::send_tensor(const FarWishes::Get& wish) {
  double weight = 0;
  {
    RankLock own(share_core(), core().tensor_lock(), {});
    co_await acquire_tensor(own);
    if (core().is_retired()) {
      core().windows().refuse(wish.rank, wish.request);
      co_return;
    }
    snapshot_.resize(core().bytes());
    Stores().scale(core().tensor().dtype, snapshot_.data(), core().data(), wish.weight, core().count());
    weight = core().header().push_sum_weight.load();
  }
  co_await send_pieces(wish.rank, wish.request, weight, snapshot_.data());
}

Task Service::send_pieces(int rank, std::uint64_t request, double weight, const std::byte* bytes) {
  Envelope envelope{Letter::Value};
  envelope.weight = weight;
  do {
    co_await serve_until("a connection is full", [this, rank] {
      return core().transport().has_room_for_notes(rank) || core().is_lost(rank);
    });
    const std::size_t piece = std::min(core().bytes() - envelope.offset, piece_bytes);
    envelope.is_last = envelope.offset + piece == core().bytes();
    core().windows().answer(rank, request, envelope, {bytes + envelope.offset, piece});
    envelope.offset += piece;
  } while (!envelope.is_last);
}

Task Service::make_near_means() {
  for (const auto& peer : core().neighbors()) {
    const std::uint64_t wanted = peer->edge->means_wanted.load();
    if (wanted == peer->edge->means_made.load()) continue;
    // Its writer waits, so its slot keeps its role.
    const auto hidden = EdgeWord::unpack(peer->edge->word.load(std::memory_order_acquire)).hidden;
    const std::uint64_t offset = peer->edge->slots[hidden].offset.load(std::memory_order_acquire);
    co_await make_mean(core().transport().map(core().rank(), offset, core().bytes()));
    if (core().is_retired()) co_return;  // whoever waits for it sees that
    core().stores().step();
    peer->edge->means_made.store(wanted);
    core().transport().nudge(peer->rank);
  }
}

Task Service::make_far_mean(FarWishes::Mean wish) {
  co_await make_mean(wish.bytes.data());
  if (core().is_retired()) {
    core().windows().refuse(wish.rank, wish.request);
    co_return;
  }
  co_await send_pieces(wish.rank, wish.request, 0, wish.bytes.data());
}

Task Service::make_mean(std::byte* theirs) {
  RankLock own(share_core(), core().tensor_lock(), {});
  co_await acquire_tensor(own);
  if (core().is_retired()) co_return;
  core().stores().mean(core().tensor().dtype, core().data(), theirs, core().count());
  core().tensor_changes.fetch_add(1);
}

}  // namespace bluefog::window
