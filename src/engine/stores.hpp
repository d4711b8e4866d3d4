#pragma once
/// @file stores.hpp  The bulk stores into memory that other ranks read, and whose work they finish when the
/// writer dies.

#include <cstddef>
#include <span>

#include "mixing/kernels.hpp"
#include "mixing/logged_rows.hpp"

namespace bluefog::engine {

/// Sees the stores of a window's protocol, and its letters to far ranks. A seam: tests end a rank before any
/// of them, and in the middle of any bulk one.
class StoreHook {
 public:
  virtual ~StoreHook() = default;
  virtual void before_store() = 0;

 protected:
  StoreHook() = default;
};

/// Carries them out. A seam: tests end a rank between any two of them, and in the middle of one.
class BulkStores {
 public:
  virtual ~BulkStores() = default;
  virtual void combine(DType dtype, std::span<const mixing::Row> rows, std::span<const void* const> inputs,
                       std::span<void* const> outputs, std::size_t count, mixing::StoreKind store) {
    mixing::combine_rows(dtype, rows, inputs, outputs, count, store);
  }
  virtual void log(mixing::LoggedRows& rows, std::size_t first, std::size_t count, std::byte* log,
                   std::size_t stride) {
    rows.compute(first, count, log, stride);
  }
  virtual void store_logged(const mixing::LoggedRows& rows, std::size_t first, std::size_t count,
                            const std::byte* log, std::size_t stride) {
    rows.store(first, count, log, stride);
  }
};

}  // namespace bluefog::engine
