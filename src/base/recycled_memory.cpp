#include "base/recycled_memory.hpp"

#include <array>
#include <new>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BLUEFOG_RECYCLES 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define BLUEFOG_RECYCLES 0
#endif
#endif
#ifndef BLUEFOG_RECYCLES
#define BLUEFOG_RECYCLES 1
#endif

namespace bluefog::base {

#if BLUEFOG_RECYCLES

namespace {

constexpr std::size_t grain = 64;
constexpr std::size_t classes = 64;
thread_local std::size_t kept_bytes_per_class = std::size_t{256} << 10;
thread_local bool is_gone = false;  ///< what is freed after the end of its thread's pool is not kept

struct Pool {
  std::array<std::vector<void*>, classes> free;
  ~Pool() {
    is_gone = true;
    for (auto& list : free) {
      for (void* memory : list) ::operator delete(memory);
    }
  }
};

thread_local Pool pool;

std::size_t class_of(std::size_t bytes) {
  return (bytes + grain - 1) / grain;
}

}  // namespace

void* allocate_recycled(std::size_t bytes) {
  const std::size_t size_class = class_of(bytes);
  if (size_class >= classes) return ::operator new(bytes);
  if (!is_gone && !pool.free[size_class].empty()) {
    void* memory = pool.free[size_class].back();
    pool.free[size_class].pop_back();
    return memory;
  }
  return ::operator new(size_class* grain);
}

void free_recycled(void* memory, std::size_t bytes) noexcept {
  const std::size_t size_class = class_of(bytes);
  if (size_class < classes && !is_gone) {
    auto& list = pool.free[size_class];
    try {
      if (list.size() * size_class * grain < kept_bytes_per_class) return list.push_back(memory);
    } catch (const std::bad_alloc&) {
      // Not kept, then.
    }
  }
  ::operator delete(memory);
}

RecycleMore::RecycleMore() noexcept
    : kept_before_(std::exchange(kept_bytes_per_class, std::size_t{64} << 20)) {}
RecycleMore::~RecycleMore() {
  kept_bytes_per_class = kept_before_;
}

#else

void* allocate_recycled(std::size_t bytes) {
  return ::operator new(bytes);
}
void free_recycled(void* memory, std::size_t /*bytes*/) noexcept {
  ::operator delete(memory);
}
RecycleMore::RecycleMore() noexcept : kept_before_(0) {}
RecycleMore::~RecycleMore() = default;

#endif

}  // namespace bluefog::base
