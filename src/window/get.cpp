#include "window/get.hpp"

#include "engine/operation.hpp"
#include "window/arguments.hpp"
#include "window/windows.hpp"

namespace bluefog::window {

GetOperation::GetOperation(std::shared_ptr<Core> shared, const WindowGetOptions& options)
    : Operation(std::move(shared), "win_get", true),
      requires_mutex_(options.require_mutex),
      moves_weights_(core().windows().moves_weights(options)) {
  const ArgumentCheck check(core(), name());
  for (const auto& [peer, weight] : check.edges(options.src_weights, core().row().sources, "src_weights")) {
    sources_.push_back({core().neighbor(peer), weight});
  }
}

void GetOperation::for_each_peer(base::FunctionRef<void(int, std::size_t, std::size_t)> tell) const {
  if (!is_done_) return;
  for (const Source& source : sources_) tell(source.peer->rank, 0, bytes());
}

Task GetOperation::run() {
  for (const Source& source : sources_) core().require_open(name(), *source.peer);
  std::vector<RankLock> mutexes;
  if (requires_mutex_) {
    mutexes.reserve(sources_.size());
    for (const Source& source : sources_) {
      co_await acquire(mutexes.emplace_back(lock_at(source.peer->mutex_there)));
    }
  }
  std::vector<Request> requests;
  requests.reserve(sources_.size());
  for (const Source& source : sources_) {
    if (!source.peer->is_far) continue;
    const Request& request =
        requests.emplace_back(core().windows(), source.peer->rank, source.peer->reader->spare(), bytes());
    Envelope envelope{Letter::Get};
    envelope.weight = source.weight;
    send(*source.peer, request.number(), envelope);
  }
  for (const Source& source : sources_) {
    if (!source.peer->is_far) co_await read_near(source);
  }
  for (const Request& request : requests) {
    co_await receive(request.answer());
    for (const Source& source : sources_) {
      if (source.peer->rank == request.answer().peer) accept(source, request.answer().weight * source.weight);
    }
  }
  is_done_ = true;
}

Task GetOperation::read_near(const Source& source) {
  RankLock theirs = lock_at(source.peer->tensor_there);
  co_await acquire(theirs);
  if (source.peer->there.tensor != nullptr) {
    copy(source, source.peer->there.tensor);
  } else {
    co_await read_mirror(source);
  }
  const double weight = source.peer->there.header->push_sum_weight.load() * source.weight;
  theirs.release();
  accept(source, weight);
}

/// The owner's background thread fills it.
Task GetOperation::read_mirror(const Source& source) {
  const int rank = source.peer->rank;
  WindowHeader& header = *source.peer->there.header;
  core().stores().step();
  const std::uint64_t wish = header.mirror_wanted.fetch_add(1) + 1;
  core().transport().nudge(rank);
  auto filled = until(
      "it waits for a copy of the private tensor of " + engine::rank_text(rank),
      [&] {
        return header.mirror_filled.load() >= wish || core().is_lost(rank) || header.is_open.load() == 0;
      },
      rank);
  co_await filled;
  if (header.mirror_filled.load() < wish) core().require_open(name(), *source.peer);
  copy(source, core().transport().map(rank, header.mirror_offset.load(), bytes()));
}

void GetOperation::copy(const Source& source, const std::byte* tensor) {
  core().stores().scale(core().tensor().dtype, source.peer->reader->spare(), tensor, source.weight,
                        core().count());
}

void GetOperation::accept(const Source& source, double push_sum_weight) {
  EdgeReader& reader = *source.peer->reader;
  const std::lock_guard lock(core().mutex());
  reader.replace();
  reader.count_get();
  if (moves_weights_) reader.set_weight(push_sum_weight);
}

}  // namespace bluefog::window
