#pragma once
/// @file logged_rows.hpp  combine_rows in two steps, for outputs that must never be half written.

#include <cstddef>
#include <span>
#include <vector>

#include "mixing/bound_rows.hpp"
#include "mixing/kernels.hpp"

namespace bluefog::mixing {

/// A range of elements is computed into a log first, then stored from there to its outputs; both give the
/// bits of combine_rows. The inputs are only read in the first step and the log only in the second, so either
/// can be repeated. Meant for ranges small enough that log and outputs stay in the first-level cache: then
/// the second step is cheap.
class LoggedRows {
 public:
  /// As for combine_rows; what the arguments refer to must stay.
  LoggedRows(DType dtype, std::span<const Row> rows, std::span<const void* const> inputs,
             std::span<void* const> outputs);
  LoggedRows(const KernelTable& table, DType dtype, std::span<const Row> rows,
             std::span<const void* const> inputs, std::span<void* const> outputs);

  /// What the log holds for every element: one value for all rows that say the same.
  [[nodiscard]] std::size_t value_count() const { return bound_.value_count(); }
  [[nodiscard]] std::size_t row_count() const { return outputs_.size(); }
  [[nodiscard]] std::size_t element_bytes() const { return size_of(dtype_); }
  /// Computes elements [first, first + count) into the log.
  /// @param stride  bytes from the elements of one value to those of the next
  void compute(std::size_t first, std::size_t count, std::byte* log, std::size_t stride);
  /// Stores them to the outputs.
  void store(std::size_t first, std::size_t count, const std::byte* log, std::size_t stride) const;
  /// Stores them to the output of one row.
  void store_row(std::size_t row, std::size_t first, std::size_t count, const std::byte* log,
                 std::size_t stride) const;

 private:
  const KernelTable& table_;
  DType dtype_;
  std::span<const void* const> inputs_;
  std::span<void* const> outputs_;
  std::vector<std::size_t> value_of_output_;
  BoundRows bound_;
};

}  // namespace bluefog::mixing
