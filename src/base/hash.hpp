#pragma once
/// @file hash.hpp  64-bit hashes that are equal on every machine, whatever its byte order, and in every run.
///
/// Not cryptographic: they tell apart what honest ranks disagree about.

#include <cstddef>
#include <cstdint>

namespace bluefog::base {

/// Odd constant 2^64 / golden ratio, the increment of SplitMix64.
inline constexpr std::uint64_t kGoldenRatio = 0x9E3779B97F4A7C15U;

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): a bijection in which every input bit stirs every
/// output bit.
[[nodiscard]] constexpr std::uint64_t mix_bits(std::uint64_t x) noexcept {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31);
}

/// Hash of the ordered pair (a, b).
[[nodiscard]] constexpr std::uint64_t hash_combine(std::uint64_t a, std::uint64_t b) noexcept {
  return mix_bits(mix_bits(a + kGoldenRatio) ^ b);
}

/// Hash of `size` bytes at `data`, read as little-endian words. The size is part of the content.
[[nodiscard]] inline std::uint64_t hash_bytes(const void* data, std::size_t size,
                                              std::uint64_t seed = 0) noexcept {
  const auto* bytes = static_cast<const unsigned char*>(data);
  std::uint64_t hash = hash_combine(seed, size);
  for (std::size_t start = 0; start < size; start += 8) {
    const std::size_t length = size - start < 8 ? size - start : 8;
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < length; ++i) word |= std::uint64_t{bytes[start + i]} << (8 * i);
    hash = hash_combine(hash, word);
  }
  return hash;
}

}  // namespace bluefog::base
