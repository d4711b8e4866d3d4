#include "engine/undo.hpp"

#include <utility>

namespace bluefog::engine {

UndoMemory::Block UndoMemory::take(std::size_t bytes) {
  if (kept_.bytes >= bytes) return std::exchange(kept_, {});
  kept_ = {};
  return {std::make_unique_for_overwrite<std::byte[]>(bytes), bytes};
}

void UndoMemory::give_back(Block block) noexcept {
  if (block.bytes > kept_.bytes) kept_ = std::move(block);
}

Undo::Undo(std::shared_ptr<UndoMemory> memory, const Tensor& tensor, mixing::StoreKind store)
    : memory_(std::move(memory)), tensor_(tensor), store_(store) {}

Undo::~Undo() {
  memory_->give_back(std::move(block_));
}

void Undo::save_next(std::size_t bytes) {
  if (block_.bytes == 0) block_ = memory_->take(tensor_.bytes());
  mixing::copy_bytes(block_.data.get() + saved_, static_cast<const std::byte*>(tensor_.data) + saved_, bytes,
                     store_);
  saved_ += bytes;
}

void Undo::restore() const {
  mixing::copy_bytes(tensor_.data, block_.data.get(), saved_, store_);
}

}  // namespace bluefog::engine
