// What converts to a tensor, and what it then describes.

#include <array>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/shared_memory.hpp>
#include <bluefog/tensor.hpp>

namespace bluefog {
namespace {

template <class Range>
constexpr bool converts = std::is_convertible_v<Range, Tensor>;

static_assert(converts<std::vector<float>&>);
static_assert(converts<std::span<float>>);
static_assert(converts<SharedArray<double>&>);
static_assert(converts<std::int64_t (&)[3]>);
static_assert(!converts<std::vector<float>>, "its elements would be gone before the operation");
static_assert(!converts<const std::vector<float>&>, "an output is written to");
static_assert(!converts<std::span<const float>>);
static_assert(!converts<std::vector<bool>&>, "bits have no addresses");
static_assert(!converts<float&>);
static_assert(std::is_convertible_v<const std::vector<float>&, ConstTensor>);
static_assert(std::is_convertible_v<std::span<const float>, ConstTensor>);
static_assert(std::is_convertible_v<Tensor, ConstTensor>);
static_assert(!std::is_convertible_v<ConstTensor, Tensor>);

TEST(Tensor, DescribesARange) {
  std::vector<double> values(5);
  const Tensor tensor = values;
  EXPECT_EQ(tensor.data, values.data());
  EXPECT_EQ(tensor.dtype, DType::Float64);
  EXPECT_EQ(tensor.shape, Shape(5));
  EXPECT_EQ(tensor.bytes(), 40U);
}

TEST(ConstTensor, DescribesARange) {
  const std::array<BFloat16, 3> values{};
  const ConstTensor tensor = values;
  EXPECT_EQ(tensor.data, values.data());
  EXPECT_EQ(tensor.dtype, DType::BFloat16);
  EXPECT_EQ(tensor.shape, Shape(3));
  const std::span<const std::int32_t> nothing;
  EXPECT_EQ(ConstTensor(nothing).count(), 0U);
}

}  // namespace
}  // namespace bluefog
