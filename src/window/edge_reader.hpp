#pragma once
/// @file edge_reader.hpp  The owner's end of an edge: what the neighbour's buffer holds.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include <bluefog/dtype.hpp>

#include "window/layout.hpp"
#include "window/stores.hpp"

namespace bluefog::window {

/// The value of a buffer is what the owner has kept of it, and then what is fresh on the edge: taking that
/// from the edge is an exchange of slots. One thread at a time.
class EdgeReader {
 public:
  /// A slot's bytes in the owner's arena, and where they lie there.
  using MoreMemory = std::function<std::pair<std::byte*, std::uint64_t>()>;

  /// Takes the slots of a new edge from `more`; zeros are its value.
  EdgeReader(EdgeHeader& header, MoreMemory more, DType dtype, std::size_t count, Stores stores);

  /// Takes what is fresh into the value.
  void take();
  /// nullptr: all zeros.
  [[nodiscard]] const std::byte* value() const { return kept_ < 0 ? nullptr : slots_[index(kept_)]; }
  [[nodiscard]] double weight() const noexcept { return weight_; }
  /// Zeros become the value.
  void reset();

  /// Where the next value may be written, for replace(); never what anybody reads.
  [[nodiscard]] std::byte* spare();
  /// What was written to spare() becomes the value, in place of all that was fresh before.
  void replace();
  void set_weight(double weight) noexcept { weight_ = weight; }
  void count_get() noexcept { gets_.fetch_add(1, std::memory_order_relaxed); }

  /// Puts and gets since forget_versions(). For any thread.
  [[nodiscard]] std::uint64_t versions() const;
  void forget_versions();

  /// So many slots take memory.
  [[nodiscard]] std::size_t slots() const noexcept { return slot_count_; }

 private:
  [[nodiscard]] static std::size_t index(int slot) { return static_cast<std::size_t>(slot); }
  [[nodiscard]] EdgeWord load() const {
    return EdgeWord::unpack(header_.word.load(std::memory_order_acquire));
  }
  [[nodiscard]] bool exchange(const EdgeWord& expected, const EdgeWord& wanted);
  [[nodiscard]] int add_slot();
  [[nodiscard]] int take_free();
  void keep(int slot);
  void take_weight(const SlotHeader& slot);

  EdgeHeader& header_;
  MoreMemory more_;
  DType dtype_;
  std::size_t count_;
  Stores stores_;
  std::array<std::byte*, most_slots> slots_{};
  std::size_t slot_count_ = 0;
  std::vector<int> free_;  ///< the owner's own, without the kept one
  int kept_ = -1;          ///< the slot that holds the value
  int taken_ = -1;         ///< the last one that was taken; its writer may still read it
  int spare_ = -1;
  double weight_ = 0;                   ///< associated push-sum weight of the value
  std::atomic<std::uint64_t> gets_{0};  ///< since the versions were forgotten
};

}  // namespace bluefog::window
