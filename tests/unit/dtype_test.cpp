#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <random>
#include <string_view>

#include <gtest/gtest.h>

#include <bluefog/dtype.hpp>

#include "base/half.hpp"

namespace bluefog {
namespace {

/// The magnitude of a finite half, from its definition.
double magnitude_of(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 0x1f;
  const int fraction = bits & 0x3ff;
  return exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
}

bool is_nan_half(std::uint16_t bits) {
  return (bits & 0x7fff) > 0x7c00;
}

/// Rounds by scaling the least significant bit of the half to one.
class ReferenceRounding {
 public:
  ReferenceRounding() {
    for (std::uint32_t bits = 0; bits < 0x7c00; ++bits) {
      bits_of_[magnitude_of(static_cast<std::uint16_t>(bits))] = static_cast<std::uint16_t>(bits);
    }
    bits_of_[65536.0] = 0x7c00;  // one step beyond the largest: infinity
  }

  [[nodiscard]] std::uint16_t operator()(float value) const {
    const std::uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    const double magnitude = std::fabs(static_cast<double>(value));
    if (magnitude >= 65536.0) return sign | 0x7c00;
    const int unit = magnitude == 0 ? -24 : std::max(std::ilogb(magnitude) - 10, -24);
    return sign | bits_of_.at(std::ldexp(std::nearbyint(std::ldexp(magnitude, -unit)), unit));
  }

 private:
  std::map<double, std::uint16_t> bits_of_;
};

TEST(DTypeTest, NamesAreThoseOfNumPy) {
  EXPECT_EQ(name_of(DType::Bool), "bool");
  EXPECT_EQ(name_of(DType::UInt8), "uint8");
  EXPECT_EQ(name_of(DType::Int8), "int8");
  EXPECT_EQ(name_of(DType::Int16), "int16");
  EXPECT_EQ(name_of(DType::Int32), "int32");
  EXPECT_EQ(name_of(DType::Int64), "int64");
  EXPECT_EQ(name_of(DType::Float16), "float16");
  EXPECT_EQ(name_of(DType::BFloat16), "bfloat16");
  EXPECT_EQ(name_of(DType::Float32), "float32");
  EXPECT_EQ(name_of(DType::Float64), "float64");
}

TEST(HalfTest, EveryFloat16WidensExactly) {
  for (std::uint32_t b = 0; b <= 0xffff; ++b) {
    const auto bits = static_cast<std::uint16_t>(b);
    const float wide = to_float32(Float16{bits});
    ASSERT_EQ(std::signbit(wide), (bits & 0x8000) != 0) << b;
    if (is_nan_half(bits)) {
      ASSERT_TRUE(std::isnan(wide)) << b;
    } else if ((bits & 0x7fff) == 0x7c00) {
      ASSERT_TRUE(std::isinf(wide)) << b;
    } else {
      ASSERT_EQ(std::fabs(static_cast<double>(wide)), magnitude_of(bits & 0x7fff)) << b;
    }
  }
}

TEST(HalfTest, EveryFloat16SurvivesTheRoundTrip) {
  for (std::uint32_t b = 0; b <= 0xffff; ++b) {
    const auto bits = static_cast<std::uint16_t>(b);
    const std::uint16_t expected = is_nan_half(bits) ? bits | 0x0200 : bits;  // NaNs become quiet
    ASSERT_EQ(to_float16(to_float32(Float16{bits})).bits, expected) << b;
  }
}

TEST(HalfTest, Float16RoundsToNearestEven) {
  const ReferenceRounding reference;
  for (std::uint32_t b = 0; b < 0x7c00; ++b) {
    const float low = to_float32(Float16{static_cast<std::uint16_t>(b)});
    const float high = b == 0x7bff ? 65536.0F : to_float32(Float16{static_cast<std::uint16_t>(b + 1)});
    const float tie = low + (high - low) / 2;
    for (const float value : {low, std::nextafter(tie, low), tie, std::nextafter(tie, high)}) {
      ASSERT_EQ(to_float16(value).bits, reference(value)) << value;
      ASSERT_EQ(to_float16(-value).bits, reference(-value)) << value;
    }
  }
}

TEST(HalfTest, Float16RoundsRandomFloats) {
  const ReferenceRounding reference;
  std::mt19937 random(11);
  for (int trial = 0; trial < 300'000; ++trial) {
    const auto value = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    if (std::isnan(value)) {
      ASSERT_TRUE(is_nan_half(to_float16(value).bits));
    } else {
      ASSERT_EQ(to_float16(value).bits, reference(value)) << value;
    }
  }
}

TEST(HalfTest, EveryBFloat16SurvivesTheRoundTrip) {
  for (std::uint32_t b = 0; b <= 0xffff; ++b) {
    const auto bits = static_cast<std::uint16_t>(b);
    const bool is_nan = (bits & 0x7fff) > 0x7f80;
    ASSERT_EQ(to_bfloat16(to_float32(BFloat16{bits})).bits, is_nan ? bits | 0x0040 : bits) << b;
  }
}

TEST(HalfTest, BFloat16RoundsToNearestEven) {
  for (std::uint32_t b = 0; b < 0x7f80; ++b) {
    const std::uint32_t low = b << 16;
    const std::uint32_t even = b + (b & 1);
    EXPECT_EQ(to_bfloat16(std::bit_cast<float>(low | 0x7fff)).bits, b);
    EXPECT_EQ(to_bfloat16(std::bit_cast<float>(low | 0x8000)).bits, even);
    EXPECT_EQ(to_bfloat16(std::bit_cast<float>(low | 0x8001)).bits, b + 1);
  }
  EXPECT_EQ(to_bfloat16(std::numeric_limits<float>::max()).bits, 0x7f80);
  EXPECT_EQ(to_bfloat16(-std::numeric_limits<float>::max()).bits, 0xff80);
  // Rounding must not carry a NaN into the sign or to infinity.
  EXPECT_EQ(to_bfloat16(std::bit_cast<float>(std::uint32_t{0x7fff'ffff})).bits, 0x7fff);
  EXPECT_EQ(to_bfloat16(std::bit_cast<float>(std::uint32_t{0x7f80'0001})).bits, 0x7fc0);
}

}  // namespace
}  // namespace bluefog
