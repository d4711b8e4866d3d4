#pragma once
/// @file post.hpp  What ranks tell each other about one operation.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <bluefog/dtype.hpp>
#include <bluefog/tensor.hpp>

namespace bluefog::transport {

/// Two calls on two ranks are the same operation when their keys are equal.
struct Key {
  std::uint64_t stream;  ///< hash of the group, the kind of operation, and the name
  std::uint64_t count;   ///< how many times this rank has used the stream before
  friend bool operator==(const Key&, const Key&) = default;
};

enum class OperationKind : std::uint8_t {
  NeighborAllreduce,
  HierarchicalNeighborAllreduce,
  NeighborAllgather,
  Allreduce,
  Allgather,
  Broadcast,
  Barrier,
  Agreement,  ///< no data: all members gave equal hashes (set_topology)
};
inline constexpr std::size_t operation_kinds = static_cast<std::size_t>(OperationKind::Agreement) + 1;

/// Names are shown to people; the first so many bytes of them.
inline constexpr std::size_t longest_shown_name = 63;

inline constexpr std::uint64_t no_offset = ~std::uint64_t{0};

/// The header of an operation. Complete before it becomes visible, never changed after.
struct Post {
  Key key;
  std::uint64_t sequence;  ///< number of this operation among all of its rank
  std::uint64_t
      digest;  ///< of what must be equal beyond the fields here: root, topology; names the rest of the vote
  std::uint64_t row_hash;      ///< of the mixing row
  std::uint64_t row_words;     ///< length of the encoded row
  std::uint64_t row_offset;    ///< set by the transport
  std::uint64_t input_offset;  ///< into the rank's arena, or no_offset for private memory
  std::uint64_t output_offset;
  std::uint64_t staging_offset;  ///< of what the own slice is mixed of, beside the tensors here; or no_offset
  std::uint64_t chunk_bytes;     ///< size of the chunks in which a private input is published
  std::array<std::int64_t, Shape::max_dims> extents;
  std::uint16_t dims;
  OperationKind kind;
  DType dtype;
  std::uint8_t meets;      ///< the component agrees as one
  std::uint8_t publishes;  ///< the input is published in chunks, not read in place
  std::uint8_t logs;       ///< the rank keeps an undo log of what it overwrites in the tensors of others
  std::uint8_t is_named;   ///< its name is shown with it, for people
};
static_assert(std::is_trivially_copyable_v<Post> && sizeof(Post) % sizeof(std::uint64_t) == 0);

/// Of the input that a post announces.
[[nodiscard]] inline std::size_t bytes_of(const Post& post) {
  return Shape(std::span(post.extents.data(), post.dims)).count() * size_of(post.dtype);
}

/// Of one of the chunks in which it is published; the last one is shorter.
[[nodiscard]] inline std::size_t bytes_of_chunk(const Post& post, std::uint64_t index) {
  return std::min<std::size_t>(post.chunk_bytes, bytes_of(post) - index * post.chunk_bytes);
}

/// How far a rank is with an operation. Only the rank itself moves it, or who finishes its part when it is
/// dead. Forward only.
enum class Phase : std::uint32_t {
  Posted,     ///< the header is there
  Running,    ///< everybody needed was found fitting; peers' memory is being read
  Done,       ///< the own part is executed
  Left,       ///< the rank needs nothing more of anybody
  Withdrawn,  ///< the rank gave up; its reason says why
};

}  // namespace bluefog::transport
