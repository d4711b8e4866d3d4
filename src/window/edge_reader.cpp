#include "window/edge_reader.hpp"

#include <algorithm>
#include <stdexcept>

namespace bluefog::window {

EdgeReader::EdgeReader(EdgeHeader& header, MoreMemory more, DType dtype, std::size_t count, Stores stores)
    : header_(header), more_(std::move(more)), dtype_(dtype), count_(count), stores_(stores) {
  free_.reserve(most_slots);
  EdgeWord word;
  word.hidden = static_cast<std::uint8_t>(add_slot());
  word.published = static_cast<std::uint8_t>(add_slot());
  free_.push_back(add_slot());
  header_.word.store(word.pack(), std::memory_order_release);
}

bool EdgeReader::exchange(const EdgeWord& expected, const EdgeWord& wanted) {
  stores_.step();
  std::uint64_t bits = expected.pack();
  return header_.word.compare_exchange_strong(bits, wanted.pack(), std::memory_order_acq_rel,
                                              std::memory_order_acquire);
}

int EdgeReader::add_slot() {
  if (slot_count_ == most_slots) throw std::logic_error("a window's edge needs no more slots than there are");
  const auto [address, offset] = more_();
  slots_[slot_count_] = address;
  header_.slots[slot_count_].offset.store(offset, std::memory_order_release);
  return static_cast<int>(slot_count_++);
}

int EdgeReader::take_free() {
  if (free_.empty()) return add_slot();
  const int slot = free_.back();
  free_.pop_back();
  return slot;
}

void EdgeReader::keep(int slot) {
  if (kept_ >= 0) free_.push_back(kept_);
  kept_ = slot;
}

void EdgeReader::take() {
  while (true) {
    const EdgeWord seen = load();
    if (!seen.is_fresh) return;
    // A writer has published since it pinned a slot last, so none of the owner's is pinned. The one that is
    // kept may go if it is replaced anyway: then three slots are enough.
    const bool gives_kept = seen.replaces && kept_ >= 0 && free_.empty();
    const int given = gives_kept ? kept_ : take_free();
    EdgeWord wanted = seen;
    wanted.published = static_cast<std::uint8_t>(given);
    wanted.is_fresh = false;
    wanted.replaces = false;
    if (!exchange(seen, wanted)) {
      if (!gives_kept) free_.push_back(given);
      continue;
    }
    if (gives_kept) kept_ = -1;
    taken_ = seen.published;
    take_weight(header_.slots[index(taken_)]);
    if (seen.replaces || kept_ < 0) {
      keep(taken_);
    } else {
      stores_.add(dtype_, slots_[index(kept_)], slots_[index(kept_)], slots_[index(taken_)], count_);
      free_.push_back(taken_);
    }
    return;
  }
}

void EdgeReader::take_weight(const SlotHeader& slot) {
  const double weight = slot.weight.load(std::memory_order_relaxed);
  switch (slot.weight_role.load(std::memory_order_relaxed)) {
    case WeightRole::None:
      break;
    case WeightRole::Add:
      weight_ += weight;
      break;
    case WeightRole::Replace:
      weight_ = weight;
      break;
  }
}

void EdgeReader::reset() {
  if (kept_ >= 0) free_.push_back(kept_);
  kept_ = -1;
  weight_ = 0;
}

std::byte* EdgeReader::spare() {
  if (spare_ < 0) {
    const int pinned = load().is_pinned ? taken_ : -1;
    const auto found = std::find_if(free_.begin(), free_.end(), [&](int slot) { return slot != pinned; });
    if (found == free_.end()) {
      spare_ = add_slot();
    } else {
      spare_ = *found;
      free_.erase(found);
    }
  }
  return slots_[index(spare_)];
}

void EdgeReader::replace() {
  take();
  keep(std::exchange(spare_, -1));
}

std::uint64_t EdgeReader::versions() const {
  return load().puts + gets_.load(std::memory_order_relaxed);
}

void EdgeReader::forget_versions() {
  gets_.store(0, std::memory_order_relaxed);
  while (true) {
    const EdgeWord seen = load();
    if (seen.puts == 0) return;
    EdgeWord wanted = seen;
    wanted.puts = 0;
    if (exchange(seen, wanted)) return;
  }
}

}  // namespace bluefog::window
