#include "window/average.hpp"

#include <algorithm>

#include "engine/operation.hpp"
#include "window/arguments.hpp"
#include "window/windows.hpp"

namespace bluefog::window {

AverageOperation::AverageOperation(std::shared_ptr<Core> shared, int rank)
    : Operation(std::move(shared), "average_with", true) {
  const ArgumentCheck check(core(), name());
  if (!core().averages()) check.fail("the window was not opened for it; set WindowOptions::averages");
  if (!is_floating(core().tensor().dtype)) check.fail("only floating dtypes have means");
  static_cast<void>(check.edges(Weights{{rank, 1.0}}, core().row().destinations, "rank"));
  peer_ = core().neighbor(rank);
}

void AverageOperation::for_each_peer(base::FunctionRef<void(int, std::size_t, std::size_t)> tell) const {
  if (is_done_) tell(peer_->rank, bytes(), bytes());
}

Task AverageOperation::run() {
  core().require_open(name(), *peer_);
  co_await take_snapshot();
  mean_.resize(core().bytes());
  if (peer_->is_far) {
    co_await exchange_far();
  } else {
    co_await exchange_near();
  }
  co_await apply();
  is_done_ = true;
}

Task AverageOperation::take_snapshot() {
  RankLock own = lock_at(core().tensor_lock());
  co_await acquire(own);
  snapshot_.assign(core().data(), core().data() + core().bytes());
  changes_before_ = core().tensor_changes.load();
}

Task AverageOperation::exchange_near() {
  EdgeHeader& edge = *peer_->there.edge;
  co_await slot_at(*peer_);
  std::byte* const slot = peer_->writer->hidden();
  const Stores& stores = core().stores();
  stores.scale(core().tensor().dtype, slot, snapshot_.data(), 1.0, core().count());
  stores.step();
  edge.means_wanted.fetch_add(1);
  core().transport().nudge(peer_->rank);
  co_await slot_at(*peer_);
  std::copy_n(slot, core().bytes(), mean_.data());
}

Task AverageOperation::exchange_far() {
  const Request request(core().windows(), peer_->rank, mean_.data(), mean_.size());
  Envelope envelope{Letter::MeanPiece};
  while (envelope.offset < core().bytes()) {
    co_await room_to(peer_->rank);
    const std::size_t piece = std::min(core().bytes() - envelope.offset, piece_bytes);
    send(*peer_, request.number(), envelope, {snapshot_.data() + envelope.offset, piece});
    envelope.offset += piece;
  }
  send(*peer_, request.number(), Envelope{Letter::Mean});
  co_await receive(request.answer());
}

Task AverageOperation::apply() {
  RankLock own = lock_at(core().tensor_lock());
  co_await acquire(own);
  const DType dtype = core().tensor().dtype;
  if (core().tensor_changes.load() == changes_before_) {
    core().stores().scale(dtype, core().data(), mean_.data(), 1.0, core().count());
    co_return;
  }
  core().stores().add_change(dtype, core().data(), mean_.data(), snapshot_.data(), core().count());
}

}  // namespace bluefog::window
