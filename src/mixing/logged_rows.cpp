#include "mixing/logged_rows.hpp"

#include <cstring>

namespace bluefog::mixing {

LoggedRows::LoggedRows(DType dtype, std::span<const Row> rows, std::span<const void* const> inputs,
                       std::span<void* const> outputs)
    : LoggedRows(active_kernels(), dtype, rows, inputs, outputs) {}

LoggedRows::LoggedRows(const KernelTable& table, DType dtype, std::span<const Row> rows,
                       std::span<const void* const> inputs, std::span<void* const> outputs)
    : table_(table), dtype_(dtype), inputs_(inputs), outputs_(outputs) {
  bound_.bind(rows);
  std::vector<Row> distinct(bound_.value_count());
  for (std::size_t row = rows.size(); row-- > 0;) {
    value_of_output_.insert(value_of_output_.begin(), bound_.value_of_row(row));
    distinct[value_of_output_.front()] = rows[row];
  }
  bound_.bind(distinct);  // now every value has one output: the log
}

void LoggedRows::compute(std::size_t first, std::size_t count, std::byte* log, std::size_t stride) {
  bound_.point_operands(inputs_, first * size_of(dtype_));
  for (std::size_t value = 0; value < bound_.value_count(); ++value) {
    bound_.outputs()[value].data = log + value * stride;
  }
  bound_.compute(table_, dtype_, count);
}

void LoggedRows::store(std::size_t first, std::size_t count, const std::byte* log, std::size_t stride) const {
  for (std::size_t row = 0; row < outputs_.size(); ++row) store_row(row, first, count, log, stride);
}

void LoggedRows::store_row(std::size_t row, std::size_t first, std::size_t count, const std::byte* log,
                           std::size_t stride) const {
  std::memcpy(static_cast<std::byte*>(outputs_[row]) + first * size_of(dtype_),
              log + value_of_output_[row] * stride, count * size_of(dtype_));
}

}  // namespace bluefog::mixing
