#include "window/edge_writer.hpp"

#include <limits>

namespace bluefog::window {

bool EdgeWriter::exchange(const EdgeWord& expected, const EdgeWord& wanted) {
  stores_.step();
  std::uint64_t bits = expected.pack();
  return header_.word.compare_exchange_strong(bits, wanted.pack(), std::memory_order_acq_rel,
                                              std::memory_order_acquire);
}

/// Its owner has set the offset before it gave the slot away, and never changes it.
std::byte* EdgeWriter::slot(std::size_t index) {
  std::byte*& address = slots_[index];
  if (address == nullptr) address = locate_(header_.slots[index].offset.load(std::memory_order_acquire));
  return address;
}

void EdgeWriter::begin(Delivery delivery) {
  delivery_ = delivery;
  adds_to_published_ = false;
  if (trials_) stores_.use(trials_->begin());
  while (true) {
    const EdgeWord seen = load();
    EdgeWord wanted = seen;
    wanted.is_pinned = delivery == Delivery::Accumulate && seen.is_fresh;
    if (wanted.is_pinned == seen.is_pinned || exchange(seen, wanted)) {
      adds_to_published_ = wanted.is_pinned;
      return;
    }
  }
}

void EdgeWriter::write(const std::byte* value, double weight, std::size_t first, std::size_t last) {
  if (!trials_) return fill(value, weight, first, last);
  trials_->time([&] { fill(value, weight, first, last); });
}

void EdgeWriter::fill(const std::byte* value, double weight, std::size_t first, std::size_t last) {
  const EdgeWord seen = load();  // neither slot changes its role meanwhile: one is hidden, the other pinned
  const std::size_t element = size_of(dtype_);
  std::byte* const to = slot(seen.hidden) + first * element;
  if (adds_to_published_ && seen.is_fresh) {
    const std::byte* const base = slot(seen.published) + first * element;
    // The product is rounded before it is added, as it is where it has to travel.
    if (weight == 1.0) return stores_.add(dtype_, to, base, value, last - first);
    Stores through_cache = stores_;
    through_cache.use(mixing::StoreKind::Plain);
    through_cache.scale(dtype_, to, value, weight, last - first);
    return stores_.add(dtype_, to, base, to, last - first);
  }
  // If the owner has taken the base meanwhile, publish() finds out.
  stores_.scale(dtype_, to, value, weight, last - first);
}

/// What was published and not taken must keep its push-sum weight when another value takes its place.
void EdgeWriter::set_weight(const EdgeWord& seen, std::optional<double> weight) {
  const SlotHeader& before = header_.slots[seen.published];
  SlotHeader& slot = header_.slots[seen.hidden];
  double value = 0;
  WeightRole role = WeightRole::None;
  if (seen.is_fresh) {
    value = before.weight.load(std::memory_order_relaxed);
    role = before.weight_role.load(std::memory_order_relaxed);
  }
  if (weight && delivery_ == Delivery::Put) {
    value = *weight;
    role = WeightRole::Replace;
  } else if (weight) {
    value = role == WeightRole::None ? *weight : value + *weight;
    if (role == WeightRole::None) role = WeightRole::Add;
  }
  stores_.step();
  slot.weight.store(value, std::memory_order_relaxed);
  slot.weight_role.store(role, std::memory_order_relaxed);
}

EdgeWord EdgeWriter::published_from(const EdgeWord& seen) const {
  EdgeWord wanted = seen;
  wanted.hidden = seen.published;
  wanted.published = seen.hidden;
  wanted.replaces = delivery_ == Delivery::Put || (seen.is_fresh && seen.replaces);
  wanted.is_fresh = true;
  wanted.is_pinned = false;
  if (delivery_ == Delivery::Put && seen.puts < std::numeric_limits<std::uint32_t>::max()) ++wanted.puts;
  return wanted;
}

bool EdgeWriter::publish(std::optional<double> weight) {
  while (true) {
    const EdgeWord seen = load();
    // What the owner does meanwhile: take what is fresh, or note that it has seen all versions.
    if (delivery_ == Delivery::Accumulate && seen.is_fresh != adds_to_published_) return false;
    set_weight(seen, weight);
    if (!exchange(seen, published_from(seen))) continue;
    if (trials_) trials_->end();
    return true;
  }
}

std::byte* EdgeWriter::hidden() {
  return slot(load().hidden);
}

void EdgeWriter::publish_received(Delivery delivery, std::optional<double> weight) {
  delivery_ = delivery;
  const EdgeWord seen = load();
  adds_to_published_ = delivery == Delivery::Accumulate && seen.is_fresh;
  std::byte* const received = slot(seen.hidden);
  if (adds_to_published_) {
    stores_.add(dtype_, received, slot(seen.published), received, count_);
  }
  static_cast<void>(publish(weight));
}

}  // namespace bluefog::window
