#include "engine/task.hpp"

#include <array>
#include <new>
#include <vector>

namespace bluefog::engine {

namespace {

constexpr std::size_t grain = 256;
constexpr std::size_t classes = 16;
constexpr std::size_t kept_per_class = 64;

struct FramePool {
  std::array<std::vector<void*>, classes> free;
  ~FramePool() {
    for (auto& list : free) {
      for (void* frame : list) ::operator delete(frame);
    }
  }
};

thread_local FramePool pool;

std::size_t class_of(std::size_t bytes) {
  return (bytes + grain - 1) / grain;
}

}  // namespace

void* allocate_frame(std::size_t bytes) {
  const std::size_t size_class = class_of(bytes);
  if (size_class >= classes) return ::operator new(bytes);
  auto& list = pool.free[size_class];
  if (list.empty()) return ::operator new(size_class* grain);
  void* frame = list.back();
  list.pop_back();
  return frame;
}

void free_frame(void* frame, std::size_t bytes) noexcept {
  const std::size_t size_class = class_of(bytes);
  if (size_class < classes && pool.free[size_class].size() < kept_per_class) {
    try {
      pool.free[size_class].push_back(frame);
      return;
    } catch (const std::bad_alloc&) {
      // Not kept, then.
    }
  }
  ::operator delete(frame);
}

}  // namespace bluefog::engine
