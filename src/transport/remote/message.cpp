#include "transport/remote/message.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <mutex>
#include <new>

namespace bluefog::transport::remote {

namespace {

constexpr std::size_t kept_bytes = std::size_t{64} << 20;
constexpr std::size_t smallest_class = 6;  ///< 64 bytes
constexpr std::size_t largest_class = 22;  ///< 4 MiB; what is larger is not kept

std::size_t class_of(std::size_t bytes) {
  return std::max<std::size_t>(smallest_class, std::bit_width(bytes - 1));
}

struct Pool {
  std::mutex mutex;
  std::array<std::vector<std::unique_ptr<std::byte[]>>, largest_class + 1> free;
  std::size_t bytes = 0;
};

Pool& pool() {
  static Pool* const pool = new Pool;  // NOLINT: outlives static destruction, for threads may end late
  return *pool;
}

std::unique_ptr<std::byte[]> take(std::size_t size_class) {
  // Never waits: in a forked child the lock may stay locked.
  const std::unique_lock lock(pool().mutex, std::try_to_lock);
  if (!lock.owns_lock()) return nullptr;
  auto& free = pool().free[size_class];
  if (free.empty()) return nullptr;
  auto memory = std::move(free.back());
  free.pop_back();
  pool().bytes -= std::size_t{1} << size_class;
  return memory;
}

}  // namespace

Payload::Payload(std::size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  const std::size_t size_class = class_of(bytes);
  if (size_class > largest_class) {
    memory_ = std::make_unique_for_overwrite<std::byte[]>(bytes);
    return;
  }
  memory_ = take(size_class);
  if (memory_ == nullptr) {
    memory_ = std::make_unique_for_overwrite<std::byte[]>(std::size_t{1} << size_class);
  }
}

Payload::Payload(const std::byte* data, std::size_t bytes) : Payload(bytes) {
  if (bytes > 0) std::memcpy(memory_.get(), data, bytes);
}

Payload Payload::borrowed(std::span<const std::byte> bytes) {
  Payload payload;
  payload.borrowed_ = bytes.data();
  payload.size_ = bytes.size();
  return payload;
}

void Payload::own() {
  if (borrowed_ != nullptr) *this = Payload(borrowed_, size_);
}

Payload::~Payload() {
  if (memory_ == nullptr || class_of(size_) > largest_class) return;
  const std::size_t size_class = class_of(size_);
  const std::unique_lock lock(pool().mutex, std::try_to_lock);
  if (!lock.owns_lock() || pool().bytes + (std::size_t{1} << size_class) > kept_bytes) return;
  try {
    pool().free[size_class].push_back(std::move(memory_));
    pool().bytes += std::size_t{1} << size_class;
  } catch (const std::bad_alloc&) {
    // Not kept, then.
  }
}

}  // namespace bluefog::transport::remote
