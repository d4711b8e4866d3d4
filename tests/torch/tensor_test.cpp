// Tensors of LibTorch as tensors of the core: bluefog/torch/tensor.hpp.

#include <string>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <bluefog/torch/tensor.hpp>

#include "multi/job.hpp"
#include "torch/refusals.hpp"

namespace bluefog::test {
namespace {

TEST(TorchTensors, AllTypesHaveTheirDType) {
  for (const auto type : {at::kBool, at::kByte, at::kChar, at::kShort, at::kInt, at::kLong, at::kHalf,
                          at::kBFloat16, at::kFloat, at::kDouble}) {
    const DType dtype = torch::dtype_of(type);
    EXPECT_EQ(torch::scalar_type_of(dtype), type);
    EXPECT_EQ(size_of(dtype), c10::elementSize(type));
    EXPECT_EQ(torch::complaint_about(at::zeros({2}, type)), "");
  }
  EXPECT_THROW(static_cast<void>(torch::dtype_of(at::kComplexFloat)), InvalidArgument);
}

TEST(TorchTensors, AViewIsOfTheSameMemory) {
  const at::Tensor tensor = at::arange(6, at::kFloat).view({2, 3});
  const Tensor view = torch::view(tensor);
  EXPECT_EQ(view.data, tensor.data_ptr());
  EXPECT_EQ(view.dtype, DType::Float32);
  EXPECT_EQ(view.shape.to_string(), "[2, 3]");
  EXPECT_EQ(torch::view(at::zeros({}, at::kDouble)).count(), 1U);
  EXPECT_EQ(torch::view(at::zeros({1, 1, 2, 1, 1, 3, 1, 1})).shape.to_string(), "[6]")
      << "too many dimensions";
}

TEST(TorchTensors, WhatCannotBeSentSaysWhy) {
  const auto expect_no_view = [](const at::Tensor& tensor, const std::string& part) {
    expect_refused(part, [&tensor] { static_cast<void>(torch::view(tensor)); });
  };
  expect_no_view(at::Tensor(), "undefined");
  expect_no_view(at::empty({2}, at::kMeta), "on meta");
  expect_no_view(at::zeros({2, 2}).to_sparse(), "not a plain dense one");
  expect_no_view(at::zeros({2}, at::kComplexFloat), "view_as_real");
  expect_no_view(at::zeros({2, 3}).t(), "not contiguous");
}

TEST(TorchTensors, SharedOnesOutliveTheirContext) {
  at::Tensor tensor;
  at::Tensor copy;
  run_job(Ranks::Threads, 1, [&](Context& context) {
    tensor = torch::shared_zeros(context, {3, 0, 2}, at::kFloat);
    EXPECT_EQ(tensor.sizes(), (std::vector<std::int64_t>{3, 0, 2}));
    tensor = torch::shared_zeros(context, {2, 3}, at::kDouble);
    EXPECT_TRUE(tensor.is_contiguous());
    EXPECT_EQ(tensor.sum().item<double>(), 0);
    EXPECT_EQ(context.memory_kind(tensor.data_ptr()), MemoryKind::Arena);
    copy = torch::shared_copy(context, at::arange(6, at::kLong).view({2, 3}).t());
    EXPECT_EQ(context.memory_kind(copy.data_ptr()), MemoryKind::Arena);
    EXPECT_EQ(copy.storage().nbytes(), 48U) << "a storage of its own bytes";
  });
  tensor.fill_(4);
  EXPECT_EQ(tensor.sum().item<double>(), 24);
  EXPECT_TRUE(copy.equal(at::arange(6, at::kLong).view({2, 3}).t()));
}

}  // namespace
}  // namespace bluefog::test
