/// @file kernels.cpp  Binds rows to memory, decides on order and stores, and calls the kernels of an
/// instruction set.

#include "mixing/kernels.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstdlib>
#include <cstring>
#include <vector>

#if defined(__x86_64__)
#include <cpuid.h>
#include <emmintrin.h>
#endif

#include "mixing/kernel_table.hpp"

namespace bluefog::mixing {

namespace {

constexpr std::size_t line_bytes = 64;
struct alignas(line_bytes) Line {
  std::byte bytes[line_bytes];
};

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

bool same_value(const Row& a, const Row& b) {
  if (a.combine != b.combine || a.terms.size() != b.terms.size()) return false;
  if (a.combine == Combine::Difference && !a.terms.empty() && a.self_term != b.self_term) return false;
  const bool weighted = a.combine == Combine::Weighted || a.combine == Combine::Difference;
  return std::equal(a.terms.begin(), a.terms.end(), b.terms.begin(),
                    [weighted](const Term& x, const Term& y) {
                      return x.input == y.input && (!weighted || std::bit_cast<std::uint64_t>(x.weight) ==
                                                                     std::bit_cast<std::uint64_t>(y.weight));
                    });
}

Form form_of(const Row& row) {
  if (row.terms.empty()) return Form::Zero;
  switch (row.combine) {
    case Combine::Sum:
      return Form::Sum;
    case Combine::Mean:
      return std::has_single_bit(row.terms.size()) ? Form::ScaledSum : Form::DividedSum;
    case Combine::Weighted:
      return Form::Weighted;
    case Combine::Difference:
      return Form::Difference;
  }
  return Form::Zero;
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

/// One call of combine_rows: its distinct values, bound to memory. Kept per thread, so that calls do not
/// allocate.
class Mixer {
 public:
  void run(const KernelTable& table, DType dtype, std::span<const Row> rows,
           std::span<const void* const> inputs, std::span<void* const> outputs, std::size_t count,
           StoreKind store) {
    table_ = &table;
    dtype_ = dtype;
    rows_ = rows;
    inputs_ = inputs;
    outputs_ = outputs;
    find_values();
    bind();

    const std::size_t total = count * size_of(dtype);
    const std::size_t head = std::min(total, bytes_to_line(outputs_[0], size_of(dtype)));
    mix(0, head);
    const bool streams = store == StoreKind::Streaming && choose_streaming(head);
    mix(head, total - head);
    if (streams) fence_streaming_stores();
  }

 private:
  /// Rows that say the same are one value: it is computed once and stored to each of their outputs.
  void find_values() {
    value_of_row_.resize(rows_.size());
    row_of_value_.clear();
    for (std::size_t r = 0; r < rows_.size(); ++r) {
      const auto same = std::find_if(row_of_value_.begin(), row_of_value_.end(),
                                     [&](std::size_t other) { return same_value(rows_[r], rows_[other]); });
      value_of_row_[r] = static_cast<std::size_t>(same - row_of_value_.begin());
      if (same == row_of_value_.end()) row_of_value_.push_back(r);
    }
  }

  /// Lays out operands and outputs value by value; addresses follow in rebase().
  void bind() {
    operands_.clear();
    bound_outputs_.clear();
    output_rows_.clear();
    values_.clear();
    for (std::size_t v = 0; v < row_of_value_.size(); ++v) {
      const Row& row = rows_[row_of_value_[v]];
      const std::size_t first_output = output_rows_.size();
      bind_operands(row);
      for (std::size_t r = row_of_value_[v]; r < rows_.size(); ++r) {
        if (value_of_row_[r] == v) output_rows_.push_back(r);
      }
      values_.push_back(Value{nullptr, nullptr, static_cast<std::uint32_t>(row.terms.size()),
                              static_cast<std::uint32_t>(output_rows_.size() - first_output), form_of(row)});
    }
    bound_outputs_.resize(output_rows_.size(), Output{nullptr, false});

    const Operand* operand = operands_.data();
    const Output* output = bound_outputs_.data();
    for (Value& value : values_) {
      value.operands = operand;
      value.outputs = output;
      operand += value.operand_count;
      output += value.output_count;
    }
  }

  void bind_operands(const Row& row) {
    const auto push = [&](const Term& term) {
      operands_.push_back(Operand{nullptr, term.weight, static_cast<float>(term.weight), term.input});
    };
    const bool own_first = row.combine == Combine::Difference && !row.terms.empty();
    const auto self = own_first ? static_cast<std::size_t>(row.self_term) : row.terms.size();
    if (own_first) push(row.terms[self]);
    for (std::size_t t = 0; t < row.terms.size(); ++t) {
      if (t != self) push(row.terms[t]);
    }
  }

  /// Marks the outputs that no input shares and that are aligned once `head` bytes are done. True if there
  /// are any.
  bool choose_streaming(std::size_t head) {
    bool any = false;
    for (std::size_t o = 0; o < output_rows_.size(); ++o) {
      const void* const base = outputs_[output_rows_[o]];
      const bool aligned = (reinterpret_cast<std::uintptr_t>(base) + head) % line_bytes == 0;
      const bool shared = std::find(inputs_.begin(), inputs_.end(), base) != inputs_.end();
      bound_outputs_[o].streaming = aligned && !shared;
      any = any || bound_outputs_[o].streaming;
    }
    return any;
  }

  /// Points all values at the bytes from `offset` on.
  void rebase(std::size_t offset) {
    for (Operand& operand : operands_) {
      operand.data = static_cast<const std::byte*>(inputs_[operand.input]) + offset;
    }
    for (std::size_t o = 0; o < output_rows_.size(); ++o) {
      bound_outputs_[o].data = static_cast<std::byte*>(outputs_[output_rows_[o]]) + offset;
    }
  }

  void mix(std::size_t offset, std::size_t bytes) {
    if (bytes == 0) return;
    rebase(offset);
    scratch_.resize(values_.size() * scratch_bytes_per_value / line_bytes);
    table_->combine[static_cast<std::size_t>(dtype_)](values_.data(), values_.size(), bytes / size_of(dtype_),
                                                      scratch_.data()->bytes);
  }

  const KernelTable* table_ = nullptr;
  DType dtype_ = DType::Float32;
  std::span<const Row> rows_;
  std::span<const void* const> inputs_;
  std::span<void* const> outputs_;

  std::vector<std::size_t> value_of_row_;
  std::vector<std::size_t> row_of_value_;  ///< the first row of each value
  std::vector<Operand> operands_;
  std::vector<std::size_t> output_rows_;  ///< which row each of bound_outputs_ belongs to
  std::vector<Output> bound_outputs_;
  std::vector<Value> values_;
  std::vector<Line> scratch_;
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

const KernelTable& active_table() {
  static const KernelTable* const table = best_table();
  return *table;
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
  combine_rows_with(active_table(), dtype, rows, inputs, outputs, count, store);
}

void copy_bytes(void* destination, const void* source, std::size_t bytes, StoreKind store) {
  copy_bytes_with(active_table(), destination, source, bytes, store);
}

std::string_view instruction_set() {
  return active_table().name;
}

}  // namespace bluefog::mixing
