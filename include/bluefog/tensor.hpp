#pragma once
/// @file tensor.hpp  Views of contiguous tensors, the arguments of every operation.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <ranges>
#include <span>
#include <string>
#include <type_traits>

#include <bluefog/dtype.hpp>
#include <bluefog/export.hpp>

namespace bluefog {

/// Extents of a tensor, row-major. At most max_dims dimensions; a scalar has none.
class BLUEFOG_API Shape {
 public:
  /// The most dimensions.
  static constexpr std::size_t max_dims = 7;

  Shape() = default;
  /// @throws InvalidArgument for more than max_dims dimensions or a negative extent
  explicit Shape(std::span<const std::int64_t> extents);
  /// One dimension.
  explicit Shape(std::size_t count) : dims_(1) { extents_[0] = static_cast<std::int64_t>(count); }

  /// Number of dimensions.
  [[nodiscard]] std::size_t dims() const noexcept { return dims_; }
  /// Extent of a dimension, unchecked.
  [[nodiscard]] std::int64_t operator[](std::size_t dim) const noexcept { return extents_[dim]; }
  /// All extents.
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

/// Elements side by side: std::vector, std::array, std::span, SharedArray, T[n].
template <class Range>
concept ElementRange = std::ranges::contiguous_range<Range> && std::ranges::sized_range<Range>;

/// Elements that can be written to and outlive the expression.
template <class Range>
concept WritableElementRange = ElementRange<Range> && std::ranges::borrowed_range<Range> &&
    !std::is_const_v<std::remove_reference_t<std::ranges::range_reference_t<Range>>>;

/// A read-only view of a contiguous tensor.
struct ConstTensor {
  /// The first element.
  const void* data = nullptr;
  /// Of the elements.
  DType dtype = DType::Float32;
  /// Its extents.
  Shape shape;

  ConstTensor() = default;
  /// Of any shape. The memory must live until the operation is closed.
  ConstTensor(const void* address, DType type, Shape extents) : data(address), dtype(type), shape(extents) {}
  /// One dimension. The range must live until the operation is closed.
  template <ElementRange Range>
  ConstTensor(const Range& values)  // NOLINT
      : data(std::ranges::data(values)),
        dtype(dtype_of<std::ranges::range_value_t<Range>>()),
        shape(std::ranges::size(values)) {}

  /// Number of elements.
  [[nodiscard]] std::size_t count() const noexcept { return shape.count(); }
  /// Length in memory.
  [[nodiscard]] std::size_t bytes() const noexcept { return count() * size_of(dtype); }
};

/// A writable view of a contiguous tensor.
struct Tensor {
  /// The first element.
  void* data = nullptr;
  /// Of the elements.
  DType dtype = DType::Float32;
  /// Its extents.
  Shape shape;

  Tensor() = default;
  /// Of any shape. The memory must live until the operation is closed.
  Tensor(void* address, DType type, Shape extents) : data(address), dtype(type), shape(extents) {}
  /// One dimension. A range that owns its elements converts only if it is an lvalue.
  template <WritableElementRange Range>
  Tensor(Range&& values)  // NOLINT
      : data(std::ranges::data(values)),
        dtype(dtype_of<std::ranges::range_value_t<Range>>()),
        shape(std::ranges::size(values)) {}

  /// The same, to read.
  operator ConstTensor() const { return {data, dtype, shape}; }  // NOLINT
  /// Number of elements.
  [[nodiscard]] std::size_t count() const noexcept { return shape.count(); }
  /// Length in memory.
  [[nodiscard]] std::size_t bytes() const noexcept { return count() * size_of(dtype); }
};

/// Where the bytes of a tensor live. The engine finds it out from the address.
enum class MemoryKind : std::uint8_t {
  Private,  ///< memory of this process alone
  Arena,    ///< shared memory of this rank, from Context::allocate_shared
};

}  // namespace bluefog
