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
  /// @param kind  of a window's tensors: a piece of a large one would not tell
  explicit Stores(StoreHook* hook = nullptr, mixing::StoreKind kind = mixing::StoreKind::Plain)
      : hook_(hook), kind_(kind) {}

  void use(mixing::StoreKind kind) noexcept { kind_ = kind; }
  [[nodiscard]] mixing::StoreKind kind() const noexcept { return kind_; }
  /// Before a store to a shared word, or a letter.
  void step() const {
    if (hook_ != nullptr) hook_->before_store();
  }
  /// to <- weight * from; `to` may be `from`. Dtypes without fractions take weights of 1 and 0.
  void scale(DType dtype, std::byte* to, const std::byte* from, double weight, std::size_t count) const;
  /// to <- base + value; `to` may be either. Not Bool.
  void add(DType dtype, std::byte* to, const std::byte* base, const std::byte* value,
           std::size_t count) const;

  /// to <- to + after - before.
  void add_change(DType dtype, std::byte* to, const std::byte* after, const std::byte* before,
                  std::size_t count) const;
  /// Both <- (a + b) / 2.
  void mean(DType dtype, std::byte* a, std::byte* b, std::size_t count) const;
  /// output <- row over inputs; output may be one of them.
  void combine(DType dtype, const mixing::Row& row, std::span<const void* const> inputs, std::byte* output,
               std::size_t count) const;

 private:
  template <class Store>
  void in_parts(std::size_t count, Store store) const;

  StoreHook* hook_;
  mixing::StoreKind kind_;
};

}  // namespace bluefog::window
