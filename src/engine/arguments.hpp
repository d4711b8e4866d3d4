#pragma once
/// @file arguments.hpp  What the tensors and weights of a call must be. All throw InvalidArgument.

#include <string>

#include <bluefog/tensor.hpp>

namespace bluefog::engine {

void check_finite(double weight, const std::string& argument);
/// A tensor that is not empty lies somewhere.
void check_memory(const ConstTensor& tensor, const char* what);
/// Both have memory, of the same dtype and shape, and either the same or none in common.
void check_output(const ConstTensor& input, const Tensor& output);
void check_gathered(const ConstTensor& input);
void check_averageable(DType dtype);

}  // namespace bluefog::engine
