#pragma once
/// @file bound_rows.hpp  Rows as the kernels take them: distinct values, with operands and outputs bound to
/// memory. Internal.

#include <cstddef>
#include <span>
#include <vector>

#include "mixing/kernel_table.hpp"

namespace bluefog::mixing {

/// Can be bound again without allocation.
class BoundRows {
 public:
  /// Rows that say the same become one value: it is computed once and stored to each of their outputs.
  void bind(std::span<const Row> rows);

  [[nodiscard]] std::size_t value_count() const { return values_.size(); }
  [[nodiscard]] std::size_t value_of_row(std::size_t row) const { return value_of_row_[row]; }
  /// The outputs of all values, one value after another, and the row that each belongs to.
  [[nodiscard]] std::span<Output> outputs() { return outputs_; }
  [[nodiscard]] std::span<const std::size_t> output_rows() const { return output_rows_; }

  /// Operands start `offset` bytes behind the inputs that they index.
  void point_operands(std::span<const void* const> inputs, std::size_t offset);
  void compute(const KernelTable& table, DType dtype, std::size_t count);

 private:
  static constexpr std::size_t line_bytes = 64;
  struct alignas(line_bytes) Line {
    std::byte bytes[line_bytes];
  };
  void find_values(std::span<const Row> rows);
  void bind_operands(const Row& row);

  std::vector<std::size_t> value_of_row_;
  std::vector<std::size_t> row_of_value_;  ///< the first row of each value
  std::vector<Operand> operands_;
  std::vector<std::size_t> output_rows_;
  std::vector<Output> outputs_;
  std::vector<Value> values_;
  std::vector<Line> scratch_;
};

}  // namespace bluefog::mixing
