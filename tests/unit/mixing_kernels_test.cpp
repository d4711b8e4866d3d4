#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "mixing/kernel_table.hpp"
#include "mixing/kernels.hpp"
#include "unit/mixing_reference.hpp"

namespace bluefog::mixing {
namespace {

using reference::available_instruction_sets;
using reference::Bytes;

constexpr std::size_t guard_bytes = 128;
constexpr std::byte guard_value{0xa5};

/// Elements at a chosen distance from a cache line, between guards that must stay as they are.
class Guarded {
 public:
  Guarded(std::size_t bytes, std::size_t misalignment)
      : size_(bytes), memory_(bytes + 4 * guard_bytes, guard_value) {
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.data()) + guard_bytes;
    start_ = guard_bytes + (guard_bytes - address % guard_bytes) % guard_bytes + misalignment;
  }
  [[nodiscard]] std::byte* data() { return memory_.data() + start_; }
  [[nodiscard]] std::span<std::byte> bytes() { return {data(), size_}; }
  [[nodiscard]] bool guards_hold() const {
    const auto intact = [](std::byte byte) { return byte == guard_value; };
    const auto start = memory_.begin() + static_cast<std::ptrdiff_t>(start_);
    return std::all_of(memory_.begin(), start, intact) &&
           std::all_of(start + static_cast<std::ptrdiff_t>(size_), memory_.end(), intact);
  }

 private:
  std::size_t size_;
  std::size_t start_;
  Bytes memory_;
};

/// Rows with terms of their own.
class Rows {
 public:
  void add(Combine combine, std::vector<Term> terms, int self_term = -1) {
    terms_.push_back(std::move(terms));
    rows_.push_back(Row{combine, terms_.back(), self_term});
  }
  [[nodiscard]] std::span<const Row> get() const { return rows_; }

 private:
  std::deque<std::vector<Term>> terms_;
  std::vector<Row> rows_;
};

/// One call, checked against the reference. `place[r]` is the input that output r overwrites, or -1.
struct Trial {
  const KernelTable* table;
  DType dtype;
  std::size_t inputs;
  std::vector<int> place;
  std::size_t count;
  StoreKind store = StoreKind::Plain;
  bool misaligned = false;
  std::vector<std::size_t> cuts = {};  ///< where the range is cut into several calls, ascending

  void check(const Rows& rows, std::mt19937_64& random) const {
    const std::size_t bytes = count * size_of(dtype);
    const auto offset = [&] { return misaligned ? random() % 32 * size_of(dtype) % guard_bytes : 0; };
    std::deque<Guarded> in;
    std::deque<Guarded> out;
    std::vector<const void*> sources;
    std::vector<void*> targets;
    for (std::size_t i = 0; i < inputs; ++i) {
      reference::fill(dtype, in.emplace_back(bytes, offset()).bytes(), random);
      sources.push_back(in.back().data());
    }
    for (const int input : place) {
      targets.push_back(input >= 0 ? in[static_cast<std::size_t>(input)].data()
                                   : out.emplace_back(bytes, offset()).data());
    }
    std::vector<Bytes> expected;
    for (const Row& row : rows.get()) expected.push_back(reference::combine_row(dtype, row, sources, count));
    std::vector<Bytes> before;
    for (Guarded& input : in) before.emplace_back(input.bytes().begin(), input.bytes().end());

    run(rows, sources, targets);

    for (std::size_t r = 0; r < targets.size(); ++r) {
      const auto* const got = static_cast<const std::byte*>(targets[r]);
      ASSERT_EQ(reference::first_difference(dtype, got, expected[r].data(), count), count) << "in row " << r;
    }
    for (std::size_t i = 0; i < inputs; ++i) {
      ASSERT_TRUE(in[i].guards_hold());
      const bool overwritten = std::find(place.begin(), place.end(), static_cast<int>(i)) != place.end();
      ASSERT_TRUE(overwritten || std::equal(before[i].begin(), before[i].end(), in[i].data()))
          << "input " << i;
    }
    for (const Guarded& output : out) ASSERT_TRUE(output.guards_hold());
  }

