#pragma once
/// @file dtype.hpp  Element types of tensors.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include <bluefog/export.hpp>

namespace bluefog {

/// An IEEE binary16 number, as bits. Arithmetic on it happens in float32.
struct Float16 {
  /// Sign, exponent and fraction.
  std::uint16_t bits = 0;
  friend bool operator==(Float16, Float16) = default;
};

/// A bfloat16 number (the upper half of a float32), as bits. Arithmetic on it happens in float32.
struct BFloat16 {
  /// Sign, exponent and fraction.
  std::uint16_t bits = 0;
  friend bool operator==(BFloat16, BFloat16) = default;
};

/// Type of the elements of a tensor.
enum class DType : std::uint8_t {
  Bool,
  UInt8,
  Int8,
  Int16,
  Int32,
  Int64,
  Float16,
  BFloat16,
  Float32,
  Float64
};

/// Size of one element in bytes.
[[nodiscard]] constexpr std::size_t size_of(DType dtype) noexcept {
  switch (dtype) {
    case DType::Bool:
    case DType::UInt8:
    case DType::Int8:
      return 1;
    case DType::Int16:
    case DType::Float16:
    case DType::BFloat16:
      return 2;
    case DType::Int32:
    case DType::Float32:
      return 4;
    case DType::Int64:
    case DType::Float64:
      return 8;
  }
  return 0;
}

/// True for float16, bfloat16, float32 and float64, the types that can be averaged.
[[nodiscard]] constexpr bool is_floating(DType dtype) noexcept {
  return dtype == DType::Float16 || dtype == DType::BFloat16 || dtype == DType::Float32 ||
         dtype == DType::Float64;
}

/// Name as NumPy and torch spell it: "float32", "bool", ...
[[nodiscard]] BLUEFOG_API std::string_view name_of(DType dtype) noexcept;

/// The DType of a C++ element type. Others do not compile.
template <class T>
[[nodiscard]] consteval DType dtype_of() {
  using U = std::remove_cv_t<T>;
  if constexpr (std::is_same_v<U, bool>) {
    return DType::Bool;
  } else if constexpr (std::is_same_v<U, Float16>) {
    return DType::Float16;
  } else if constexpr (std::is_same_v<U, BFloat16>) {
    return DType::BFloat16;
  } else if constexpr (std::is_same_v<U, float>) {
    return DType::Float32;
  } else if constexpr (std::is_same_v<U, double>) {
    return DType::Float64;
  } else if constexpr (std::is_same_v<U, std::uint8_t>) {
    return DType::UInt8;
  } else if constexpr (std::is_same_v<U, std::int8_t>) {
    return DType::Int8;
  } else if constexpr (std::is_same_v<U, std::int16_t>) {
    return DType::Int16;
  } else if constexpr (std::is_same_v<U, std::int32_t>) {
    return DType::Int32;
  } else if constexpr (std::is_integral_v<U> && std::is_signed_v<U> && sizeof(U) == 8) {
    return DType::Int64;
  } else {
    static_assert(sizeof(U) == 0, "no tensor has elements of this type; DType lists those that there are");
  }
}

}  // namespace bluefog
