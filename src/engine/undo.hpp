#pragma once
/// @file undo.hpp  Keeps what an operation overwrites in a tensor of its own rank, so that a failure in the
/// middle leaves no half of a result.

#include <cstddef>
#include <memory>
#include <vector>

#include <bluefog/tensor.hpp>

#include "mixing/kernels.hpp"

namespace bluefog::engine {

/// Memory that operations save to, one after another: fresh pages would cost more than the copies.
class UndoMemory {
 public:
  struct Block {
    std::unique_ptr<std::byte[]> data;
    std::size_t bytes = 0;
  };
  [[nodiscard]] Block take(std::size_t bytes);
  /// Keeps the largest block that it was given.
  void give_back(Block block) noexcept;

 private:
  Block kept_;
};

class Undo {
 public:
  /// @param tensor  what the operation overwrites, from its start to its end
  Undo(std::shared_ptr<UndoMemory> memory, const Tensor& tensor, mixing::StoreKind store);
  ~Undo();
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;

  /// Before the bytes that follow those saved last are overwritten.
  void save_next(std::size_t bytes);
  /// Puts back what was saved.
  void restore() const;

 private:
  std::shared_ptr<UndoMemory> memory_;
  Tensor tensor_;
  mixing::StoreKind store_;
  UndoMemory::Block block_;
  std::size_t saved_ = 0;
};

}  // namespace bluefog::engine