 private:
  void run(const Rows& rows, std::vector<const void*> sources, std::vector<void*> targets) const {
    std::size_t done = 0;
    std::vector<std::size_t> ends = cuts;
    ends.push_back(count);
    for (const std::size_t end : ends) {
      const std::size_t length = end - done;
      combine_rows_with(*table, dtype, rows.get(), sources, targets, length, store);
      for (auto& source : sources) source = static_cast<const std::byte*>(source) + length * size_of(dtype);
      for (auto& target : targets) target = static_cast<std::byte*>(target) + length * size_of(dtype);
      done = end;
    }
  }
};

/// `terms` distinct inputs in ascending order, weights that are not exact in float32.
std::vector<Term> random_terms(std::size_t inputs, std::size_t terms, std::mt19937_64& random) {
  std::vector<std::uint32_t> all(inputs);
  std::iota(all.begin(), all.end(), 0U);
  std::vector<std::uint32_t> chosen;
  std::sample(all.begin(), all.end(), std::back_inserter(chosen), terms, random);
  std::uniform_real_distribution<double> weight(-0.5, 1);
  std::vector<Term> result;
  for (const std::uint32_t input : chosen) result.push_back(Term{input, weight(random)});
  return result;
}

class MixingKernelsTest : public testing::TestWithParam<std::tuple<std::string, DType>> {
 protected:
  [[nodiscard]] static const KernelTable* table() { return kernel_table(std::get<0>(GetParam())); }
  [[nodiscard]] static DType dtype() { return std::get<1>(GetParam()); }

  [[nodiscard]] static std::vector<Combine> combines() {
    if (!is_floating(dtype())) return {Combine::Sum};
    return {Combine::Sum, Combine::Mean, Combine::Weighted, Combine::Difference};
  }

  static void add_random_row(Rows& rows, Combine combine, std::size_t inputs, std::mt19937_64& random) {
    const std::size_t terms = 1 + random() % inputs;
    rows.add(combine, random_terms(inputs, terms, random),
             combine == Combine::Difference ? static_cast<int>(random() % terms) : -1);
  }

