/// @file kernels_avx2.cpp  Kernels for AVX2 with FMA and F16C.

#include <immintrin.h>

/// The namespace of all that this source compiles.
#define BLUEFOG_KERNELS avx2
#include "mixing/kernel_table.hpp"
#include "mixing/kernel_vectors.hpp"

namespace bluefog::mixing::BLUEFOG_KERNELS {

inline constexpr std::size_t vector_bytes = 32;
inline constexpr std::size_t vector_registers = 16;
using Vectors = VectorTypes<vector_bytes>;

BLUEFOG_INLINE Vectors::F32 splat(float value) {
  return _mm256_set1_ps(value);
}
BLUEFOG_INLINE Vectors::F64 splat(double value) {
  return _mm256_set1_pd(value);
}

BLUEFOG_INLINE Vectors::F32 fused(Vectors::F32 a, Vectors::F32 b, Vectors::F32 c) {
  return _mm256_fmadd_ps(a, b, c);
}
BLUEFOG_INLINE Vectors::F64 fused(Vectors::F64 a, Vectors::F64 b, Vectors::F64 c) {
  return _mm256_fmadd_pd(a, b, c);
}

BLUEFOG_INLINE Vectors::F32 from_float16(Vectors::Halves packed) {
  return _mm256_cvtph_ps(reinterpret_cast<__m128i>(packed));
}
BLUEFOG_INLINE Vectors::Halves to_float16(Vectors::F32 value) {
  return reinterpret_cast<Vectors::Halves>(_mm256_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT));
}

// __builtin_convertvector does these in two halves (g++ 12).
BLUEFOG_INLINE Vectors::U32 widen_bits(Vectors::Halves bits) {
  return reinterpret_cast<Vectors::U32>(_mm256_cvtepu16_epi32(reinterpret_cast<__m128i>(bits)));
}
BLUEFOG_INLINE Vectors::Halves narrow_bits(Vectors::U32 bits) {
  const auto wide = reinterpret_cast<__m256i>(bits);
  const __m256i packed = _mm256_packus_epi32(wide, wide);  // within each half of the register
  return reinterpret_cast<Vectors::Halves>(_mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0b1000)));
}

BLUEFOG_INLINE void stream(void* to, VectorOf<std::uint8_t, 32>::Type bits) {
  _mm256_stream_si256(static_cast<__m256i*>(to), reinterpret_cast<__m256i>(bits));
}
BLUEFOG_INLINE void stream(void* to, VectorOf<std::uint8_t, 16>::Type bits) {
  _mm_stream_si128(static_cast<__m128i*>(to), reinterpret_cast<__m128i>(bits));
}

}  // namespace bluefog::mixing::BLUEFOG_KERNELS

#include "mixing/kernels_impl.hpp"

namespace bluefog::mixing {
constinit const KernelTable avx2_kernels = avx2::make_table("avx2");
}
