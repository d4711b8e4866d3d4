#pragma once
/// @file stream.hpp  What one rank sends another, far from it, in one operation: the same range of several
/// tensors, one after the other, and perhaps one more range; each cut into chunks by itself.

#include <algorithm>
#include <cstdint>

namespace bluefog::transport {

struct Stream {
  int peer = -1;
  std::uint64_t tensors = 0;
  std::uint64_t bytes = 0;        ///< of each tensor's range
  std::uint64_t chunk_bytes = 1;  ///< of all chunks of a range but the last
  std::uint64_t tail = 0;         ///< bytes of the range after those tensors

  struct Chunk {
    std::uint64_t tensor;  ///< which of them; the tail comes after the last
    std::uint64_t offset;  ///< from the start of its range
    std::uint64_t bytes;
  };
  [[nodiscard]] std::uint64_t chunks_of_tensor() const { return (bytes + chunk_bytes - 1) / chunk_bytes; }
  [[nodiscard]] std::uint64_t chunks() const {
    return tensors * chunks_of_tensor() + (tail + chunk_bytes - 1) / chunk_bytes;
  }
  /// @param index  below chunks()
  [[nodiscard]] Chunk chunk(std::uint64_t index) const {
    const std::uint64_t before_tail = tensors * chunks_of_tensor();
    if (index >= before_tail) {
      const std::uint64_t offset = (index - before_tail) * chunk_bytes;
      return {tensors, offset, std::min(chunk_bytes, tail - offset)};
    }
    const std::uint64_t offset = index % chunks_of_tensor() * chunk_bytes;
    return {index / chunks_of_tensor(), offset, std::min(chunk_bytes, bytes - offset)};
  }
};

/// So many chunks of a stream may be on their way, or wait at the receiver until it has landed them.
inline constexpr std::uint64_t stream_window = 8;

}  // namespace bluefog::transport
