/// @file kernels_avx512.cpp  Kernels for AVX-512 F, BW, VL and DQ.

#include <immintrin.h>

/// The namespace of all that this source compiles.
#define BLUEFOG_KERNELS avx512
#include "mixing/kernel_table.hpp"
#include "mixing/kernel_vectors.hpp"

namespace bluefog::mixing::BLUEFOG_KERNELS {

inline constexpr std::size_t vector_bytes = 64;
inline constexpr std::size_t vector_registers = 32;
using Vectors = VectorTypes<vector_bytes>;

// The forms without a mask start from a vector that g++ 12 takes for uninitialized.
inline constexpr __mmask16 all_lanes = 0xffff;

BLUEFOG_INLINE Vectors::F32 splat(float value) {
  return _mm512_set1_ps(value);
}
BLUEFOG_INLINE Vectors::F64 splat(double value) {
  return _mm512_set1_pd(value);
}

BLUEFOG_INLINE Vectors::F32 fused(Vectors::F32 a, Vectors::F32 b, Vectors::F32 c) {
  return _mm512_fmadd_ps(a, b, c);
}
BLUEFOG_INLINE Vectors::F64 fused(Vectors::F64 a, Vectors::F64 b, Vectors::F64 c) {
  return _mm512_fmadd_pd(a, b, c);
}

BLUEFOG_INLINE Vectors::F32 from_float16(Vectors::Halves packed) {
  return _mm512_maskz_cvtph_ps(all_lanes, reinterpret_cast<__m256i>(packed));
}
BLUEFOG_INLINE Vectors::Halves to_float16(Vectors::F32 value) {
  return reinterpret_cast<Vectors::Halves>(
      _mm512_maskz_cvtps_ph(all_lanes, value, _MM_FROUND_TO_NEAREST_INT));
}

// __builtin_convertvector does these in two halves (g++ 12).
BLUEFOG_INLINE Vectors::U32 widen_bits(Vectors::Halves bits) {
  return reinterpret_cast<Vectors::U32>(
      _mm512_maskz_cvtepu16_epi32(all_lanes, reinterpret_cast<__m256i>(bits)));
}
BLUEFOG_INLINE Vectors::Halves narrow_bits(Vectors::U32 bits) {
  return reinterpret_cast<Vectors::Halves>(
      _mm512_maskz_cvtepi32_epi16(all_lanes, reinterpret_cast<__m512i>(bits)));
}

BLUEFOG_INLINE void stream(void* to, VectorOf<std::uint8_t, 64>::Type bits) {
  _mm512_stream_si512(static_cast<__m512i*>(to), reinterpret_cast<__m512i>(bits));
}
BLUEFOG_INLINE void stream(void* to, VectorOf<std::uint8_t, 32>::Type bits) {
  _mm256_stream_si256(static_cast<__m256i*>(to), reinterpret_cast<__m256i>(bits));
}

}  // namespace bluefog::mixing::BLUEFOG_KERNELS

#include "mixing/kernels_impl.hpp"

namespace bluefog::mixing {
constinit const KernelTable avx512_kernels = avx512::make_table("avx512");
}
