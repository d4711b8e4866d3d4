#pragma once
/// @file recycled_memory.hpp  Memory of small things that come and go by the thousand: what is freed is kept
/// for the next of its size.

#include <cstddef>

namespace bluefog::base {

/// As operator new; kept by thread, up to 256 KiB of a size. Under a sanitizer nothing is kept, so that it
/// sees what is used after its end.
[[nodiscard]] void* allocate_recycled(std::size_t bytes);
void free_recycled(void* memory, std::size_t bytes) noexcept;

/// While it lives, its thread keeps up to 64 MiB of a size: for thousands of ranks in one thread.
class RecycleMore {
 public:
  RecycleMore() noexcept;
  ~RecycleMore();
  RecycleMore(const RecycleMore&) = delete;
  RecycleMore& operator=(const RecycleMore&) = delete;

 private:
  std::size_t kept_before_;
};

/// For std::allocate_shared and containers.
template <class T>
struct RecyclingAllocator {
  using value_type = T;
  RecyclingAllocator() = default;
  template <class U>
  RecyclingAllocator(const RecyclingAllocator<U>&) noexcept {}  // NOLINT: converts as allocators do
  [[nodiscard]] T* allocate(std::size_t count) {
    return static_cast<T*>(allocate_recycled(count * sizeof(T)));
  }
  void deallocate(T* memory, std::size_t count) noexcept { free_recycled(memory, count * sizeof(T)); }
  template <class U>
  friend bool operator==(const RecyclingAllocator&, const RecyclingAllocator<U>&) noexcept {
    return true;
  }
};

}  // namespace bluefog::base
