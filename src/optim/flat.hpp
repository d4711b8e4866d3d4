#pragma once
/// @file flat.hpp  Arithmetic over whole buckets.

#include <cstddef>
#include <vector>

#include <bluefog/tensor.hpp>

#include "window/stores.hpp"

namespace bluefog::optim {

/// to <- factor * from
inline void scale(const Tensor& to, const ConstTensor& from, double factor) {
  window::Stores().scale(from.dtype, static_cast<std::byte*>(to.data),
                         static_cast<const std::byte*>(from.data), factor, from.count());
}

inline void copy(const Tensor& to, const ConstTensor& from) {
  scale(to, from, 1.0);
}

/// to <- to + after - before
inline void add_change(const Tensor& to, const ConstTensor& after, const ConstTensor& before) {
  window::Stores().add_change(to.dtype, static_cast<std::byte*>(to.data),
                              static_cast<const std::byte*>(after.data),
                              static_cast<const std::byte*>(before.data), to.count());
}

/// Memory of the same dtype and shape, which it owns.
class OwnedTensor {
 public:
  explicit OwnedTensor(const ConstTensor& like)
      : bytes_(like.bytes()), tensor_(bytes_.data(), like.dtype, like.shape) {
    copy(tensor_, like);
  }
  OwnedTensor(OwnedTensor&&) noexcept = default;  // the bytes stay where they are
  OwnedTensor& operator=(OwnedTensor&&) noexcept = default;
  [[nodiscard]] const Tensor& view() const noexcept { return tensor_; }

 private:
  std::vector<std::byte> bytes_;
  Tensor tensor_;
};

}  // namespace bluefog::optim