  static Combine random_combine(std::mt19937_64& random) { return combines()[random() % combines().size()]; }
};

TEST_P(MixingKernelsTest, OneRowOfAnyLength) {
  std::mt19937_64 random(1);
  std::vector<std::size_t> counts(71);
  std::iota(counts.begin(), counts.end(), 0U);
  counts.insert(counts.end(), {1000, 4099});
  for (const Combine combine : combines()) {
    for (const std::size_t count : counts) {
      for (std::size_t inputs = 1; inputs <= 9; ++inputs) {
        Rows rows;
        rows.add(combine, random_terms(inputs, inputs, random), static_cast<int>(count % inputs));
        const auto store = inputs % 2 == 0 ? StoreKind::Streaming : StoreKind::Plain;
        SCOPED_TRACE(testing::Message()
                     << "combine " << static_cast<int>(combine) << ", " << inputs << " inputs of " << count);
        const int place = static_cast<int>((count + inputs) % (inputs + 1)) - 1;
        Trial{table(), dtype(), inputs, {place}, count, store, count % 3 == 0}.check(rows, random);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(MixingKernelsTest, ManyRowsInPlaceInAnyPermutation) {
  std::mt19937_64 random(2);
  for (std::size_t inputs = 1; inputs <= 9; ++inputs) {
    for (const std::size_t count : {1UL, 15UL, 63UL, 64UL, 333UL, 2500UL}) {
      for (int trial = 0; trial < 12; ++trial) {
        const bool mixed = trial % 2 == 1;
        const Combine combine = random_combine(random);
        Rows rows;
        std::vector<int> place(inputs);
        std::iota(place.begin(), place.end(), 0);
        std::shuffle(place.begin(), place.end(), random);
        for (std::size_t r = 0; r < inputs; ++r) {
          add_random_row(rows, mixed ? random_combine(random) : combine, inputs, random);
          if (trial % 4 >= 2 && random() % 3 == 0) place[r] = -1;
        }
        const auto store = trial % 3 == 0 ? StoreKind::Streaming : StoreKind::Plain;
        SCOPED_TRACE(testing::Message() << inputs << " inputs of " << count << ", trial " << trial);
        Trial{table(), dtype(), inputs, place, count, store, trial % 5 == 0}.check(rows, random);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(MixingKernelsTest, PairsInPlaceAndCrossed) {
  std::mt19937_64 random(3);
  for (const Combine combine : combines()) {
    for (const auto& place : std::vector<std::vector<int>>{{0, 1}, {1, 0}, {-1, -1}, {0, -1}, {-1, 0}}) {
      for (const auto store : {StoreKind::Plain, StoreKind::Streaming}) {
        Rows rows;
        rows.add(combine, {{0, 0.7}, {1, 0.3}}, 0);
        rows.add(combine, {{0, 0.1}, {1, 0.9}}, 1);
        Trial{table(), dtype(), 2, place, 1025, store}.check(rows, random);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(MixingKernelsTest, EqualRowsGoToEveryOutput) {
  std::mt19937_64 random(4);
  for (const std::size_t ranks : {2UL, 3UL, 7UL}) {
    for (const Combine combine : combines()) {
      const std::vector<Term> terms = random_terms(ranks, ranks, random);
      Rows rows;
      std::vector<int> place(ranks + 1, -1);
      for (std::size_t r = 0; r < ranks; ++r) place[r] = static_cast<int>(r);
      for (std::size_t r = 0; r <= ranks; ++r) rows.add(combine, terms, 0);
      Trial{table(), dtype(), ranks, place, 777, StoreKind::Streaming, true}.check(rows, random);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(MixingKernelsTest, RowsThatDifferInOneThingAreNotEqual) {
  std::mt19937_64 random(8);
  const std::vector<Term> terms{{0, 0.3}, {1, 0.4}, {2, 0.3}};
  for (const Combine combine : combines()) {
    Rows rows;
    rows.add(combine, terms, 0);
    rows.add(combine, terms, 1);
    rows.add(combine, {{0, 0.3}, {1, 0.4}, {2, 0.6}}, 0);
    rows.add(combine, {{0, 0.3}, {1, 0.4}, {1, 0.3}}, 0);
    rows.add(combine, {{0, 0.3}, {1, 0.4}}, 0);
    rows.add(Combine::Sum, terms, 0);
    Trial{table(), dtype(), 3, {0, 1, 2, -1, -1, -1}, 300}.check(rows, random);
    if (HasFatalFailure()) return;
  }
}

TEST_P(MixingKernelsTest, SeventyRanksInPlace) {
  std::mt19937_64 random(5);
  constexpr std::size_t ranks = 70;
  Rows rows;
  std::vector<int> place(ranks);
  std::iota(place.begin(), place.end(), 0);
  std::shuffle(place.begin(), place.end(), random);
  for (std::size_t r = 0; r < ranks; ++r) add_random_row(rows, combines().back(), ranks, random);
  Trial{table(), dtype(), ranks, place, 700}.check(rows, random);
}

TEST_P(MixingKernelsTest, CutsDoNotMatter) {
  std::mt19937_64 random(6);
  for (const std::size_t ranks : {1UL, 2UL, 4UL, 6UL}) {
    for (int trial = 0; trial < 20; ++trial) {
      Rows rows;
      std::vector<int> place(ranks);
      std::iota(place.begin(), place.end(), 0);
      for (std::size_t r = 0; r < ranks; ++r) add_random_row(rows, random_combine(random), ranks, random);
      constexpr std::size_t count = 600;
      std::vector<std::size_t> cuts(trial % 5 + 1);
      for (std::size_t& cut : cuts) cut = random() % count;
      std::sort(cuts.begin(), cuts.end());
      Trial{table(), dtype(), ranks, place, count, StoreKind::Plain, false, cuts}.check(rows, random);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(MixingKernelsTest, RowWithoutTermsGivesZeros) {
  std::mt19937_64 random(7);
  for (const std::size_t others : {0UL, 1UL, 3UL, 6UL}) {
    for (const Combine combine : combines()) {
      Rows rows;
      std::vector<int> place{0};
      rows.add(combine, {}, -1);
      for (std::size_t r = 0; r < others; ++r) {
        rows.add(combine, {{0, 0.25}, {1, 0.5 + static_cast<double>(r)}}, static_cast<int>(r % 2));
        place.push_back(r == 0 ? 1 : -1);
      }
      Trial{table(), dtype(), 2, place, 137}.check(rows, random);
      if (HasFatalFailure()) return;
    }
  }
}

std::string parameter_name(const testing::TestParamInfo<std::tuple<std::string, DType>>& info) {
  return std::get<0>(info.param) + "_" + std::string(name_of(std::get<1>(info.param)));
}

INSTANTIATE_TEST_SUITE_P(All, MixingKernelsTest,
                         testing::Combine(testing::ValuesIn(available_instruction_sets()),
                                          testing::Values(DType::UInt8, DType::Int8, DType::Int16,
                                                          DType::Int32, DType::Int64, DType::Float16,
                                                          DType::BFloat16, DType::Float32, DType::Float64)),
                         parameter_name);

}  // namespace
}  // namespace bluefog::mixing
