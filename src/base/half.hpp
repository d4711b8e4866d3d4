#pragma once
/// @file half.hpp  float16 and bfloat16 to and from float32, in software.
///
/// Rounding is to nearest, ties to even; subnormals are kept, overflow gives infinity. A NaN stays a NaN: it
/// is made quiet and keeps the upper bits of its payload, as the conversion instructions of x86 and Arm do.

#include <bit>
#include <cstdint>

#include <bluefog/dtype.hpp>

namespace bluefog {

namespace half_detail {

inline constexpr std::uint32_t float32_infinity = 0x7f80'0000;
inline constexpr std::uint32_t float32_quiet = 0x0040'0000;

/// bits / 2^shift, rounded to nearest even; 0 < shift < 32.
[[nodiscard]] constexpr std::uint32_t shift_right_to_even(std::uint32_t bits, unsigned shift) noexcept {
  const std::uint32_t below_half = (std::uint32_t{1} << (shift - 1)) - 1;
  return (bits + below_half + ((bits >> shift) & 1)) >> shift;
}

}  // namespace half_detail

/// Exact.
[[nodiscard]] constexpr float to_float32(Float16 value) noexcept {
  using namespace half_detail;
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000) << 16;
  const std::uint32_t exponent = (value.bits >> 10) & 0x1f;
  const std::uint32_t fraction = value.bits & 0x3ff;
  std::uint32_t magnitude = ((exponent + 112) << 23) | (fraction << 13);
  if (exponent == 0) magnitude = std::bit_cast<std::uint32_t>(static_cast<float>(fraction) * 0x1p-24F);
  if (exponent == 0x1f) magnitude = float32_infinity | (fraction << 13) | (fraction != 0 ? float32_quiet : 0);
  return std::bit_cast<float>(sign | magnitude);
}

/// Exact, but that a signalling NaN becomes quiet only when it is computed with.
[[nodiscard]] constexpr float to_float32(BFloat16 value) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}

/// Rounds to nearest even; 65520 and above become infinity.
[[nodiscard]] constexpr Float16 to_float16(float value) noexcept {
  using namespace half_detail;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000;
  const std::uint32_t magnitude = bits & 0x7fff'ffff;
  constexpr std::uint32_t smallest_normal = 0x3880'0000;   // 2^-14
  constexpr std::uint32_t half_of_smallest = 0x3300'0000;  // 2^-25, ties to zero
  constexpr std::uint32_t beyond_range = 0x4780'0000;      // 2^16

  std::uint32_t half = 0;
  if (magnitude > float32_infinity) {
    half = 0x7e00 | ((magnitude >> 13) & 0x3ff);
  } else if (magnitude >= beyond_range) {
    half = 0x7c00;
  } else if (magnitude >= smallest_normal) {
    half = shift_right_to_even(magnitude - (std::uint32_t{112} << 23),
                               13);  // a carry reaches infinity by itself
  } else if (magnitude > half_of_smallest) {
    const std::uint32_t significand = (magnitude & 0x007f'ffff) | 0x0080'0000;
    half = shift_right_to_even(significand, 126 - (magnitude >> 23));
  }
  return Float16{static_cast<std::uint16_t>(sign | half)};
}

/// Rounds to nearest even.
[[nodiscard]] constexpr BFloat16 to_bfloat16(float value) noexcept {
  using namespace half_detail;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const bool is_nan = (bits & 0x7fff'ffff) > float32_infinity;
  const std::uint32_t upper = is_nan ? (bits | float32_quiet) >> 16 : shift_right_to_even(bits, 16);
  return BFloat16{static_cast<std::uint16_t>(upper)};
}

}  // namespace bluefog
