#pragma once
/// @file tensor.hpp  Views of contiguous tensors, the arguments of every operation.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <bluefog/dtype.hpp>
#include <bluefog/export.hpp>

namespace bluefog {

/// Extents of a tensor, row-major. At most max_dims dimensions; a scalar has none.
class BLUEFOG_API Shape {
 public:
  static constexpr std::size_t max_dims = 7;

  Shape() = default;
  /// @throws InvalidArgument for more than max_dims dimensions or a negative extent
  explicit Shape(std::span<const std::int64_t> extents);
  /// One dimension.
  explicit Shape(std::size_t count) : dims_(1) { extents_[0] = static_cast<std::int64_t>(count); }

  [[nodiscard]] std::size_t dims() const noexcept { return dims_; }
  [[nodiscard]] std::int64_t operator[](std::size_t dim) const noexcept { return extents_[dim]; }
  [[nodiscard]] std::span<const std::int64_t> extents() const noexcept { return {extents_.data(), dims_}; }
  /// Number of elements; 1 for a scalar.
  [[nodiscard]] std::size_t count() const noexcept;
  /// "[2, 3]".
  [[nodiscard]] std::string to_string() const;
  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::array<std::int64_t, max_dims> extents_{};
  std::size_t dims_ = 0;
};

/// A read-only view of a contiguous tensor.
struct ConstTensor {
  const void* data = nullptr;
  DType dtype = DType::Float32;
  Shape shape;

  ConstTensor() = default;
  ConstTensor(const void* address, DType type, Shape extents) : data(address), dtype(type), shape(extents) {}
  /// A vector of T; any contiguous range of a supported element type converts.
  template <class T, std::size_t N>
  ConstTensor(std::span<T, N> values)
      : data(values.data()), dtype(dtype_of<T>()), shape(values.size()) {}  // NOLINT

  [[nodiscard]] std::size_t count() const noexcept { return shape.count(); }
  [[nodiscard]] std::size_t bytes() const noexcept { return count() * size_of(dtype); }
};

/// A writable view of a contiguous tensor.
struct Tensor {
  void* data = nullptr;
  DType dtype = DType::Float32;
  Shape shape;

  Tensor() = default;
  Tensor(void* address, DType type, Shape extents) : data(address), dtype(type), shape(extents) {}
  template <class T, std::size_t N>
  requires(!std::is_const_v<T>) Tensor(std::span<T, N> values)
      : data(values.data()), dtype(dtype_of<T>()), shape(values.size()) {}  // NOLINT

  operator ConstTensor() const { return {data, dtype, shape}; }  // NOLINT
  [[nodiscard]] std::size_t count() const noexcept { return shape.count(); }
  [[nodiscard]] std::size_t bytes() const noexcept { return count() * size_of(dtype); }
};

/// Where the bytes of a tensor live. The engine finds it out from the address.
enum class MemoryKind : std::uint8_t {
  Private,  ///< memory of this process alone
  Arena,    ///< shared memory of this rank, from Context::allocate_shared
};

}  // namespace bluefog
