#include "window/delivery.hpp"

#include <algorithm>

#include "window/arguments.hpp"
#include "window/windows.hpp"

namespace bluefog::window {

namespace {

constexpr std::string_view name_of(Delivery delivery) {
  return delivery == Delivery::Put ? "win_put" : "win_accumulate";
}

}  // namespace

DeliveryOperation::DeliveryOperation(std::shared_ptr<Core> shared, Delivery delivery, const SentTensor& value,
                                     const WindowPutOptions& options)
    : Operation(std::move(shared), name_of(delivery), true),
      delivery_(delivery),
      value_(value),
      self_weight_(options.self_weight),
      requires_mutex_(options.require_mutex),
      moves_weights_(core().windows().moves_weights(options)) {
  const ArgumentCheck check(core(), name());
  check.like_the_window(value.tensor);
  if (delivery == Delivery::Accumulate && value.tensor.dtype == DType::Bool) {
    check.fail("Bool cannot be added; use put");
  }
  if (self_weight_) {
    check.weight(*self_weight_, "self_weight");
    if (value.writable == nullptr && *self_weight_ != 1.0) {
      check.fail("self_weight changes the tensor that is sent, which is const here; give a writable one");
    }
  }
  for (const auto& [peer, weight] :
       check.edges(options.dst_weights, core().row().destinations, "dst_weights")) {
    destinations_.push_back({core().neighbor(peer), weight});
  }
}

void DeliveryOperation::for_each_peer(base::FunctionRef<void(int, std::size_t, std::size_t)> tell) const {
  if (!is_delivered_) return;
  for (const Destination& to : destinations_) tell(to.peer->rank, bytes(), 0);
}

Task DeliveryOperation::run() {
  for (const Destination& to : destinations_) core().require_open(name(), *to.peer);
  std::vector<RankLock> mutexes;
  if (requires_mutex_) {
    mutexes.reserve(destinations_.size());
    for (const Destination& to : destinations_) {
      co_await acquire(mutexes.emplace_back(lock_at(to.peer->mutex_there)));
    }
  }
  RankLock own = lock_at(core().tensor_lock());
  co_await acquire(own);
  co_await deliver_near();
  own.release();  // a link may be slow, and nobody should wait for it who reads the tensor
  std::vector<Request> requests;
  requests.reserve(destinations_.size());
  for (const Destination& to : destinations_) {
    if (!to.peer->is_far) continue;
    const Request& request = requests.emplace_back(core().windows(), to.peer->rank);
    co_await deliver_far(*to.peer, to.weight, request);
  }
  if (self_weight_) {
    co_await acquire(own);
    scale_own();
    own.release();
  }
  is_delivered_ = true;
  for (const Request& request : requests) co_await receive(request.answer());
  for (const Destination& to : destinations_) {
    if (core().is_lost(to.peer->rank))
      core().throw_lost(name(), to.peer->rank, "all others have got their parts; ");
  }
}

/// A piece for all before the next: it is read from memory once.
Task DeliveryOperation::deliver_near() {
  const std::size_t element = size_of(core().tensor().dtype);
  const std::size_t piece = piece_bytes / element;
  const std::optional<double> push_sum =
      moves_weights_ ? std::optional(core().header().push_sum_weight.load()) : std::nullopt;
  std::vector<Destination> open;
  std::ranges::copy_if(destinations_, std::back_inserter(open),
                       [](const auto& to) { return !to.peer->is_far; });
  for (const Destination& to : open) {
    if (core().averages()) co_await slot_at(*to.peer);
  }
  while (!open.empty()) {
    for (const Destination& to : open) to.peer->writer->begin(delivery_);
    for (std::size_t first = 0; first < core().count(); first += piece) {
      if (first > 0) co_await yield();
      const std::size_t last = std::min(core().count(), first + piece);
      for (const Destination& to : open) {
        to.peer->writer->write(value() + first * element, to.weight, first, last);
      }
    }
    std::erase_if(open, [&](const Destination& to) {
      return to.peer->writer->publish(push_sum ? std::optional(*push_sum * to.weight) : std::nullopt);
    });
  }
}

Task DeliveryOperation::deliver_far(Neighbor& to, double weight, const Request& request) {
  const DType dtype = core().tensor().dtype;
  const std::size_t element = size_of(dtype);
  const std::size_t piece = piece_bytes / element;
  std::vector<std::byte> scaled(weight == 1.0 ? 0 : std::min(core().bytes(), piece_bytes));
  Envelope envelope{delivery_ == Delivery::Put ? Letter::Put : Letter::Accumulate};
  envelope.has_weight = moves_weights_;
  envelope.weight = weight * core().header().push_sum_weight.load();
  std::size_t first = 0;
  do {
    co_await room_to(to.rank);
    const std::size_t count = std::min(core().count() - first, piece);
    const std::byte* from = value() + first * element;
    if (weight != 1.0) {
      Stores().scale(dtype, scaled.data(), from, weight, count);
      from = scaled.data();
    }
    envelope.offset = first * element;
    first += count;
    envelope.is_last = first == core().count();
    send(to, request.number(), envelope, {from, count * element});
  } while (first < core().count());
}

void DeliveryOperation::scale_own() {
  auto* const own = static_cast<std::byte*>(value_.writable);
  core().stores().scale(core().tensor().dtype, own, own, *self_weight_, core().count());
  if (moves_weights_) {
    auto& weight = core().header().push_sum_weight;
    weight.store(weight.load() * *self_weight_);
  }
}

}  // namespace bluefog::window
