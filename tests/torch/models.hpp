#pragma once
/// @file models.hpp  Small modules for the tests of the LibTorch front end.

#include <cstdint>
#include <vector>

#include <torch/torch.h>

namespace bluefog::test {

/// Fills the parameters with normal numbers that depend on the seed only.
inline void fill(::torch::nn::Module& module, std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  for (at::Tensor& parameter : module.parameters()) parameter.normal_(0, .25, generator);
}

inline ::torch::nn::Sequential two_layers(std::uint64_t seed, at::ScalarType type = at::kDouble) {
  ::torch::nn::Sequential model(::torch::nn::Linear(4, 8), ::torch::nn::Tanh(), ::torch::nn::Linear(8, 2));
  model->to(type);
  fill(*model, seed);
  return model;
}

/// Five samples that depend on the seed only.
inline at::Tensor inputs(std::uint64_t seed, at::ScalarType type = at::kDouble) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return at::randn({5, 4}, generator, at::TensorOptions().dtype(type));
}

/// All parameters as one vector.
inline at::Tensor flat(const ::torch::nn::Module& module) {
  std::vector<at::Tensor> parts;
  for (const at::Tensor& parameter : module.parameters()) parts.push_back(parameter.detach().reshape({-1}));
  return at::cat(parts);
}

}  // namespace bluefog::test
