#pragma once
/// @file kernels_impl.hpp  The kernels, over the vectors of the including source.
///
/// Included after splat, fused, from_float16, to_float16, widen_bits, narrow_bits, stream, vector_bytes and
/// vector_registers are defined. Whole vectors and the last elements go through the same functions, so they
/// round alike.

#include "mixing/kernel_table.hpp"
#include "mixing/kernel_vectors.hpp"

namespace bluefog::mixing::BLUEFOG_KERNELS {

// Per element type: Packed is a vector as it lies in memory, Sum the vector that accumulates.

struct Float32Element {
  using Scalar = float;
  using Packed = Vectors::F32;
  using Sum = Vectors::F32;
  BLUEFOG_INLINE Sum widen(Packed packed) { return packed; }
  BLUEFOG_INLINE Packed narrow(Sum sum) { return sum; }
  BLUEFOG_INLINE Scalar weight(const Operand& operand) { return operand.weight32; }
};

struct Float64Element {
  using Scalar = double;
  using Packed = Vectors::F64;
  using Sum = Vectors::F64;
  BLUEFOG_INLINE Sum widen(Packed packed) { return packed; }
  BLUEFOG_INLINE Packed narrow(Sum sum) { return sum; }
  BLUEFOG_INLINE Scalar weight(const Operand& operand) { return operand.weight; }
};

struct Float16Element {
  using Scalar = float;
  using Packed = Vectors::Halves;
  using Sum = Vectors::F32;
  BLUEFOG_INLINE Sum widen(Packed packed) { return from_float16(packed); }
  BLUEFOG_INLINE Packed narrow(Sum sum) { return to_float16(sum); }
  BLUEFOG_INLINE Scalar weight(const Operand& operand) { return operand.weight32; }
};

struct BFloat16Element {
  using Scalar = float;
  using Packed = Vectors::Halves;
  using Sum = Vectors::F32;
  using U32 = Vectors::U32;
  BLUEFOG_INLINE Sum widen(Packed packed) { return reinterpret_cast<Sum>(widen_bits(packed) << 16); }
  BLUEFOG_INLINE Packed narrow(Sum sum) {
    const U32 bits = reinterpret_cast<U32>(sum);
    const auto magnitude = reinterpret_cast<Vectors::I32>(bits & 0x7fff'ffff);
    const U32 rounded = bits + 0x7fff + ((bits >> 16) & 1);
    const U32 quiet = bits | 0x0040'0000;
    return narrow_bits((magnitude > 0x7f80'0000 ? quiet : rounded) >> 16);
  }
  BLUEFOG_INLINE Scalar weight(const Operand& operand) { return operand.weight32; }
};

/// Signed integers too: wrapping around is the same in two's complement.
template <class Unsigned>
struct IntegerElement {
  using Scalar = Unsigned;
  using Packed = typename VectorOf<Unsigned, vector_bytes>::Type;
  using Sum = Packed;
  BLUEFOG_INLINE Sum widen(Packed packed) { return packed; }
  BLUEFOG_INLINE Packed narrow(Sum sum) { return sum; }
};

template <class Element>
inline constexpr std::size_t packed_bytes = sizeof(typename Element::Packed);

/// Access to whole vectors.
struct Whole {
  template <class Packed>
  BLUEFOG_INLINE void load(Packed& packed, const std::byte* from, Whole) {
    __builtin_memcpy(&packed, from, sizeof packed);
  }
  template <class Packed, int Unroll>
  BLUEFOG_INLINE void store(const Packed (&packed)[Unroll], const Output& output, std::size_t at, Whole) {
    std::byte* const to = output.data + at;
    if (output.streaming) {
      BLUEFOG_UNROLL
      for (int u = 0; u < Unroll; ++u) {
        using Bits = typename VectorOf<std::uint8_t, sizeof(Packed)>::Type;
        stream(to + u * sizeof(Packed), reinterpret_cast<Bits>(packed[u]));
      }
    } else {
      BLUEFOG_UNROLL
      for (int u = 0; u < Unroll; ++u) __builtin_memcpy(to + u * sizeof(Packed), &packed[u], sizeof(Packed));
    }
  }
};

/// Access to the first bytes of a vector; the rest computes with zeros and is dropped.
struct Part {
  std::size_t bytes;
  template <class Packed>
  BLUEFOG_INLINE void load(Packed& packed, const std::byte* from, Part part) {
    packed = Packed{};
    __builtin_memcpy(&packed, from, part.bytes);
  }
  template <class Packed>
  BLUEFOG_INLINE void store(const Packed (&packed)[1], const Output& output, std::size_t at, Part part) {
    __builtin_memcpy(output.data + at, &packed[0], part.bytes);
  }
};

/// Loads `Unroll` vectors of one operand, `at` bytes behind its start.
template <class Element, int Unroll, class Access>
BLUEFOG_INLINE void load(typename Element::Sum (&loaded)[Unroll], const Operand& operand, std::size_t at,
                         Access access) {
  BLUEFOG_UNROLL
  for (int u = 0; u < Unroll; ++u) {
    typename Element::Packed packed;
    Access::load(packed, operand.data + at + u * packed_bytes<Element>, access);
    loaded[u] = Element::widen(packed);
  }
}

/// Computes `Unroll` vectors of one value. `Terms` is its number of operands if known at compile time, else
/// 0.
template <class Element, Form form, int Terms, int Unroll, class Access>
BLUEFOG_INLINE void evaluate(typename Element::Sum (&sum)[Unroll], const Value& value, std::size_t at,
                             Access access) {
  using Sum = typename Element::Sum;
  const Operand* const operands = value.operands;
  const int terms = Terms != 0 ? Terms : static_cast<int>(value.operand_count);

  Sum own[Unroll];
  load<Element, Unroll>(own, operands[0], at, access);
  BLUEFOG_UNROLL
  for (int u = 0; u < Unroll; ++u) {
    if constexpr (form == Form::Weighted) {
      sum[u] = splat(Element::weight(operands[0])) * own[u];
    } else {
      sum[u] = own[u];
    }
  }
  for (int k = 1; k < terms; ++k) {
    Sum term[Unroll];
    load<Element, Unroll>(term, operands[k], at, access);
    BLUEFOG_UNROLL
    for (int u = 0; u < Unroll; ++u) {
      if constexpr (form == Form::Weighted) {
        sum[u] = fused(splat(Element::weight(operands[k])), term[u], sum[u]);
      } else if constexpr (form == Form::Difference) {
        sum[u] = fused(splat(Element::weight(operands[k])), term[u] - own[u], sum[u]);
      } else {
        sum[u] += term[u];
      }
    }
  }
  if constexpr (form == Form::ScaledSum || form == Form::DividedSum) {
    const auto count = splat(static_cast<typename Element::Scalar>(terms));
    const auto inverse = splat(1 / static_cast<typename Element::Scalar>(terms));
    BLUEFOG_UNROLL
    for (int u = 0; u < Unroll; ++u) sum[u] = form == Form::ScaledSum ? sum[u] * inverse : sum[u] / count;
  }
}

/// Computes one form, with a number of operands known at compile time if Terms is not 0.
template <Form form, int Terms>
struct Known {
  static constexpr int terms = Terms;
  template <class Element, int Unroll, class Access>
  BLUEFOG_INLINE void run(typename Element::Sum (&sum)[Unroll], const Value& value, std::size_t at,
                          Access access) {
    evaluate<Element, form, Terms, Unroll>(sum, value, at, access);
  }
};

/// Looks at the value's form for every block: for rows that differ in form.
template <bool Floating>
struct AnyForm {
  static constexpr int terms = 0;
  template <class Element, int Unroll, class Access>
  BLUEFOG_INLINE void run(typename Element::Sum (&sum)[Unroll], const Value& value, std::size_t at,
                          Access access) {
    if (value.form == Form::Zero) {
      BLUEFOG_UNROLL
      for (int u = 0; u < Unroll; ++u) sum[u] = typename Element::Sum{};
    } else if (!Floating || value.form == Form::Sum) {
      evaluate<Element, Form::Sum, 0, Unroll>(sum, value, at, access);
    } else if constexpr (Floating) {
      switch (value.form) {
        case Form::ScaledSum:
          return evaluate<Element, Form::ScaledSum, 0, Unroll>(sum, value, at, access);
        case Form::DividedSum:
          return evaluate<Element, Form::DividedSum, 0, Unroll>(sum, value, at, access);
        case Form::Weighted:
          return evaluate<Element, Form::Weighted, 0, Unroll>(sum, value, at, access);
        default:
          return evaluate<Element, Form::Difference, 0, Unroll>(sum, value, at, access);
      }
    }
  }
};

/// Computes `Unroll` vectors of all values, then stores them: so an output may be any input.
/// `firsts` are copies of each value's first output.
template <class Element, int Values, class Evaluator, int Unroll, class Access>
BLUEFOG_INLINE void combine_block(const Value* values, const Output* firsts, std::size_t at, Access access) {
  typename Element::Sum sums[Values][Unroll];
  BLUEFOG_UNROLL
  for (int v = 0; v < Values; ++v) Evaluator::template run<Element, Unroll>(sums[v], values[v], at, access);
  BLUEFOG_UNROLL
  for (int v = 0; v < Values; ++v) {
    typename Element::Packed packed[Unroll];
    BLUEFOG_UNROLL
    for (int u = 0; u < Unroll; ++u) packed[u] = Element::narrow(sums[v][u]);
    Access::store(packed, firsts[v], at, access);
    for (std::uint32_t o = 1; o < values[v].output_count; ++o) {
      Access::store(packed, values[v].outputs[o], at, access);
    }
  }
}

/// Does as many whole blocks as there are and returns the bytes done; combine_many does the rest.
template <class Element, int Values, class Evaluator>
static std::size_t combine_range(const Value* values, std::size_t bytes) {
  constexpr int unroll = Values > 2 && vector_registers < 32 ? 2 : 4;  // the sums shall stay in registers
  constexpr std::size_t block = unroll * sizeof(typename Element::Packed);

  // Copies that no store can alias, so that they stay in registers.
  Value local[Values];
  Output firsts[Values];
  Operand operands[Values][Evaluator::terms != 0 ? Evaluator::terms : 1];
  BLUEFOG_UNROLL
  for (int v = 0; v < Values; ++v) {
    local[v] = values[v];
    firsts[v] = values[v].outputs[0];
    if constexpr (Evaluator::terms != 0) {
      BLUEFOG_UNROLL
      for (int k = 0; k < Evaluator::terms; ++k) operands[v][k] = values[v].operands[k];
      local[v].operands = operands[v];
    }
  }

  std::size_t at = 0;
  for (; at + block <= bytes; at += block) {
    combine_block<Element, Values, Evaluator, unroll>(local, firsts, at, Whole{});
  }
  return at;
}

/// One value of a known form: a loop of its own for each of the usual numbers of terms.
template <class Element, Form form>
static std::size_t combine_form(const Value* value, std::size_t bytes) {
  constexpr bool even =
      form != Form::DividedSum;  // the two kinds of Mean share the numbers of terms between them
  constexpr bool odd = form != Form::ScaledSum;
  switch (value->operand_count) {
    case 2:
      return combine_range<Element, 1, Known<form, even ? 2 : 0>>(value, bytes);
    case 3:
      return combine_range<Element, 1, Known<form, odd ? 3 : 0>>(value, bytes);
    case 4:
      return combine_range<Element, 1, Known<form, even ? 4 : 0>>(value, bytes);
    case 5:
      return combine_range<Element, 1, Known<form, odd ? 5 : 0>>(value, bytes);
    default:
      return combine_range<Element, 1, Known<form, 0>>(value, bytes);
  }
}

template <class Element, bool Floating>
static std::size_t combine_one(const Value* value, std::size_t bytes) {
  if (value->form == Form::Sum) return combine_form<Element, Form::Sum>(value, bytes);
  if constexpr (Floating) {
    switch (value->form) {
      case Form::ScaledSum:
        return combine_form<Element, Form::ScaledSum>(value, bytes);
      case Form::DividedSum:
        return combine_form<Element, Form::DividedSum>(value, bytes);
      case Form::Weighted:
        return combine_form<Element, Form::Weighted>(value, bytes);
      case Form::Difference:
        return combine_form<Element, Form::Difference>(value, bytes);
      default:
        break;
    }
  }
  return 0;
}

/// Two ranks that exchange: two values of two terms each.
template <class Element>
static std::size_t combine_pair(const Value* values, std::size_t bytes) {
  if (values[0].operand_count != 2 || values[1].operand_count != 2 || values[0].form != values[1].form)
    return 0;
  if (values[0].form == Form::Weighted)
    return combine_range<Element, 2, Known<Form::Weighted, 2>>(values, bytes);
  if (values[0].form == Form::Difference)
    return combine_range<Element, 2, Known<Form::Difference, 2>>(values, bytes);
  return 0;
}

/// As combine_block, for any number of values: what registers cannot hold waits in scratch.
template <class Element, bool Floating, int Unroll, class Access>
BLUEFOG_INLINE void combine_many_block(const Value* values, std::size_t value_count, std::byte* scratch,
                                       std::size_t at, Access access) {
  using Packed = typename Element::Packed;
  static_assert(Unroll * sizeof(Packed) <= scratch_bytes_per_value);
  for (std::size_t v = 0; v < value_count; ++v) {
    typename Element::Sum sums[Unroll];
    AnyForm<Floating>::template run<Element, Unroll>(sums, values[v], at, access);
    Packed packed[Unroll];
    BLUEFOG_UNROLL
    for (int u = 0; u < Unroll; ++u) packed[u] = Element::narrow(sums[u]);
    __builtin_memcpy(scratch + v * scratch_bytes_per_value, packed, sizeof packed);
  }
  for (std::size_t v = 0; v < value_count; ++v) {
    Packed packed[Unroll];
    __builtin_memcpy(packed, scratch + v * scratch_bytes_per_value, sizeof packed);
    for (std::uint32_t o = 0; o < values[v].output_count; ++o) {
      Access::store(packed, values[v].outputs[o], at, access);
    }
  }
}

/// Does what is left behind the first `at` bytes.
template <class Element, bool Floating>
static void combine_many(const Value* values, std::size_t value_count, std::size_t at, std::size_t bytes,
                         std::byte* scratch) {
  constexpr std::size_t vector = sizeof(typename Element::Packed);
  constexpr int unroll = 4;
  for (; at + unroll * vector <= bytes; at += unroll * vector) {
    combine_many_block<Element, Floating, unroll>(values, value_count, scratch, at, Whole{});
  }
  for (; at + vector <= bytes; at += vector) {
    combine_many_block<Element, Floating, 1>(values, value_count, scratch, at, Whole{});
  }
  if (at < bytes)
    combine_many_block<Element, Floating, 1>(values, value_count, scratch, at, Part{bytes - at});
}

template <class Element, bool Floating>
static void combine(const Value* values, std::size_t value_count, std::size_t count, std::byte* scratch) {
  constexpr std::size_t lanes = sizeof(typename Element::Sum) / sizeof(typename Element::Scalar);
  const std::size_t bytes = count * (sizeof(typename Element::Packed) / lanes);
  std::size_t done = 0;
  if (value_count == 1) done = combine_one<Element, Floating>(values, bytes);
  if constexpr (Floating) {
    if (value_count == 2) done = combine_pair<Element>(values, bytes);
    if (value_count == 4) done = combine_range<Element, 4, AnyForm<Floating>>(values, bytes);
  }
  combine_many<Element, Floating>(values, value_count, done, bytes, scratch);
}

static void stream_copy(std::byte* destination, const std::byte* source, std::size_t bytes) {
  using Packed = VectorOf<std::uint8_t, vector_bytes>::Type;
  constexpr int unroll = 4;
  std::size_t at = 0;
  for (; at + unroll * vector_bytes <= bytes; at += unroll * vector_bytes) {
    Packed block[unroll];
    __builtin_memcpy(block, source + at, sizeof block);
    BLUEFOG_UNROLL
    for (int u = 0; u < unroll; ++u) stream(destination + at + u * vector_bytes, block[u]);
  }
  __builtin_memcpy(destination + at, source + at, bytes - at);
}

/// The table of this source, in the order of DType.
consteval KernelTable make_table(const char* name) {
  return KernelTable{
      name,
      {nullptr, combine<IntegerElement<std::uint8_t>, false>, combine<IntegerElement<std::uint8_t>, false>,
       combine<IntegerElement<std::uint16_t>, false>, combine<IntegerElement<std::uint32_t>, false>,
       combine<IntegerElement<std::uint64_t>, false>, combine<Float16Element, true>,
       combine<BFloat16Element, true>, combine<Float32Element, true>, combine<Float64Element, true>},
      stream_copy};
}

}  // namespace bluefog::mixing::BLUEFOG_KERNELS
