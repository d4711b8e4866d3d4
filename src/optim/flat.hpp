#pragma once
/// @file flat.hpp  Arithmetic over whole buckets.

#include <array>
#include <cstddef>
#include <vector>

#include <bluefog/tensor.hpp>

#include "mixing/kernels.hpp"

namespace bluefog::optim {

inline void copy(const Tensor& to, const ConstTensor& from) {
  mixing::copy_bytes(to.data, from.data, from.bytes(), mixing::StoreKind::Plain);
}

/// to <- factor * from
inline void scale(const Tensor& to, const ConstTensor& from, double factor) {
  if (factor == 1.0) return copy(to, from);
  const std::array<mixing::Term, 1> terms{{{0, factor}}};
  const mixing::Row row{mixing::Combine::Weighted, terms, -1};
  const std::array<const void*, 1> inputs{from.data};
  const std::array<void*, 1> outputs{to.data};
  mixing::combine_rows(from.dtype, {&row, 1}, inputs, outputs, from.count(), mixing::StoreKind::Plain);
}

/// to <- to + after - before
inline void add_change(const Tensor& to, const ConstTensor& after, const ConstTensor& before) {
  const std::array<mixing::Term, 3> terms{{{0, 1.0}, {1, 1.0}, {2, -1.0}}};
  const mixing::Row row{mixing::Combine::Weighted, terms, -1};
  const std::array<const void*, 3> inputs{to.data, after.data, before.data};
  const std::array<void*, 1> outputs{to.data};
  mixing::combine_rows(to.dtype, {&row, 1}, inputs, outputs, to.count(), mixing::StoreKind::Plain);
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
