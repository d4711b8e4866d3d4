#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/half.hpp"
#include "mixing/kernel_table.hpp"
#include "mixing/kernels.hpp"

namespace bluefog::mixing {
namespace {

std::vector<std::string> available_instruction_sets() {
  std::vector<std::string> names;
  for (const char* name : {"portable", "avx2", "avx512"}) {
    if (kernel_table(name) != nullptr) names.emplace_back(name);
  }
  return names;
}

template <class Element>
void combine(const KernelTable& table, const Row& row, std::vector<const void*> inputs,
             std::vector<Element>& output) {
  std::vector<void*> outputs{output.data()};
  combine_rows_with(table, dtype_of<Element>(), {&row, 1}, inputs, outputs, output.size(), StoreKind::Plain);
}

class MixingArithmeticTest : public testing::TestWithParam<std::string> {
 protected:
  [[nodiscard]] static const KernelTable& table() { return *kernel_table(GetParam()); }
};

TEST_P(MixingArithmeticTest, EveryFloat16IsConvertedAsInSoftware) {
  std::vector<Float16> all(65536);
  for (std::size_t b = 0; b < all.size(); ++b) all[b].bits = static_cast<std::uint16_t>(b);
  std::vector<Float16> result(all.size());
  const float below_tie = std::nextafter(1.0F + 0x1p-11F, 0.0F);
  // The products visit subnormals, overflow, ties and both sides of ties.
  for (const float weight :
       {1.0F, 1.0F + 0x1p-11F, below_tie, 1.5F, 0x1p-10F, 0x1.8p-12F, 3.0F, 1e6F, 1e-7F, -0.1F}) {
    const std::array<Term, 1> terms{Term{0, weight}};
    combine(table(), Row{Combine::Weighted, terms}, {all.data()}, result);
    for (std::size_t b = 0; b < all.size(); ++b) {
      ASSERT_EQ(result[b].bits, to_float16(weight * to_float32(all[b])).bits) << b << " times " << weight;
    }
  }
}

TEST_P(MixingArithmeticTest, EveryBFloat16IsConvertedAsInSoftware) {
  std::vector<BFloat16> all(65536);
  for (std::size_t b = 0; b < all.size(); ++b) all[b].bits = static_cast<std::uint16_t>(b);
  std::vector<BFloat16> result(all.size());
  const float below_tie = std::nextafter(1.0F + 0x1p-8F, 0.0F);
  for (const float weight : {1.0F, 1.0F + 0x1p-8F, below_tie, 1.5F, 0x1p-10F, 3.0F, 1e30F, 1e-30F, -0.1F}) {
    const std::array<Term, 1> terms{Term{0, weight}};
    combine(table(), Row{Combine::Weighted, terms}, {all.data()}, result);
    for (std::size_t b = 0; b < all.size(); ++b) {
      ASSERT_EQ(result[b].bits, to_bfloat16(weight * to_float32(all[b])).bits) << b << " times " << weight;
    }
  }
}

TEST_P(MixingArithmeticTest, MeanOfTwoIsTheSameOnBothRanksAndExactlyRounded) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  std::vector<float> a(1003);
  std::vector<float> b(1003);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = normal(random), b[i] = normal(random);
  const std::vector<float> old_a = a;
  const std::vector<float> old_b = b;
  const std::array<Term, 2> terms{Term{0, 0.5}, Term{1, 0.5}};
  const std::array<Row, 2> rows{Row{Combine::Mean, terms}, Row{Combine::Mean, terms}};
  const std::array<const void*, 2> inputs{a.data(), b.data()};
  const std::array<void*, 2> outputs{a.data(), b.data()};
  combine_rows_with(table(), DType::Float32, rows, inputs, outputs, a.size(), StoreKind::Plain);
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i], (old_a[i] + old_b[i]) / 2);
    ASSERT_EQ(std::bit_cast<std::uint32_t>(a[i]), std::bit_cast<std::uint32_t>(b[i]));
  }
}

