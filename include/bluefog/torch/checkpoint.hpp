#pragma once
/// @file torch/checkpoint.hpp  What a distributed optimizer saves beside the state of LibTorch's.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <torch/serialize/input-archive.h>
#include <torch/serialize/output-archive.h>
#include <torch/types.h>

#include <bluefog/algorithm.hpp>
#include <bluefog/context.hpp>
#include <bluefog/error.hpp>
#include <bluefog/tensor.hpp>
#include <bluefog/torch/tensor.hpp>

namespace bluefog::torch::optimizer {

/// This rank's part of an algorithm, as it is saved.
struct AlgorithmState {
  std::string algorithm;              ///< its name
  std::int64_t rank = 0;              ///< whose it is
  std::int64_t size = 1;              ///< of the job
  std::int64_t layout = 0;            ///< hash of the buckets
  std::int64_t round = 0;             ///< see AnyAlgorithm::round()
  std::int64_t steps = 0;             ///< see AnyAlgorithm::steps_in_round()
  std::vector<at::Tensor> vectors{};  ///< see AnyAlgorithm::state()
};

/// The memory of a core tensor.
[[nodiscard]] inline at::Tensor tensor_at(const Tensor& tensor) {
  return at::from_blob(tensor.data, {static_cast<std::int64_t>(tensor.count())},
                       at::TensorOptions().dtype(scalar_type_of(tensor.dtype)));
}

/// Its vectors are those of the algorithm, not copies.
[[nodiscard]] inline AlgorithmState state_of(const Context& context, const AnyAlgorithm& algorithm,
                                             std::int64_t layout) {
  AlgorithmState state{.algorithm = std::string(algorithm.name()),
                       .rank = context.rank(),
                       .size = context.size(),
                       .layout = layout,
                       .round = static_cast<std::int64_t>(algorithm.round()),
                       .steps = algorithm.steps_in_round()};
  for (const Tensor& tensor : algorithm.state()) state.vectors.push_back(tensor_at(tensor));
  return state;
}

[[nodiscard]] inline std::string key_of(std::size_t vector) {
  return std::string("vector").append(std::to_string(vector));
}

inline void save(::torch::serialize::OutputArchive& archive, const AlgorithmState& state) {
  archive.write("algorithm", c10::IValue(state.algorithm));
  archive.write("rank", c10::IValue(state.rank));
  archive.write("size", c10::IValue(state.size));
  archive.write("layout", c10::IValue(state.layout));
  archive.write("round", c10::IValue(state.round));
  archive.write("steps", c10::IValue(state.steps));
  archive.write("vectors", c10::IValue(static_cast<std::int64_t>(state.vectors.size())));
  for (std::size_t i = 0; i < state.vectors.size(); ++i) {
    archive.write(key_of(i), state.vectors[i], /*is_buffer=*/true);
  }
}

[[nodiscard]] inline AlgorithmState load(::torch::serialize::InputArchive& archive) {
  const auto read = [&archive](const char* key) {
    c10::IValue value;
    archive.read(key, value);
    return value;
  };
  AlgorithmState state{.algorithm = read("algorithm").toStringRef(),
                       .rank = read("rank").toInt(),
                       .size = read("size").toInt(),
                       .layout = read("layout").toInt(),
                       .round = read("round").toInt(),
                       .steps = read("steps").toInt()};
  state.vectors.resize(static_cast<std::size_t>(read("vectors").toInt()));
  for (std::size_t i = 0; i < state.vectors.size(); ++i) {
    archive.read(key_of(i), state.vectors[i], /*is_buffer=*/true);
  }
  return state;
}

/// Whether a loaded state is of as many ranks, so that the algorithm goes on from it; else it starts anew.
/// @throws InvalidArgument for one of another algorithm, of other parameters, or with vectors of another rank
[[nodiscard]] inline bool continues(const AlgorithmState& own, const AlgorithmState& loaded) {
  const auto refuse = [](const std::string& why) { throw InvalidArgument("DistributedOptimizer: " + why); };
  if (loaded.algorithm != own.algorithm) {
    refuse("this is the state of " + loaded.algorithm + ", and the algorithm here is " + own.algorithm);
  }
  if (loaded.layout != own.layout) {
    refuse("this is the state of other parameters, or of another bucket_bytes");
  }
  if (loaded.size != own.size) return false;
  if (loaded.rank != own.rank && !loaded.vectors.empty()) {
    refuse("this is what " + own.algorithm + " remembers on rank " + std::to_string(loaded.rank) +
           ", and this is rank " + std::to_string(own.rank) + "; load on each rank what it has saved itself");
  }
  const auto alike = [](const at::Tensor& one, const at::Tensor& other) {
    return one.sizes() == other.sizes() && one.scalar_type() == other.scalar_type();
  };
  if (!std::ranges::equal(loaded.vectors, own.vectors, alike)) {
    refuse("this is the state of " + own.algorithm + " with other options: it remembers other vectors");
  }
  return true;
}

/// Puts the vectors where those of the algorithm are.
inline void adopt(const AlgorithmState& loaded, AlgorithmState& own) {
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < own.vectors.size(); ++i) own.vectors[i].copy_(loaded.vectors[i]);
}

}  // namespace bluefog::torch::optimizer
