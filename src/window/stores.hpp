#pragma once
/// @file stores.hpp  Every store to memory that other ranks read goes through here.

#include <cstddef>
#include <cstring>
#include <span>

#include <bluefog/dtype.hpp>

#include "engine/stores.hpp"
#include "mixing/kernels.hpp"

namespace bluefog::window {

using engine::StoreHook;

class Stores {
 public:
  explicit Stores(StoreHook* hook = nullptr, std::size_t streaming_threshold = ~std::size_t{0})
      : hook_(hook), streaming_threshold_(streaming_threshold) {}

  /// Before a store to a shared word.
  void step() const {
    if (hook_ != nullptr) hook_->before_store();
  }
  /// to <- weight * from; `to` may be `from`. Dtypes without fractions take weights of 1 and 0.
  void scale(DType dtype, std::byte* to, const std::byte* from, double weight, std::size_t count) const;
  /// to <- base + value; `to` may be either. Not Bool.
  void add(DType dtype, std::byte* to, const std::byte* base, const std::byte* value, std::size_t count) const;

  /// Both <- (a + b) / 2.
  void mean(DType dtype, std::byte* a, std::byte* b, std::size_t count) const;
  /// output <- row over inputs; output may be one of them.
  void combine(DType dtype, const mixing::Row& row, std::span<const void* const> inputs, std::byte* output,
               std::size_t count) const;

 private:
  template <class Store>
  void in_parts(std::size_t count, Store store) const;
  [[nodiscard]] mixing::StoreKind kind_for(std::size_t bytes) const {
    return bytes >= streaming_threshold_ ? mixing::StoreKind::Streaming : mixing::StoreKind::Plain;
  }

  StoreHook* hook_;
  std::size_t streaming_threshold_;
};

}  // namespace bluefog::window
