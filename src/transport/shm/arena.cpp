#include "transport/shm/arena.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include <sys/mman.h>
#include <unistd.h>

#include <bluefog/error.hpp>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace bluefog::transport::shm {

namespace {

constexpr std::size_t alignment = 64;
/// The memory of tensors is faulted in by blocks of this size.
constexpr std::size_t block_bytes = std::size_t{64} << 10;
/// And so many bytes at a time: other ranks take memory too, so the headroom is looked at again in between.
constexpr std::size_t step_bytes = std::size_t{16} << 20;
/// What has to stay free: several ranks may take a step at the same time.
constexpr std::size_t headroom_reserve = std::size_t{32} << 20;

std::size_t round_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

std::size_t page_bytes() {
  return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

Mapping::Region::Region(std::size_t first, std::size_t last, std::size_t block)
    : begin(first), end(last), block_bytes(block), populated((last - first + block - 1) / block) {}

std::size_t Mapping::BlockRange::offset() const {
  return region->begin + first * region->block_bytes;
}

std::size_t Mapping::BlockRange::bytes() const {
  return std::min(region->begin + last * region->block_bytes, region->end) - offset();
}

void Mapping::BlockRange::set_populated(bool populated) const {
  const auto blocks = region->populated.begin();
  std::fill(blocks + static_cast<std::ptrdiff_t>(first), blocks + static_cast<std::ptrdiff_t>(last),
            populated);
}

Mapping::Mapping(int fd, std::size_t bytes, std::size_t by_pages, MemoryGauge gauge)
    : fd_(fd),
      bytes_(bytes),
      gauge_(std::move(gauge)),
      regions_{Region(0, std::min(by_pages, bytes), page_bytes()),
               Region(std::min(by_pages, bytes), bytes, block_bytes)} {
  void* address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (address == MAP_FAILED) {
    throw Error("cannot map a shared-memory arena of " + base::mebibytes(bytes) + ": " +
                std::strerror(errno) + "; set BLUEFOG_ARENA_SIZE to less");
  }
  ::madvise(address, bytes, MADV_DONTDUMP);
  base_ = static_cast<std::byte*>(address);
  listen();
}

Mapping::~Mapping() {
  stop_listening();
  ::munmap(base_, bytes_);
}

void Mapping::in_child() noexcept {
  if (fd_ < 0) return;  // the child of a child: it is private already
  constexpr int flags = MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED;
  if (::mmap(base_, bytes_, PROT_READ | PROT_WRITE, flags, fd_, 0) == MAP_FAILED) {
    ::mprotect(base_, bytes_, PROT_READ);  // better a child that cannot write than one that writes to others
  }
  ::madvise(base_, bytes_, MADV_DONTDUMP);
  fd_ = -1;
}

void Mapping::populate(std::size_t offset, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  std::vector<BlockRange> taken;
  try {
    for (Region& region : regions_) {
      populate(region, std::max(offset, region.begin), std::min(offset + bytes, region.end), taken);
    }
  } catch (...) {
    for (const BlockRange& blocks : taken) give_back(blocks);
    throw;
  }
}

void Mapping::populate(Region& region, std::size_t begin, std::size_t end, std::vector<BlockRange>& taken) {
  if (begin >= end) return;
  const std::size_t last = (end - region.begin - 1) / region.block_bytes + 1;
  for (std::size_t block = (begin - region.begin) / region.block_bytes; block < last; ++block) {
    if (region.populated[block]) continue;
    const std::size_t first = block;
    const std::size_t most = first + step_bytes / region.block_bytes;
    while (block + 1 < std::min(last, most) && !region.populated[block + 1]) ++block;
    take({&region, first, block + 1});
    taken.push_back({&region, first, block + 1});
  }
}

void Mapping::take(const BlockRange& blocks) {
  const std::size_t length = blocks.bytes();
  if (gauge_) require_headroom(length);
  // EINVAL: a kernel before 5.14, which faults the pages in as they are touched.
  if (::madvise(base_ + blocks.offset(), length, MADV_POPULATE_WRITE) != 0 && errno != EINVAL) {
    throw Error("cannot get " + base::mebibytes(length) + " of shared memory: " + std::strerror(errno) +
                "; the machine or its control group is out of memory");
  }
  blocks.set_populated(true);
  populated_ += length;
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

void Mapping::give_back(const BlockRange& blocks) noexcept {
  if (!gauge_) return;  // a peer's, who may have data there
  if (::madvise(base_ + blocks.offset(), blocks.bytes(), MADV_REMOVE) != 0) return;
  blocks.set_populated(false);
  populated_ -= blocks.bytes();
}

std::size_t Mapping::populated() const noexcept {
  return populated_.load(std::memory_order_relaxed);
}

Arena::Arena(std::size_t bytes, std::size_t reserved, MemoryGauge gauge)
    : dirty_end_(round_up(reserved, block_bytes)) {
  bytes = round_up(std::max(bytes, 2 * dirty_end_), block_bytes);
  fd_ = base::UnsharedFd(base::UniqueFd(::memfd_create("bluefog-arena", MFD_CLOEXEC)));
  if (!fd_.valid() || ::ftruncate(fd_.get(), static_cast<off_t>(bytes)) != 0) {
    throw Error("cannot create a shared-memory arena of " + base::mebibytes(bytes) + ": " +
                std::strerror(errno) + "; set BLUEFOG_ARENA_SIZE to less");
  }
  mapping_ = std::make_shared<Mapping>(fd_.get(), bytes, dirty_end_, std::move(gauge));
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
  if (home_.is_elsewhere()) return;  // a thread of the parent may have held the lock
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
