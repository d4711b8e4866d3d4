#pragma once
/// @file kernel_table.hpp  What one instruction set offers to the dispatcher in kernels.cpp. Internal.
///
/// The sources that fill these tables are compiled with flags that not every CPU can run, so they must not
/// emit any inline function that another source could share: the types here are plain and have no members to
/// call.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "mixing/kernels.hpp"

namespace bluefog::mixing {

/// Combine, with Mean split by how its division is done: by a power of two, multiplying gives the same bits.
enum class Form : std::uint8_t { Zero, Sum, ScaledSum, DividedSum, Weighted, Difference };

/// A term bound to memory. The weight is there in both accumulator types.
struct Operand {
  const std::byte* data;
  double weight;
  float weight32;
  std::uint32_t input;
};

/// Streaming requires 64-byte alignment.
struct Output {
  std::byte* data;
  bool streaming;
};

/// One value per element, and all places that receive it. For Difference the own operand comes first.
struct Value {
  const Operand* operands;
  const Output* outputs;
  std::uint32_t operand_count;
  std::uint32_t output_count;
  Form form;
};

/// Kernels keep one block of every value here until all inputs of the block are read.
inline constexpr std::size_t scratch_bytes_per_value = 256;
inline constexpr std::size_t dtype_count = 10;

/// Kernels are indexed by DType; those of Bool are null, and integers know only Zero and Sum.
struct KernelTable {
  const char* name;
  /// Computes at least one value for `count` elements, whatever inputs the outputs are. `scratch` is
  /// cache-line aligned, scratch_bytes_per_value for each value. Does not fence streaming stores.
  void (*combine[dtype_count])(const Value* values, std::size_t value_count, std::size_t count,
                               std::byte* scratch);
  /// Copies with streaming stores; the destination is 64-byte aligned. Does not fence.
  void (*stream_copy)(std::byte* destination, const std::byte* source, std::size_t bytes);
};

/// The table of "portable", "avx2" or "avx512"; null if this build or this CPU has no such thing.
[[nodiscard]] const KernelTable* kernel_table(std::string_view name);

/// The table that is used.
[[nodiscard]] const KernelTable& active_kernels();

/// combine_rows with the instruction set given.
void combine_rows_with(const KernelTable& table, DType dtype, std::span<const Row> rows,
                       std::span<const void* const> inputs, std::span<void* const> outputs, std::size_t count,
                       StoreKind store);

/// copy_bytes with the instruction set given.
void copy_bytes_with(const KernelTable& table, void* destination, const void* source, std::size_t bytes,
                     StoreKind store);

extern const KernelTable portable_kernels;
#if defined(__x86_64__)
extern const KernelTable avx2_kernels;
extern const KernelTable avx512_kernels;
#endif

}  // namespace bluefog::mixing
