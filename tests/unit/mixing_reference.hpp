#pragma once
/// @file mixing_reference.hpp  A scalar reading of the contract of mixing/kernels.hpp, and memory to try
/// kernels on.

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <bluefog/dtype.hpp>

#include "base/half.hpp"
#include "mixing/kernel_table.hpp"
#include "mixing/kernels.hpp"

namespace bluefog::mixing::reference {

using Bytes = std::vector<std::byte>;

/// Those that this build and this CPU have.
inline std::vector<std::string> available_instruction_sets() {
  std::vector<std::string> names;
  for (const char* name : {"portable", "avx2", "avx512"}) {
    if (kernel_table(name) != nullptr) names.emplace_back(name);
  }
  return names;
}

/// Calls `body` with a value of the element type of `dtype`.
template <class Body>
auto with_element(DType dtype, Body&& body) {
  switch (dtype) {
    case DType::Int8:
      return body(std::int8_t{});
    case DType::Int16:
      return body(std::int16_t{});
    case DType::Int32:
      return body(std::int32_t{});
    case DType::Int64:
      return body(std::int64_t{});
    case DType::Float16:
      return body(Float16{});
    case DType::BFloat16:
      return body(BFloat16{});
    case DType::Float32:
      return body(float{});
    case DType::Float64:
      return body(double{});
    default:
      return body(std::uint8_t{});
  }
}

template <class Element>
Element element_at(const std::byte* base, std::size_t index) {
  Element element;
  std::memcpy(&element, base + index * sizeof(Element), sizeof(Element));
  return element;
}

inline float narrow_to(float, float x) {
  return x;
}
inline double narrow_to(double, double x) {
  return x;
}
inline Float16 narrow_to(Float16, float x) {
  return to_float16(x);
}
inline BFloat16 narrow_to(BFloat16, float x) {
  return to_bfloat16(x);
}
inline float widen(float x) {
  return x;
}
inline double widen(double x) {
  return x;
}
inline float widen(Float16 x) {
  return to_float32(x);
}
inline float widen(BFloat16 x) {
  return to_float32(x);
}

template <class Real>
Real combine(const Row& row, const std::vector<Real>& x) {
  if (row.terms.empty()) return 0;
  if (row.combine == Combine::Difference) {
    const Real self = x[static_cast<std::size_t>(row.self_term)];
    Real sum = self;
    for (std::size_t k = 0; k < x.size(); ++k) {
      if (static_cast<int>(k) == row.self_term) continue;
      sum = std::fma(static_cast<Real>(row.terms[k].weight), x[k] - self, sum);
    }
    return sum;
  }
  if (row.combine == Combine::Weighted) {
    Real sum = static_cast<Real>(row.terms[0].weight) * x[0];
    for (std::size_t k = 1; k < x.size(); ++k)
      sum = std::fma(static_cast<Real>(row.terms[k].weight), x[k], sum);
    return sum;
  }
  Real sum = x[0];
  for (std::size_t k = 1; k < x.size(); ++k) sum = sum + x[k];
  return row.combine == Combine::Mean ? sum / static_cast<Real>(x.size()) : sum;
}

/// What one output must hold.
inline Bytes combine_row(DType dtype, const Row& row, std::span<const void* const> inputs,
                         std::size_t count) {
  Bytes result(count * size_of(dtype));
  with_element(dtype, [&](auto element) {
    using Element = decltype(element);
    for (std::size_t i = 0; i < count; ++i) {
      const auto at = [&](const Term& term) {
        return element_at<Element>(static_cast<const std::byte*>(inputs[term.input]), i);
      };
      if constexpr (std::is_integral_v<Element>) {
        std::uint64_t sum = 0;
        for (const Term& term : row.terms) sum += static_cast<std::uint64_t>(at(term));
        element = static_cast<Element>(sum);
      } else {
        std::vector<decltype(widen(element))> x;
        for (const Term& term : row.terms) x.push_back(widen(at(term)));
        element = narrow_to(element, combine(row, x));
      }
      std::memcpy(result.data() + i * sizeof element, &element, sizeof element);
    }
  });
  return result;
}

/// The index of the first element whose bits differ, or `count`. Any NaN equals any other: which operand's
/// payload a sum keeps is left open.
inline std::size_t first_difference(DType dtype, const std::byte* a, const std::byte* b, std::size_t count) {
  return with_element(dtype, [&](auto element) {
    using Element = decltype(element);
    for (std::size_t i = 0; i < count; ++i) {
      if (std::memcmp(a + i * sizeof(Element), b + i * sizeof(Element), sizeof(Element)) == 0) continue;
      if constexpr (!std::is_integral_v<Element>) {
        if (std::isnan(widen(element_at<Element>(a, i))) && std::isnan(widen(element_at<Element>(b, i))))
          continue;
      }
      return i;
    }
    return count;
  });
}

/// Fills memory with numbers of very different size, among them zeros, subnormals, infinities and the
/// largest.
inline void fill(DType dtype, std::span<std::byte> memory, std::mt19937_64& random) {
  if (!is_floating(dtype)) {
    for (std::byte& byte : memory) byte = static_cast<std::byte>(random());
    return;
  }
  with_element(dtype, [&](auto element) {
    using Element = decltype(element);
    if constexpr (!std::is_integral_v<Element>) {
      using Real = decltype(widen(element));
      const Real extremes[] = {Real{0},
                               -Real{0},
                               std::numeric_limits<Real>::denorm_min(),
                               -std::numeric_limits<Real>::min(),
                               std::numeric_limits<Real>::max(),
                               -std::numeric_limits<Real>::infinity(),
                               Real{65504},
                               Real{0x1p-24}};
      std::normal_distribution<Real> normal;
      for (std::size_t i = 0; i < memory.size() / sizeof(Element); ++i) {
        const std::uint64_t dice = random() % 32;
        Real value = dice < 8 ? extremes[dice] : normal(random);
        if (dice >= 28) value = std::ldexp(value, static_cast<int>(random() % 60) - 30);
        element = narrow_to(element, value);
        std::memcpy(memory.data() + i * sizeof(Element), &element, sizeof(Element));
      }
    }
  });
}

}  // namespace bluefog::mixing::reference
