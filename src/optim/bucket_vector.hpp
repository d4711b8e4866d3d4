#pragma once
/// @file bucket_vector.hpp  Vectors as long as all parameters, in as many tensors.

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <vector>

#include <bluefog/context.hpp>
#include <bluefog/shared_memory.hpp>
#include <bluefog/tensor.hpp>

#include "mixing/kernels.hpp"

namespace bluefog::optim {

/// Copies refer to the same elements.
class BucketVector {
 public:
  /// Of the user's tensors.
  explicit BucketVector(std::vector<Tensor> tensors) : tensors_(std::move(tensors)) {}
  /// Zeros in shared memory, of the same dtypes and shapes.
  BucketVector(Context& context, const BucketVector& like) {
    for (const Tensor& tensor : like.tensors_) {
      memory_.push_back(context.allocate_shared(std::max<std::size_t>(tensor.bytes(), 1)));
      tensors_.emplace_back(memory_.back().data(), tensor.dtype, tensor.shape);
    }
  }

  [[nodiscard]] const std::vector<Tensor>& tensors() const noexcept { return tensors_; }

 private:
  std::vector<SharedMemory> memory_;
  std::vector<Tensor> tensors_;
};

inline void clear(const BucketVector& vector) {
  for (const Tensor& tensor : vector.tensors()) std::memset(tensor.data, 0, tensor.bytes());
}

struct Scaled {
  double factor;
  const BucketVector& vector;
};

/// to <- sum of the terms, the first product being rounded, the others fused. `to` may be one of them.
inline void assign(const BucketVector& to, std::initializer_list<Scaled> sum) {
  std::vector<mixing::Term> terms;
  for (const Scaled& scaled : sum) {
    terms.push_back({static_cast<std::uint32_t>(terms.size()), scaled.factor});
  }
  const mixing::Row row{mixing::Combine::Weighted, terms, -1};
  std::vector<const void*> inputs(terms.size());
  for (std::size_t i = 0; i < to.tensors().size(); ++i) {
    const Tensor& output = to.tensors()[i];
    std::ranges::transform(sum, inputs.begin(),
                           [i](const Scaled& scaled) { return scaled.vector.tensors()[i].data; });
    mixing::combine_rows(output.dtype, {&row, 1}, inputs, {&output.data, 1}, output.count(),
                         mixing::StoreKind::Plain);
  }
}

}  // namespace bluefog::optim
