#pragma once
/// @file trained.hpp  A small module and its distributed optimizer.

#include <cstdint>
#include <memory>

#include <torch/torch.h>

#include <bluefog/torch/optimizer.hpp>

#include "torch/models.hpp"

namespace bluefog::test {

inline void backward(::torch::nn::Sequential& model, std::uint64_t seed) {
  model->forward(inputs(seed)).square().sum().backward();
}

/// Plain SGD unless told otherwise, over several buckets.
struct Trained {
  ::torch::nn::Sequential model;
  std::unique_ptr<::torch::optim::SGD> base;
  std::unique_ptr<torch::DistributedOptimizer> optimizer;

  Trained(Context& context, const MakeAlgorithm& make, std::uint64_t seed,
          torch::DistributedOptions options = {},
          const ::torch::optim::SGDOptions& sgd = ::torch::optim::SGDOptions(.1))
      : model(two_layers(seed)), base(std::make_unique<::torch::optim::SGD>(model->parameters(), sgd)) {
    options.bucket_bytes = 256;
    optimizer = std::make_unique<torch::DistributedOptimizer>(context, *base, *model, make, options);
  }
  void step(std::uint64_t seed) {
    optimizer->zero_grad();
    backward(model, seed);
    optimizer->step();
  }
};

/// Another one on each rank in each step.
inline std::uint64_t seed_of(const Context& context, int step = 0) {
  return 100 * static_cast<std::uint64_t>(context.rank()) + static_cast<std::uint64_t>(step);
}

}  // namespace bluefog::test
