#pragma once
/// @file shared_memory.hpp  Memory that the ranks of a host can mix in place.

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include <bluefog/export.hpp>

namespace bluefog {

/// A piece of this rank's shared-memory arena, 64-byte aligned and zeroed. Copies share the piece; it returns
/// to the arena with the last copy. It stays valid after the Context that made it has been shut down or
/// destroyed.
class BLUEFOG_API SharedMemory {
 public:
  SharedMemory() = default;
  /// @param keeper  what keeps the bytes alive
  SharedMemory(std::shared_ptr<void> keeper, void* data, std::size_t bytes)
      : keeper_(std::move(keeper)), data_(data), bytes_(bytes) {}

  /// Where it begins.
  [[nodiscard]] void* data() const noexcept { return data_; }
  /// Its length.
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

 private:
  std::shared_ptr<void> keeper_;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// A fixed-size vector of T in shared memory; see Context::make_shared.
template <class T>
class SharedArray {
 public:
  SharedArray() = default;
  /// Over all of that memory.
  explicit SharedArray(SharedMemory memory) : memory_(std::move(memory)) {}

  /// Where it begins.
  [[nodiscard]] T* data() const noexcept { return static_cast<T*>(memory_.data()); }
  /// Number of elements.
  [[nodiscard]] std::size_t size() const noexcept { return memory_.bytes() / sizeof(T); }
  /// Unchecked.
  [[nodiscard]] T& operator[](std::size_t index) const noexcept { return data()[index]; }
  /// The first element.
  [[nodiscard]] T* begin() const noexcept { return data(); }
  /// Behind the last.
  [[nodiscard]] T* end() const noexcept { return data() + size(); }
  /// All elements, to give to operations.
  [[nodiscard]] std::span<T> span() const noexcept { return {data(), size()}; }

 private:
  SharedMemory memory_;
};

}  // namespace bluefog
