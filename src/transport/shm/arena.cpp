#include "transport/shm/arena.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <string>

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bluefog/error.hpp>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace bluefog::transport::shm {

namespace {

constexpr std::size_t alignment = 64;
/// Pages are faulted in by blocks of this size.
constexpr std::size_t block_bytes = std::size_t{64} << 10;
/// And so many bytes at a time: other ranks take memory too, so the headroom is looked at again in between.
constexpr std::size_t step_bytes = std::size_t{16} << 20;
/// What has to stay free: several ranks may take a step at the same time.
constexpr std::size_t headroom_reserve = std::size_t{32} << 20;

std::size_t round_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

/// Knows every mapping of the process, so that a forked child cannot write into live tensors.
class ForkGuard {
 public:
  static ForkGuard& instance() {
    static ForkGuard* guard = new ForkGuard;  // NOLINT: outlives static destruction, for fork may come late
    return *guard;
  }
  void add(Mapping* mapping) {
    const std::lock_guard lock(mutex_);
    mappings_.insert(mapping);
  }
  void remove(Mapping* mapping) {
    const std::lock_guard lock(mutex_);
    mappings_.erase(mapping);
  }

 private:
  ForkGuard() {
    pthread_atfork([] { instance().mutex_.lock(); }, [] { instance().mutex_.unlock(); },
                   [] {
                     for (Mapping* mapping : instance().mappings_) mapping->make_private();
                     instance().mutex_.unlock();
                   });
  }
  std::mutex mutex_;
  std::set<Mapping*> mappings_;
};

Mapping::Mapping(int fd, std::size_t bytes, MemoryGauge gauge)
    : fd_(fd), bytes_(bytes), gauge_(std::move(gauge)), populated_(bytes / block_bytes + 1) {
  void* address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (address == MAP_FAILED) {
    throw Error("cannot map a shared-memory arena of " + base::mebibytes(bytes) + ": " +
                std::strerror(errno) + "; set BLUEFOG_ARENA_SIZE to less");
  }
  ::madvise(address, bytes, MADV_DONTDUMP);
  base_ = static_cast<std::byte*>(address);
  ForkGuard::instance().add(this);
}

Mapping::~Mapping() {
  ForkGuard::instance().remove(this);
  ::munmap(base_, bytes_);
}

void Mapping::make_private() noexcept {
  ::mmap(base_, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED, fd_, 0);
}

void Mapping::populate(std::size_t offset, std::size_t bytes) {
  if (bytes == 0) return;
  const std::size_t end = (offset + bytes - 1) / block_bytes + 1;
  const std::lock_guard lock(mutex_);
  std::vector<std::pair<std::size_t, std::size_t>> taken;
  try {
    for (std::size_t block = offset / block_bytes; block < end; ++block) {
      if (populated_[block]) continue;
      const std::size_t first = block;
      while (block + 1 < end && !populated_[block + 1] && (block + 1 - first) * block_bytes < step_bytes) {
        ++block;
      }
      populate_blocks(first, block + 1);
      taken.emplace_back(first, block + 1);
    }
  } catch (...) {
    for (const auto& [first, last] : taken) give_back(first, last);
    throw;
  }
}

void Mapping::populate_blocks(std::size_t first, std::size_t last) {
  const std::size_t length = std::min(last * block_bytes, bytes_) - first * block_bytes;
  if (gauge_) require_headroom(length);
  // EINVAL: a kernel before 5.14, which faults the pages in as they are touched.
  if (::madvise(base_ + first * block_bytes, length, MADV_POPULATE_WRITE) != 0 && errno != EINVAL) {
    throw Error("cannot get " + base::mebibytes(length) + " of shared memory: " + std::strerror(errno) +
                "; the machine or its control group is out of memory");
  }
  for (std::size_t block = first; block < last; ++block) populated_[block] = true;
  populated_blocks_ += last - first;
}

/// The kernel would not refuse: it would kill a process of the machine, or of the control group.
void Mapping::require_headroom(std::size_t bytes) {
  if (bytes > known_headroom_) {
    const std::optional<base::MemoryHeadroom> headroom = gauge_();
    if (headroom && headroom->bytes < bytes + headroom_reserve) {
      throw Error("cannot get " + base::mebibytes(bytes) + " more of shared memory: " + headroom->owner +
                  " has " + base::mebibytes(headroom->bytes) + " left, of which " +
                  base::mebibytes(headroom_reserve) +
                  " must stay free; use smaller tensors or fewer ranks, or raise the limit");
    }
    known_headroom_ = step_bytes;
  }
  known_headroom_ -= std::min(bytes, known_headroom_);
}

void Mapping::give_back(std::size_t first, std::size_t last) noexcept {
  const std::size_t length = std::min(last * block_bytes, bytes_) - first * block_bytes;
  if (::madvise(base_ + first * block_bytes, length, MADV_REMOVE) != 0) return;
  for (std::size_t block = first; block < last; ++block) populated_[block] = false;
  populated_blocks_ -= last - first;
}

std::size_t Mapping::populated() const noexcept {
  return populated_blocks_.load(std::memory_order_relaxed) * block_bytes;
}

Arena::Arena(std::size_t bytes, std::size_t reserved, MemoryGauge gauge)
    : dirty_end_(round_up(reserved, block_bytes)) {
  bytes = round_up(std::max(bytes, 2 * dirty_end_), block_bytes);
  fd_.reset(::memfd_create("bluefog-arena", MFD_CLOEXEC));
  if (!fd_.valid() || ::ftruncate(fd_.get(), static_cast<off_t>(bytes)) != 0) {
    throw Error("cannot create a shared-memory arena of " + base::mebibytes(bytes) + ": " +
                std::strerror(errno) + "; set BLUEFOG_ARENA_SIZE to less");
  }
  mapping_ = std::make_shared<Mapping>(fd_.get(), bytes, std::move(gauge));
  free_[dirty_end_] = bytes - dirty_end_;
}

bool Arena::contains(const void* data, std::size_t bytes) const noexcept {
  const auto* first = static_cast<const std::byte*>(data);
  return first >= base() && first + bytes <= base() + this->bytes();
}

std::byte* Arena::allocate(std::size_t bytes) {
  bytes = round_up(std::max<std::size_t>(bytes, 1), alignment);
  const std::lock_guard lock(mutex_);
  const auto fit =
      std::find_if(free_.begin(), free_.end(), [&](const auto& block) { return block.second >= bytes; });
  if (fit == free_.end()) {
    throw Error("the shared-memory arena has no room for " + base::mebibytes(bytes) +
                "; raise BLUEFOG_ARENA_SIZE (now " + base::mebibytes(this->bytes()) + ")");
  }
  const auto [offset, available] = *fit;
  mapping_->populate(offset, bytes);
  free_.erase(fit);
  if (available > bytes) free_[offset + bytes] = available - bytes;
  used_[offset] = bytes;
  allocated_ += bytes;
  if (offset < dirty_end_) std::memset(base() + offset, 0, std::min(bytes, dirty_end_ - offset));
  dirty_end_ = std::max(dirty_end_, offset + bytes);
  return base() + offset;
}

void Arena::free(std::byte* data) noexcept {
  const std::lock_guard lock(mutex_);
  const auto used = used_.find(static_cast<std::size_t>(data - base()));
  if (used == used_.end()) return;
  auto [offset, bytes] = *used;
  used_.erase(used);
  allocated_ -= bytes;
  auto next = free_.lower_bound(offset);
  if (next != free_.end() && next->first == offset + bytes) {
    bytes += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    const auto previous = std::prev(next);
    if (previous->first + previous->second == offset) {
      previous->second += bytes;
      return;
    }
  }
  free_[offset] = bytes;
}

}  // namespace bluefog::transport::shm
