#include <bluefog/error.hpp>
#include <bluefog/tensor.hpp>

namespace bluefog {

Shape::Shape(std::span<const std::int64_t> extents) {
  if (extents.size() > max_dims) {
    throw InvalidArgument("a tensor has " + std::to_string(extents.size()) + " dimensions; at most " +
                          std::to_string(max_dims) + " are supported: flatten some of them");
  }
  for (const std::int64_t extent : extents) {
    if (extent < 0) throw InvalidArgument("a tensor has the negative extent " + std::to_string(extent));
    extents_[dims_++] = extent;
  }
}

std::size_t Shape::count() const noexcept {
  std::size_t product = 1;
  for (const std::int64_t extent : extents()) product *= static_cast<std::size_t>(extent);
  return product;
}

std::string Shape::to_string() const {
  std::string text = "[";
  for (std::size_t dim = 0; dim < dims_; ++dim) {
    if (dim > 0) text += ", ";
    text += std::to_string(extents_[dim]);
  }
  return text + "]";
}

}  // namespace bluefog
