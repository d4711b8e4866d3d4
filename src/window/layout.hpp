#pragma once
/// @file layout.hpp  What a window is in the memory of its owner, as its neighbours on the host see it.
///
/// For each neighbour that may write there is an edge: slots of the tensor's size, of which one is hidden
/// (its writer fills it), one is published (what the writer gave last, until the owner takes it), and the
/// others are the owner's. One atomic word says which is which, so that neither waits for the other, and
/// neither leaves anything torn when it dies.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace bluefog::window {

/// An edge has three slots from the start; the owner adds some when gets, or updates that keep what was
/// accumulated, need them.
inline constexpr std::size_t first_slots = 3;
inline constexpr std::size_t most_slots = 7;

/// The state of an edge, as one word.
struct EdgeWord {
  std::uint32_t puts = 0;      ///< since the owner's last update
  std::uint8_t hidden = 0;     ///< the writer's slot
  std::uint8_t published = 1;  ///< the slot that goes from writer to owner, and back
  bool is_fresh = false;       ///< the owner has not taken it yet
  bool replaces = false;       ///< else it is added to what the owner has
  bool is_pinned = false;      ///< the writer reads what was published last, to add to it

  [[nodiscard]] static EdgeWord unpack(std::uint64_t bits) noexcept {
    EdgeWord word;
    word.puts = static_cast<std::uint32_t>(bits >> 32);
    word.hidden = static_cast<std::uint8_t>(bits & 7U);
    word.published = static_cast<std::uint8_t>(bits >> 3 & 7U);
    word.is_fresh = (bits >> 6 & 1U) != 0;
    word.replaces = (bits >> 7 & 1U) != 0;
    word.is_pinned = (bits >> 8 & 1U) != 0;
    return word;
  }
  [[nodiscard]] std::uint64_t pack() const noexcept {
    return std::uint64_t{puts} << 32 | std::uint64_t{is_pinned} << 8 | std::uint64_t{replaces} << 7 |
           std::uint64_t{is_fresh} << 6 | std::uint64_t{published} << 3 | hidden;
  }
};

/// What a slot's push-sum weight does when the owner takes it.
enum class WeightRole : std::uint32_t { None, Add, Replace };

struct SlotHeader {
  std::atomic<std::uint64_t> offset;  ///< of its bytes, in the owner's arena
  std::atomic<double> weight;         ///< associated push-sum weight
  std::atomic<WeightRole> weight_role;
};

/// Held by a rank; taken over when that rank is proven dead. Zeroed memory is a free one.
struct LockWords {
  std::atomic<std::uint64_t> holder;      ///< 0: nobody
  std::atomic<std::uint64_t> next;        ///< who gets it when it is released; 0: nobody has asked
  std::atomic<std::uint32_t> contenders;  ///< that want to be rung
};

/// Between the owner and one neighbour.
struct alignas(64) EdgeHeader {
  std::atomic<std::uint64_t> word;
  std::atomic<std::uint32_t> is_closed;  ///< by the neighbour: it makes no more calls on the window
  /// So often the neighbour has asked for the mean of the hidden slot and the owner's tensor; and so often
  /// both were made that.
  std::atomic<std::uint64_t> means_wanted;
  std::atomic<std::uint64_t> means_made;
  alignas(64) LockWords mutex;
  alignas(64) std::array<SlotHeader, most_slots> slots;
};

/// At the start of the window's memory; then come the edges.
struct alignas(64) WindowHeader {
  std::atomic<std::uint32_t> is_open;   ///< read by every put, so no lock shares its line
  alignas(64) LockWords tensor_lock;    ///< over the tensor itself
  std::atomic<double> push_sum_weight;  ///< of the tensor; under that lock

  // A tensor in private memory is read from a mirror; all under that lock.
  std::atomic<std::uint64_t> mirror_offset;
  std::atomic<std::uint64_t> mirror_wanted;  ///< so often
  std::atomic<std::uint64_t> mirror_filled;  ///< the last wish that was granted
};

}  // namespace bluefog::window
