#pragma once
/// @file kernel_vectors.hpp  Vector types for the sources that define BLUEFOG_KERNELS, each in a namespace of
/// its own.

#include <cstddef>
#include <cstdint>

#define BLUEFOG_INLINE [[gnu::always_inline]] static inline
#if defined(__clang__)
#define BLUEFOG_UNROLL _Pragma("unroll")
#else
#define BLUEFOG_UNROLL _Pragma("GCC unroll 16")
#endif

namespace bluefog::mixing::BLUEFOG_KERNELS {

/// `Bytes` bytes of T, with the operators of the compilers' vector extension.
template <class T, std::size_t Bytes>
struct VectorOf {
  typedef T Type __attribute__((vector_size(Bytes)));  // NOLINT(modernize-use-using): the attribute needs it
};

template <std::size_t Bytes>
struct VectorTypes {
  using F32 = typename VectorOf<float, Bytes>::Type;
  using F64 = typename VectorOf<double, Bytes>::Type;
  using U32 = typename VectorOf<std::uint32_t, Bytes>::Type;
  using I32 = typename VectorOf<std::int32_t, Bytes>::Type;
  /// As many 16-bit numbers as F32 has lanes.
  using Halves = typename VectorOf<std::uint16_t, Bytes / 2>::Type;
};

}  // namespace bluefog::mixing::BLUEFOG_KERNELS
