/// @file kernels_portable.cpp  Kernels for any CPU: 16-byte vectors, which are SSE2 on x86-64 and NEON on
/// aarch64.

#include <cmath>

#if defined(__x86_64__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "base/half.hpp"

/// The namespace of all that this source compiles.
#define BLUEFOG_KERNELS portable
#include "mixing/kernel_table.hpp"
#include "mixing/kernel_vectors.hpp"

namespace bluefog::mixing::BLUEFOG_KERNELS {

inline constexpr std::size_t vector_bytes = 16;
#if defined(__aarch64__)
inline constexpr std::size_t vector_registers = 32;
#else
inline constexpr std::size_t vector_registers = 16;
#endif
using Vectors = VectorTypes<vector_bytes>;

BLUEFOG_INLINE Vectors::F32 splat(float value) {
  return Vectors::F32{value, value, value, value};
}
BLUEFOG_INLINE Vectors::F64 splat(double value) {
  return Vectors::F64{value, value};
}

#if defined(__aarch64__)

BLUEFOG_INLINE Vectors::F32 fused(Vectors::F32 a, Vectors::F32 b, Vectors::F32 c) {
  return vfmaq_f32(c, a, b);
}
BLUEFOG_INLINE Vectors::F64 fused(Vectors::F64 a, Vectors::F64 b, Vectors::F64 c) {
  return vfmaq_f64(c, a, b);
}

BLUEFOG_INLINE Vectors::F32 from_float16(Vectors::Halves packed) {
  return vcvt_f32_f16(reinterpret_cast<float16x4_t>(packed));
}
BLUEFOG_INLINE Vectors::Halves to_float16(Vectors::F32 value) {
  return reinterpret_cast<Vectors::Halves>(vcvt_f16_f32(value));
}

#else

BLUEFOG_INLINE Vectors::F32 fused(Vectors::F32 a, Vectors::F32 b, Vectors::F32 c) {
  Vectors::F32 result = c;
  for (int lane = 0; lane < 4; ++lane) result[lane] = std::fma(a[lane], b[lane], c[lane]);
  return result;
}
BLUEFOG_INLINE Vectors::F64 fused(Vectors::F64 a, Vectors::F64 b, Vectors::F64 c) {
  return Vectors::F64{std::fma(a[0], b[0], c[0]), std::fma(a[1], b[1], c[1])};
}

BLUEFOG_INLINE Vectors::F32 from_float16(Vectors::Halves packed) {
  Vectors::F32 result = {};
  for (int lane = 0; lane < 4; ++lane) result[lane] = to_float32(Float16{packed[lane]});
  return result;
}
BLUEFOG_INLINE Vectors::Halves to_float16(Vectors::F32 value) {
  Vectors::Halves result = {};
  for (int lane = 0; lane < 4; ++lane) result[lane] = bluefog::to_float16(value[lane]).bits;
  return result;
}

#endif

BLUEFOG_INLINE Vectors::U32 widen_bits(Vectors::Halves bits) {
  return __builtin_convertvector(bits, Vectors::U32);
}
BLUEFOG_INLINE Vectors::Halves narrow_bits(Vectors::U32 bits) {
  return __builtin_convertvector(bits, Vectors::Halves);
}

#if defined(__x86_64__)
BLUEFOG_INLINE void stream(void* to, VectorOf<std::uint8_t, 16>::Type bits) {
  _mm_stream_si128(static_cast<__m128i*>(to), reinterpret_cast<__m128i>(bits));
}
BLUEFOG_INLINE void stream(void* to, VectorOf<std::uint8_t, 8>::Type bits) {
  long long word = 0;
  __builtin_memcpy(&word, &bits, sizeof word);
  _mm_stream_si64(static_cast<long long*>(to), word);
}
#else
template <class Bits>
BLUEFOG_INLINE void stream(void* to, Bits bits) {
  __builtin_memcpy(to, &bits, sizeof bits);
}
#endif

}  // namespace bluefog::mixing::BLUEFOG_KERNELS

#include "mixing/kernels_impl.hpp"

namespace bluefog::mixing {
constinit const KernelTable portable_kernels = portable::make_table("portable");
}
