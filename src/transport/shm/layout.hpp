#pragma once
/// @file layout.hpp  What lies at the start of every arena: the doorbell, the slots, and how to find them.
///
/// Everything that peers read is made of atomic words, so that the protocol has no data race, also for tools
/// that check.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include <bluefog/config.hpp>

#include "base/doorbell.hpp"
#include "transport/post.hpp"

namespace bluefog::transport::shm {

inline constexpr std::uint64_t layout_magic = 0x31676f6665756c62ULL;
inline constexpr std::size_t slot_bits = 10;
inline constexpr std::size_t slot_count = std::size_t{1} << slot_bits;
inline constexpr std::size_t bucket_tags = 8;
inline constexpr std::size_t bucket_count = 256;
inline constexpr std::size_t stream_count = 4096;
/// So many entries after its own place hold a stream.
inline constexpr std::size_t stream_window = 8;
inline constexpr std::size_t inline_row_words = 64;
inline constexpr std::size_t text_words = 48;
inline constexpr std::size_t name_words = (longest_shown_name + 8) / 8;
/// Room for the published chunks of one slot; sparse, so only what is used costs memory.
inline constexpr std::size_t ring_bytes = std::size_t{4} << 20;

template <std::size_t Words>
using AtomicWords = std::array<std::atomic<std::uint64_t>, Words>;

/// One operation of the owner.
struct alignas(64) Slot {
  /// Odd while the owner changes the post; a reader copies the post and looks again.
  std::atomic<std::uint32_t> version;
  AtomicWords<sizeof(Post) / sizeof(std::uint64_t)> post;

  alignas(64) std::atomic<Phase> phase;
  std::atomic<std::uint64_t> vote;
  std::atomic<std::uint64_t> produced;
  std::atomic<std::uint64_t> consumed;

  /// The only word with several writers: compare-exchange from open, tagged with the slot's version.
  alignas(64) std::atomic<std::uint64_t> decision;

  alignas(64) AtomicWords<inline_row_words> row;
  AtomicWords<text_words> text;
  AtomicWords<name_words> name;     ///< if the post says that there is one
  std::atomic<std::uint32_t> lost;  ///< what goes with the text: 0, or 1 + a rank that was lost
};

/// Where to look for a key: tags that hash here share a cache line. A tag is the upper bits of the key's hash
/// above the number of the slot; 0 is free.
struct alignas(64) Bucket {
  std::array<std::atomic<std::uint64_t>, bucket_tags> tags;
};

/// How often the owner has used a stream. The stream is 0 while the entry changes.
struct StreamEntry {
  std::atomic<std::uint64_t> stream;
  std::atomic<std::uint64_t> calls;
};

/// Text that a peer leaves for the owner.
struct alignas(64) Complaint {
  std::atomic<std::uint32_t> state;  ///< 0 empty, 1 being written, 2 full, 3 being read
  AtomicWords<sizeof(Key) / sizeof(std::uint64_t)> key;
  AtomicWords<text_words> text;
};

struct Header {
  std::uint64_t magic;
  std::uint32_t rank;
  alignas(64) base::DoorbellWords doorbell;
  alignas(64) std::atomic<std::uint64_t> oldest_open;
  alignas(64) std::atomic<std::uint32_t> has_left;  ///< peers ask often; nothing that changes shares its line
  alignas(64) std::atomic<std::uint64_t> beats;     ///< of the owner's heart
  alignas(64) std::atomic<std::uint32_t> complaints_waiting;
  std::array<std::atomic<std::uint32_t>, bucket_count>
      displaced;  ///< tags that belong here and lie in a later bucket
  std::array<Bucket, bucket_count> buckets;
  std::array<Slot, slot_count> slots;
  std::array<StreamEntry, stream_count> streams;
  std::array<Complaint, most_ranks> complaints;  ///< by the rank that complains
};

inline constexpr std::size_t rings_offset = (sizeof(Header) + 65535) / 65536 * 65536;
inline constexpr std::size_t reserved_bytes = rings_offset + slot_count * ring_bytes;

}  // namespace bluefog::transport::shm
