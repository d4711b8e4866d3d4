#include "mixing/bound_rows.hpp"

#include <algorithm>
#include <bit>

namespace bluefog::mixing {

namespace {

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

}  // namespace

void BoundRows::bind(std::span<const Row> rows) {
  find_values(rows);
  operands_.clear();
  outputs_.clear();
  output_rows_.clear();
  values_.clear();
  for (std::size_t v = 0; v < row_of_value_.size(); ++v) {
    const Row& row = rows[row_of_value_[v]];
    const std::size_t first_output = output_rows_.size();
    bind_operands(row);
    for (std::size_t r = row_of_value_[v]; r < rows.size(); ++r) {
      if (value_of_row_[r] == v) output_rows_.push_back(r);
    }
    values_.push_back(Value{nullptr, nullptr, static_cast<std::uint32_t>(row.terms.size()),
                            static_cast<std::uint32_t>(output_rows_.size() - first_output), form_of(row)});
  }
  outputs_.resize(output_rows_.size(), Output{nullptr, false});
  scratch_.resize(values_.size() * scratch_bytes_per_value / sizeof(Line));

  const Operand* operand = operands_.data();
  const Output* output = outputs_.data();
  for (Value& value : values_) {
    value.operands = operand;
    value.outputs = output;
    operand += value.operand_count;
    output += value.output_count;
  }
}

void BoundRows::find_values(std::span<const Row> rows) {
  value_of_row_.resize(rows.size());
  row_of_value_.clear();
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto same = std::find_if(row_of_value_.begin(), row_of_value_.end(),
                                   [&](std::size_t other) { return same_value(rows[r], rows[other]); });
    value_of_row_[r] = static_cast<std::size_t>(same - row_of_value_.begin());
    if (same == row_of_value_.end()) row_of_value_.push_back(r);
  }
}

void BoundRows::bind_operands(const Row& row) {
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

void BoundRows::point_operands(std::span<const void* const> inputs, std::size_t offset) {
  for (Operand& operand : operands_) {
    operand.data = static_cast<const std::byte*>(inputs[operand.input]) + offset;
  }
}

void BoundRows::compute(const KernelTable& table, DType dtype, std::size_t count) {
  table.combine[static_cast<std::size_t>(dtype)](values_.data(), values_.size(), count,
                                                 scratch_.data()->bytes);
}

}  // namespace bluefog::mixing
