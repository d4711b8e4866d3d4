#pragma once
/// @file kernels.hpp  The arithmetic of mixing, dispatched at run time to what the CPU can do.
///
/// Every path of the engine (slices, zero copy, ring, network) calls these, so that all give the same bits.
/// Terms are combined in the order given (ascending source rank). float16 and bfloat16 accumulate in float32
/// and are rounded once, to nearest even. Vector bodies and tails round alike; results depend neither on
/// alignment nor on how a range is cut. Only the payload of a NaN is left open where several NaNs meet.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <bluefog/dtype.hpp>

namespace bluefog::mixing {

/// How the terms of one row become one value.
enum class Combine : std::uint8_t {
  Sum,         ///< x_0 + x_1 + ...; integers wrap around
  Mean,        ///< (x_0 + x_1 + ...) / number of terms: one division, so powers of two are exact
  Weighted,    ///< acc = w_0 x_0, then acc = fma(w_k, x_k, acc)
  Difference,  ///< acc = x_self, then for every other term acc = fma(w_k, x_k - x_self, acc)
};

/// Whether outputs go through the cache or past it (non-temporal).
enum class StoreKind : std::uint8_t { Plain, Streaming };

/// One operand of a row: an index into the inputs, and its weight (unused by Sum and Mean). Weights are
/// rounded once to the accumulator's type: float32 for float16, bfloat16 and float32, float64 for float64.
struct Term {
  std::uint32_t input;
  double weight;
};

/// One row of the mixing matrix, restricted to the inputs at hand.
struct Row {
  Combine combine;
  std::span<const Term> terms;  ///< ascending source rank; for Difference the self term's weight is not read
  int self_term = -1;           ///< index into `terms` of the own value; required by Difference
};

/// outputs[r][i] = rows[r] over inputs[*][i], for i in [0, count).
///
/// An output may be the same memory as any one of the inputs (in place): all inputs of a block are read
/// before an output of it is written. Partial overlap is not allowed. Rows may be few (1: a plain weighted
/// sum) or many (slices). A row without terms writes zeros. Streaming is honoured for outputs that are no
/// input; the stores are fenced before the function returns. Requires: Mean, Weighted, Difference only with
/// floating dtypes; Sum with any dtype but Bool.
void combine_rows(DType dtype, std::span<const Row> rows, std::span<const void* const> inputs,
                  std::span<void* const> outputs, std::size_t count, StoreKind store);

/// memcpy with a choice of stores; fenced before it returns.
void copy_bytes(void* destination, const void* source, std::size_t bytes, StoreKind store);

/// The instruction set that is used: "avx512", "avx2" (with fma and f16c) or "portable". Chosen at first use;
/// BLUEFOG_INSTRUCTION_SET lowers it.
[[nodiscard]] std::string_view instruction_set();

}  // namespace bluefog::mixing
