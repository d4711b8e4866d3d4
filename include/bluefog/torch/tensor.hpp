#pragma once
/// @file torch/tensor.hpp  Tensors of LibTorch as tensors of the core, and in shared memory.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <torch/types.h>

#include <bluefog/context.hpp>
#include <bluefog/error.hpp>
#include <bluefog/tensor.hpp>

namespace bluefog::torch {

/// What is wrong with a tensor as an argument of an operation; "" if nothing is.
[[nodiscard]] inline std::string complaint_about(const at::Tensor& tensor) {
  if (!tensor.defined()) return "the tensor is undefined";
  if (!tensor.device().is_cpu()) {
    return "the tensor is on " + tensor.device().str() +
           "; the C++ front end takes tensors of the CPU: pass tensor.cpu()";
  }
  if (tensor.layout() != at::kStrided || tensor.is_quantized()) {
    return "the tensor is not a plain dense one; pass tensor.to_dense()";
  }
  switch (tensor.scalar_type()) {
    case at::kBool:
    case at::kByte:
    case at::kChar:
    case at::kShort:
    case at::kInt:
    case at::kLong:
    case at::kHalf:
    case at::kBFloat16:
    case at::kFloat:
    case at::kDouble:
      return "";
    default:
      return std::string("tensors of ") + c10::toString(tensor.scalar_type()) +
             " cannot be sent; convert it (complex numbers: at::view_as_real)";
  }
}

/// @throws InvalidArgument for a type that the core has not got
[[nodiscard]] inline DType dtype_of(at::ScalarType type) {
  switch (type) {
    case at::kBool:
      return DType::Bool;
    case at::kByte:
      return DType::UInt8;
    case at::kChar:
      return DType::Int8;
    case at::kShort:
      return DType::Int16;
    case at::kInt:
      return DType::Int32;
    case at::kLong:
      return DType::Int64;
    case at::kHalf:
      return DType::Float16;
    case at::kBFloat16:
      return DType::BFloat16;
    case at::kFloat:
      return DType::Float32;
    case at::kDouble:
      return DType::Float64;
    default:
      throw InvalidArgument(std::string("there is no DType for torch's ") + c10::toString(type));
  }
}

/// torch's type of these elements.
[[nodiscard]] inline at::ScalarType scalar_type_of(DType dtype) {
  switch (dtype) {
    case DType::Bool:
      return at::kBool;
    case DType::UInt8:
      return at::kByte;
    case DType::Int8:
      return at::kChar;
    case DType::Int16:
      return at::kShort;
    case DType::Int32:
      return at::kInt;
    case DType::Int64:
      return at::kLong;
    case DType::Float16:
      return at::kHalf;
    case DType::BFloat16:
      return at::kBFloat16;
    case DType::Float32:
      return at::kFloat;
    case DType::Float64:
      return at::kDouble;
  }
  throw InvalidArgument("no such DType");
}

/// The memory of a contiguous tensor, to give to the core's own functions; it must live as long as they use
/// it. More than Shape::max_dims dimensions become one. @throws InvalidArgument for a tensor that no
/// operation takes, or that is not contiguous
[[nodiscard]] inline Tensor view(const at::Tensor& tensor) {
  if (const std::string wrong = complaint_about(tensor); !wrong.empty()) throw InvalidArgument(wrong);
  if (!tensor.is_contiguous())
    throw InvalidArgument("the tensor is not contiguous; pass tensor.contiguous()");
  const bool fits = static_cast<std::size_t>(tensor.dim()) <= Shape::max_dims;
  const Shape shape = fits
                          ? Shape(std::span<const std::int64_t>(tensor.sizes().data(), tensor.sizes().size()))
                          : Shape(static_cast<std::size_t>(tensor.numel()));
  return {tensor.data_ptr(), dtype_of(tensor.scalar_type()), shape};
}

/// A tensor over a part of shared memory, which it keeps alive; with a storage of its own, of just its bytes.
[[nodiscard]] inline at::Tensor tensor_over(const SharedMemory& memory, std::size_t offset,
                                            at::IntArrayRef sizes, at::IntArrayRef strides,
                                            at::ScalarType type) {
  auto* place = static_cast<std::byte*>(memory.data()) + offset;
  return at::from_blob(
      place, sizes, strides, [keeper = memory](void* /*place*/) mutable { keeper = SharedMemory(); },
      at::TensorOptions().dtype(type));
}

/// Zeros in this rank's shared memory, contiguous, where operations of one host mix without a copy.
/// @throws Error when the arena or the machine's memory is exhausted
[[nodiscard]] inline at::Tensor shared_zeros(Context& context, at::IntArrayRef sizes, at::ScalarType type) {
  const auto count = static_cast<std::size_t>(c10::multiply_integers(sizes));
  const SharedMemory memory =
      context.allocate_shared(std::max<std::size_t>(count * c10::elementSize(type), 1));
  std::vector<std::int64_t> strides(sizes.size(), 1);
  for (std::size_t dim = sizes.size(); dim > 1; --dim) {
    strides[dim - 2] = strides[dim - 1] * std::max<std::int64_t>(sizes[dim - 1], 1);
  }
  return tensor_over(memory, 0, sizes, strides, type);
}

/// A copy in shared memory, contiguous.
[[nodiscard]] inline at::Tensor shared_copy(Context& context, const at::Tensor& tensor) {
  const at::NoGradGuard no_grad;
  at::Tensor copy = shared_zeros(context, tensor.sizes(), tensor.scalar_type());
  return copy.copy_(tensor);
}

}  // namespace bluefog::torch
