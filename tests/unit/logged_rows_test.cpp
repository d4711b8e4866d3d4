// Rows that go by way of a log: the same bits as combine_rows, and either step can be repeated.

#include "mixing/logged_rows.hpp"

#include <algorithm>
#include <cstddef>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "unit/mixing_reference.hpp"

namespace bluefog::mixing {
namespace {

using reference::Bytes;

constexpr std::size_t count = 1003;
constexpr std::size_t chunk = 96;
constexpr std::byte untouched{0xa5};

/// Three tensors, mixed in place by three rows, of which the first and the last say the same.
class Tensors {
 public:
  Tensors(DType dtype, unsigned seed) : dtype_(dtype), bytes_(count * size_of(dtype)) {
    std::mt19937_64 random(seed);
    for (Bytes& tensor : tensors_) {
      tensor.resize(bytes_);
      reference::fill(dtype, tensor, random);
    }
    const Combine combine = is_floating(dtype) ? Combine::Weighted : Combine::Sum;
    rows_ = {{combine, terms_[0], 0}, {combine, terms_[1], 1}, {combine, terms_[0], 0}};
    for (Bytes& tensor : tensors_) {
      inputs_.push_back(tensor.data());
      outputs_.push_back(tensor.data());
    }
  }
  Tensors(const Tensors&) = delete;
  Tensors& operator=(const Tensors&) = delete;

  [[nodiscard]] const std::vector<Bytes>& values() const { return tensors_; }
  [[nodiscard]] std::vector<Bytes> expected() const {
    std::vector<Bytes> result;
    for (const Row& row : rows_) result.push_back(reference::combine_row(dtype_, row, inputs_, count));
    return result;
  }
  [[nodiscard]] LoggedRows logged(const KernelTable& table) {
    return {table, dtype_, rows_, inputs_, outputs_};
  }
  [[nodiscard]] std::size_t stride() const { return chunk * size_of(dtype_); }

 private:
  DType dtype_;
  std::size_t bytes_;
  std::vector<Bytes> tensors_{3};
  std::vector<std::vector<Term>> terms_{{{0, 0.3}, {2, 0.7}}, {{0, 0.1}, {1, 0.5}, {2, 0.4}}};
  std::vector<Row> rows_;
  std::vector<const void*> inputs_;
  std::vector<void*> outputs_;
};

class LoggedRowsTest : public testing::TestWithParam<std::tuple<std::string, DType>> {
 protected:
  [[nodiscard]] DType dtype() const { return std::get<1>(GetParam()); }
  const KernelTable* table_ = kernel_table(std::get<0>(GetParam()));
};

TEST_P(LoggedRowsTest, GiveTheBitsOfCombineRows) {
  Tensors tensors(dtype(), 1);
  const std::vector<Bytes> expected = tensors.expected();
  LoggedRows rows = tensors.logged(*table_);
  EXPECT_EQ(rows.value_count(), 2U);
  Bytes log(rows.value_count() * tensors.stride());
  for (std::size_t first = 0; first < count; first += chunk) {
    const std::size_t length = std::min(chunk, count - first);
    rows.compute(first, length, log.data(), tensors.stride());
    rows.store(first, length, log.data(), tensors.stride());
  }
  EXPECT_EQ(tensors.values(), expected);
}

TEST_P(LoggedRowsTest, CanBeStoredTwiceAndByOthers) {
  Tensors tensors(dtype(), 2);
  const std::vector<Bytes> expected = tensors.expected();
  LoggedRows rows = tensors.logged(*table_);
  Bytes log(rows.value_count() * tensors.stride(), untouched);
  for (std::size_t first = 0; first < count; first += chunk) {
    const std::size_t length = std::min(chunk, count - first);
    rows.compute(first, length, log.data(), tensors.stride());
    rows.store_row(1, first, length / 3, log.data(), tensors.stride());  // then its owner dies
    tensors.logged(*table_).store(first, length, log.data(), tensors.stride());
  }
  EXPECT_EQ(tensors.values(), expected);
}

TEST_P(LoggedRowsTest, ComputingChangesOnlyTheLog) {
  Tensors tensors(dtype(), 3);
  const std::vector<Bytes> before = tensors.values();
  LoggedRows rows = tensors.logged(*table_);
  constexpr std::size_t length = chunk - 5;
  Bytes log(rows.value_count() * tensors.stride(), untouched);
  rows.compute(7, length, log.data(), tensors.stride());
  EXPECT_EQ(tensors.values(), before);
  for (std::size_t value = 0; value < rows.value_count(); ++value) {
    const auto rest = log.begin() + static_cast<std::ptrdiff_t>(value * tensors.stride());
    EXPECT_TRUE(std::all_of(rest + length * size_of(dtype()),
                            rest + static_cast<std::ptrdiff_t>(tensors.stride()),
                            [](std::byte byte) { return byte == untouched; }))
        << "behind value " << value;
  }
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, LoggedRowsTest,
                         testing::Combine(testing::ValuesIn(reference::available_instruction_sets()),
                                          testing::Values(DType::Float32, DType::Float64, DType::BFloat16,
                                                          DType::Int32)),
                         [](const auto& info) {
                           return std::get<0>(info.param) + "_" +
                                  std::string(name_of(std::get<1>(info.param)));
                         });

}  // namespace
}  // namespace bluefog::mixing
