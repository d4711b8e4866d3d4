#include "engine/arguments.hpp"

#include <cmath>

#include <bluefog/error.hpp>

namespace bluefog::engine {

void check_finite(double weight, const std::string& argument) {
  if (!std::isfinite(weight)) throw InvalidArgument(argument + " is not a finite number");
}

void check_memory(const ConstTensor& tensor, const char* what) {
  if (tensor.data != nullptr || tensor.count() == 0) return;
  throw InvalidArgument(std::string("the ") + what + " of shape " + tensor.shape.to_string() +
                        " has no memory: its address is null");
}

void check_output(const ConstTensor& input, const Tensor& output) {
  check_memory(input, "input");
  check_memory(output, "output");
  if (input.dtype != output.dtype) {
    throw InvalidArgument("the output has dtype " + std::string(name_of(output.dtype)) + ", the input " +
                          std::string(name_of(input.dtype)));
  }
  if (input.shape != output.shape) {
    throw InvalidArgument("the output has shape " + output.shape.to_string() + ", the input " +
                          input.shape.to_string());
  }
  const auto* in = static_cast<const std::byte*>(input.data);
  const auto* out = static_cast<const std::byte*>(output.data);
  if (in != out && in < out + output.bytes() && out < in + input.bytes()) {
    throw InvalidArgument("the output overlaps the input; use the same memory (in place), or memory apart");
  }
}

void check_gathered(const ConstTensor& input) {
  check_memory(input, "input");
  if (input.shape.dims() == 0)
    throw InvalidArgument("a scalar cannot be gathered; reshape it to one element");
}

void check_averageable(DType dtype) {
  if (is_floating(dtype)) return;
  throw InvalidArgument(
      "tensors of dtype " + std::string(name_of(dtype)) +
      " cannot be averaged; convert to float32, or use allreduce with a sum or an allgather");
}

}  // namespace bluefog::engine