TEST_P(MixingArithmeticTest, MeanOfEqualPowersOfTwoIsExactDownToSubnormals) {
  std::vector<float> x;
  for (int exponent = -149; exponent <= 124; ++exponent) x.push_back(std::ldexp(1.0F, exponent));
  for (std::uint32_t terms = 1; terms <= 8; ++terms) {
    const std::vector<Term> all(terms, Term{0, 1});
    std::vector<float> mean(x.size());
    combine(table(), Row{Combine::Mean, all}, {x.data()}, mean);
    EXPECT_EQ(mean, x) << terms;
  }
}

TEST_P(MixingArithmeticTest, WeightsAreFusedAndRoundedOnce) {
  // (1 + 2^-12)^2 - 1 keeps its last bit only if the product is not rounded before the sum.
  const std::vector<float> x(37, 1.0F + 0x1p-12F);
  const std::vector<float> y(37, -1.0F);
  std::vector<float> result(37);
  const std::array<Term, 2> terms{Term{1, 1.0}, Term{0, 1.0 + 0x1p-12}};
  combine(table(), Row{Combine::Weighted, terms}, {x.data(), y.data()}, result);
  for (const float value : result) EXPECT_EQ(value, 0x1p-11F + 0x1p-24F);
}

TEST_P(MixingArithmeticTest, DifferenceOfEqualValuesIsExact) {
  const std::vector<float> x(41, 0.1F);
  std::vector<float> result(41);
  const std::array<Term, 3> terms{Term{0, 1.0 / 3}, Term{0, 1.0 / 3}, Term{0, 1.0 / 3}};
  combine(table(), Row{Combine::Difference, terms, 1}, {x.data()}, result);
  EXPECT_EQ(result, x);
}

TEST_P(MixingArithmeticTest, IntegerSumsWrapAround) {
  const std::vector<std::int32_t> large(19, std::numeric_limits<std::int32_t>::max());
  const std::vector<std::int32_t> one(19, 1);
  std::vector<std::int32_t> result(19);
  const std::array<Term, 2> terms{Term{0, 1}, Term{1, 1}};
  combine(table(), Row{Combine::Sum, terms}, {large.data(), one.data()}, result);
  for (const std::int32_t value : result) EXPECT_EQ(value, std::numeric_limits<std::int32_t>::min());
}

TEST_P(MixingArithmeticTest, CopyBytesCopiesExactlyTheBytes) {
  std::vector<std::byte> source(1500);
  for (std::size_t i = 0; i < source.size(); ++i) source[i] = static_cast<std::byte>(i * 7 + i / 256);
  constexpr std::byte untouched{0xee};
  for (const auto store : {StoreKind::Plain, StoreKind::Streaming}) {
    for (std::size_t bytes : {0UL, 1UL, 63UL, 64UL, 65UL, 128UL, 200UL, 256UL, 1000UL, 1311UL}) {
      for (std::size_t offset = 0; offset < 70; ++offset) {
        std::vector<std::byte> target(source.size(), untouched);
        copy_bytes_with(table(), target.data() + offset, source.data() + offset / 2, bytes, store);
        std::vector<std::byte> expected(source.size(), untouched);
        if (bytes != 0) std::memcpy(expected.data() + offset, source.data() + offset / 2, bytes);
        ASSERT_EQ(target, expected) << bytes << " bytes at " << offset;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, MixingArithmeticTest, testing::ValuesIn(available_instruction_sets()),
                         [](const auto& info) { return info.param; });

/// Runs in a process of its own, as the choice is made once.
void exit_with_success_if(const char* wish, const std::string& expected) {
  ::setenv("BLUEFOG_INSTRUCTION_SET", wish, 1);
  std::exit(instruction_set() == expected ? EXIT_SUCCESS : EXIT_FAILURE);
}

TEST(InstructionSetDeathTest, EnvironmentLowersTheChoice) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  for (const std::string& name : available_instruction_sets()) {
    EXPECT_EXIT(exit_with_success_if(name.c_str(), name), testing::ExitedWithCode(EXIT_SUCCESS), "") << name;
  }
}

TEST(InstructionSetDeathTest, UnknownNameIsIgnored) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  const std::string best = available_instruction_sets().back();
  EXPECT_EXIT(exit_with_success_if("mmx", best), testing::ExitedWithCode(EXIT_SUCCESS), "");
}

}  // namespace
}  // namespace bluefog::mixing
