/// @file kernels.cpp  Decides on order and stores, and calls the kernels of an
/// instruction set.

#include "mixing/kernels.hpp"

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <cstring>
#include <vector>

#if defined(__x86_64__)
#include <cpuid.h>
#include <emmintrin.h>
#endif

#include "mixing/bound_rows.hpp"
#include "mixing/kernel_table.hpp"

namespace bluefog::mixing {

namespace {

constexpr std::size_t line_bytes = 64;

/// Non-temporal stores are weakly ordered: whoever sees a later flag must see them too.
void fence_streaming_stores() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

/// Bytes from `address` to the next line, if it can be reached in whole elements.
std::size_t bytes_to_line(const void* address, std::size_t element_bytes) {
  const auto bits = reinterpret_cast<std::uintptr_t>(address);
  if (bits % element_bytes != 0) return 0;
  return (line_bytes - bits % line_bytes) % line_bytes;
}

#ifndef NDEBUG
bool is_valid(DType dtype, const Row& row, std::size_t input_count) {
  if (dtype == DType::Bool) return false;
  if (row.combine != Combine::Sum && !is_floating(dtype)) return false;
  const bool self_in_range = row.self_term >= 0 && static_cast<std::size_t>(row.self_term) < row.terms.size();
  if (row.combine == Combine::Difference && !row.terms.empty() && !self_in_range) return false;
  return std::all_of(row.terms.begin(), row.terms.end(),
                     [&](const Term& t) { return t.input < input_count; });
}

bool overlap_partially(const void* a, const void* b, std::size_t bytes) {
  const auto x = reinterpret_cast<std::uintptr_t>(a);
  const auto y = reinterpret_cast<std::uintptr_t>(b);
  return x != y && x < y + bytes && y < x + bytes;
}
#endif

/// One call of combine_rows. Kept per thread, so that calls do not allocate.
class Mixer {
 public:
  void run(const KernelTable& table, DType dtype, std::span<const Row> rows,
           std::span<const void* const> inputs, std::span<void* const> outputs, std::size_t count,
           StoreKind store) {
    inputs_ = inputs;
    outputs_ = outputs;
    bound_.bind(rows);
    const std::size_t total = count * size_of(dtype);
    const std::size_t head = std::min(total, bytes_to_line(outputs_[0], size_of(dtype)));
    mix(table, dtype, 0, head);
    const bool streams = store == StoreKind::Streaming && choose_streaming(head);
    mix(table, dtype, head, total - head);
    if (streams) fence_streaming_stores();
  }

 private:
  /// Marks the outputs that no input shares and that are aligned once `head` bytes are done. True if there
  /// are any.
  bool choose_streaming(std::size_t head) {
    bool any = false;
    for (std::size_t o = 0; o < bound_.outputs().size(); ++o) {
      const void* const base = outputs_[bound_.output_rows()[o]];
      const bool aligned = (reinterpret_cast<std::uintptr_t>(base) + head) % line_bytes == 0;
      const bool shared = std::find(inputs_.begin(), inputs_.end(), base) != inputs_.end();
      bound_.outputs()[o].streaming = aligned && !shared;
      any = any || bound_.outputs()[o].streaming;
    }
    return any;
  }

  /// Does the bytes from `offset` on.
  void mix(const KernelTable& table, DType dtype, std::size_t offset, std::size_t bytes) {
    if (bytes == 0) return;
    bound_.point_operands(inputs_, offset);
    for (std::size_t o = 0; o < bound_.outputs().size(); ++o) {
      bound_.outputs()[o].data = static_cast<std::byte*>(outputs_[bound_.output_rows()[o]]) + offset;
    }
    bound_.compute(table, dtype, bytes / size_of(dtype));
  }

  std::span<const void* const> inputs_;
  std::span<void* const> outputs_;
  BoundRows bound_;
};

#if defined(__x86_64__)
/// clang 14 does not know the name for __builtin_cpu_supports.
bool cpu_has_f16c() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
#endif

const KernelTable* best_table() {
  const char* const wish = std::getenv("BLUEFOG_INSTRUCTION_SET");
  bool allowed = wish == nullptr || kernel_table(wish) == nullptr;
  for (const char* name : {"avx512", "avx2"}) {
    allowed = allowed || std::string_view(wish) == name;
    if (!allowed) continue;
    if (const KernelTable* table = kernel_table(name)) return table;
  }
  return &portable_kernels;
}

}  // namespace

const KernelTable* kernel_table(std::string_view name) {
  if (name == "portable") return &portable_kernels;
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && cpu_has_f16c();
  if (name == "avx2" && avx2) return &avx2_kernels;
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (name == "avx512" && avx512) return &avx512_kernels;
#endif
  return nullptr;
}

const KernelTable& active_kernels() {
  static const KernelTable* const table = best_table();
  return *table;
}

void combine_rows_with(const KernelTable& table, DType dtype, std::span<const Row> rows,
                       std::span<const void* const> inputs, std::span<void* const> outputs, std::size_t count,
                       StoreKind store) {
  assert(rows.size() == outputs.size());
  assert(std::all_of(rows.begin(), rows.end(),
                     [&](const Row& row) { return is_valid(dtype, row, inputs.size()); }));
  assert(std::none_of(inputs.begin(), inputs.end(), [&](const void* input) {
    return std::any_of(outputs.begin(), outputs.end(), [&](const void* output) {
      return overlap_partially(input, output, count * size_of(dtype));
    });
  }));
  if (rows.empty() || count == 0) return;
  thread_local Mixer mixer;
  mixer.run(table, dtype, rows, inputs, outputs, count, store);
}

void copy_bytes_with(const KernelTable& table, void* destination, const void* source, std::size_t bytes,
                     StoreKind store) {
  if (bytes == 0) return;
  if (store == StoreKind::Plain) {
    std::memcpy(destination, source, bytes);
    return;
  }
  auto* const to = static_cast<std::byte*>(destination);
  const auto* const from = static_cast<const std::byte*>(source);
  const std::size_t head = std::min(bytes, bytes_to_line(destination, 1));
  std::memcpy(to, from, head);
  table.stream_copy(to + head, from + head, bytes - head);
  fence_streaming_stores();
}

void combine_rows(DType dtype, std::span<const Row> rows, std::span<const void* const> inputs,
                  std::span<void* const> outputs, std::size_t count, StoreKind store) {
  combine_rows_with(active_kernels(), dtype, rows, inputs, outputs, count, store);
}

void copy_bytes(void* destination, const void* source, std::size_t bytes, StoreKind store) {
  copy_bytes_with(active_kernels(), destination, source, bytes, store);
}

std::string_view instruction_set() {
  return active_kernels().name;
}

}  // namespace bluefog::mixing
