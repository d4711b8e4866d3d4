#pragma once
/// @file reference.hpp  Tensors that every rank can compute, and what mixing them must give, to the bit.
///
/// Written from the arithmetic rule alone, without the engine's code: terms in ascending rank order, fma in
/// the accumulator's type, one rounding to the element's type at the end.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include <bluefog/bluefog.hpp>

#include "base/half.hpp"

namespace bluefog::test {

enum class Form { Sum, Mean, Weighted, Difference };

struct Term {
  int rank;
  double weight;
};

/// What one rank must compute: `terms` in ascending rank order, with itself where it counts.
struct Expectation {
  Form form = Form::Mean;
  std::vector<Term> terms;
  int self = 0;
};

template <class Body>
void with_element(DType dtype, Body&& body) {
  switch (dtype) {
    case DType::Bool:
    case DType::UInt8:
      return body(std::uint8_t{});
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
  }
}

inline float widen(Float16 x) {
  return to_float32(x);
}
inline float widen(BFloat16 x) {
  return to_float32(x);
}
inline float widen(float x) {
  return x;
}
inline double widen(double x) {
  return x;
}
inline void narrow(float x, Float16& to) {
  to = to_float16(x);
}
inline void narrow(float x, BFloat16& to) {
  to = to_bfloat16(x);
}
inline void narrow(float x, float& to) {
  to = x;
}
inline void narrow(double x, double& to) {
  to = x;
}

/// The finalizer of SplitMix64.
inline std::uint64_t scramble(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

/// Element `index` of the tensor that `rank` brings to the step `step`. Bool: 0 or 1; integers: any;
/// floating: in (-8, 8).
template <class Element>
void set_element(Element& to, bool is_bool, int rank, std::uint64_t step, std::size_t index) {
  const std::uint64_t bits =
      scramble((step << 40) + (static_cast<std::uint64_t>(rank) << 32) + index + 0x9e3779b97f4a7c15ULL);
  if constexpr (std::is_integral_v<Element>) {
    to = static_cast<Element>(is_bool ? bits & 1 : bits);
  } else {
    using Real = decltype(widen(to));
    narrow(static_cast<Real>(static_cast<double>(static_cast<std::int64_t>(bits)) * 0x1p-60), to);
  }
}

inline void fill(void* data, DType dtype, std::size_t count, int rank, std::uint64_t step) {
  with_element(dtype, [&](auto element) {
    auto* to = static_cast<decltype(element)*>(data);
    for (std::size_t i = 0; i < count; ++i) set_element(to[i], dtype == DType::Bool, rank, step, i);
  });
}

template <class Real>
Real combine(const Expectation& wanted, const std::vector<Real>& x) {
  const auto n = wanted.terms.size();
  if (n == 0) return 0;
  if (wanted.form == Form::Difference) {
    Real self = 0;
    for (std::size_t k = 0; k < n; ++k) self = wanted.terms[k].rank == wanted.self ? x[k] : self;
    Real sum = self;
    for (std::size_t k = 0; k < n; ++k) {
      if (wanted.terms[k].rank == wanted.self) continue;
      sum = std::fma(static_cast<Real>(wanted.terms[k].weight), x[k] - self, sum);
    }
    return sum;
  }
  if (wanted.form == Form::Weighted) {
    Real sum = static_cast<Real>(wanted.terms[0].weight) * x[0];
    for (std::size_t k = 1; k < n; ++k) sum = std::fma(static_cast<Real>(wanted.terms[k].weight), x[k], sum);
    return sum;
  }
  Real sum = x[0];
  for (std::size_t k = 1; k < n; ++k) sum += x[k];
  return wanted.form == Form::Mean ? sum / static_cast<Real>(n) : sum;
}

/// The first element of `result` that is not what `wanted` says, or -1.
inline std::ptrdiff_t first_difference(const Expectation& wanted, const void* result, DType dtype,
                                       std::size_t count, std::uint64_t step) {
  std::ptrdiff_t found = -1;
  with_element(dtype, [&](auto element) {
    using Element = decltype(element);
    const auto* values = static_cast<const Element*>(result);
    const std::size_t terms = wanted.terms.size();
    const auto differs = [&](std::size_t i) {
      return std::memcmp(&values[i], &element, sizeof(Element)) != 0;
    };
    if constexpr (std::is_integral_v<Element>) {
      for (std::size_t i = 0; i < count && found < 0; ++i) {
        std::uint64_t sum = 0;
        for (std::size_t k = 0; k < terms; ++k) {
          set_element(element, false, wanted.terms[k].rank, step, i);
          sum += static_cast<std::uint64_t>(element);
        }
        element = static_cast<Element>(sum);
        if (differs(i)) found = static_cast<std::ptrdiff_t>(i);
      }
    } else {
      std::vector<decltype(widen(element))> x(terms);
      for (std::size_t i = 0; i < count && found < 0; ++i) {
        for (std::size_t k = 0; k < terms; ++k) {
          set_element(element, false, wanted.terms[k].rank, step, i);
          x[k] = widen(element);
        }
        narrow(combine(wanted, x), element);
        if (differs(i)) found = static_cast<std::ptrdiff_t>(i);
      }
    }
  });
  return found;
}

}  // namespace bluefog::test
