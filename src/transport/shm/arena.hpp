#pragma once
/// @file arena.hpp  One rank's pool of shared memory: a sparse memfd, reserved large, populated as it is
/// used.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/fork_guard.hpp"
#include "base/memory.hpp"

namespace bluefog::transport::shm {

/// Tells how much memory is left.
using MemoryGauge = std::function<std::optional<base::MemoryHeadroom>()>;

/// A mapping of an arena, the own one or a peer's. Never unmapped while anything refers to it. Core dumps
/// leave it out. In a forked child the same addresses hold a private copy of what the file holds, page by
/// page from the child's first write to it on.
class Mapping final : private base::ForkListener {
 public:
  /// @param by_pages  so many bytes at the start are faulted in page by page, the others by blocks of 64 KiB
  /// @param gauge     asked before memory is taken; none for a peer's arena, whose owner has taken it
  Mapping(int fd, std::size_t bytes, std::size_t by_pages, MemoryGauge gauge = nullptr);
  ~Mapping();

  [[nodiscard]] std::byte* base() const noexcept { return base_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  /// Faults the pages of a range in, once. @throws Error when memory would be exhausted; then it has taken
  /// none
  void populate(std::size_t offset, std::size_t bytes);
  /// Bytes that were faulted in.
  [[nodiscard]] std::size_t populated() const noexcept;

 private:
  /// A part of the arena whose memory is taken in blocks of one size.
  struct Region {
    Region(std::size_t first, std::size_t last, std::size_t block);

    std::size_t begin;
    std::size_t end;
    std::size_t block_bytes;
    std::vector<bool> populated;
  };
  /// Blocks of a region, counted from its first one.
  struct BlockRange {
    [[nodiscard]] std::size_t offset() const;  ///< in the arena
    [[nodiscard]] std::size_t bytes() const;   ///< the region's last block may be cut off
    void set_populated(bool populated) const;

    Region* region;
    std::size_t first;
    std::size_t last;
  };

  void in_child() noexcept override;
  void populate(Region& region, std::size_t begin, std::size_t end, std::vector<BlockRange>& taken);
  void take(const BlockRange& blocks);
  void require_headroom(std::size_t bytes);
  void give_back(const BlockRange& blocks) noexcept;

  int fd_;  ///< -1 in a forked child
  std::size_t bytes_;
  MemoryGauge gauge_;
  std::byte* base_ = nullptr;
  std::mutex mutex_;
  std::array<Region, 2> regions_;
  std::atomic<std::size_t> populated_{0};
  std::size_t known_headroom_ = 0;  ///< so much may be taken before the gauge is asked again
};

/// The own arena: mapping, descriptor and heap.
class Arena {
 public:
  /// @param bytes     address space to reserve
  /// @param reserved  bytes at the start that the heap leaves alone; faulted in page by page
  Arena(
      std::size_t bytes, std::size_t reserved, MemoryGauge gauge = [] { return base::memory_headroom(); });
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  [[nodiscard]] Mapping& mapping() noexcept { return *mapping_; }
  [[nodiscard]] std::shared_ptr<Mapping> share_mapping() const { return mapping_; }
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] std::byte* base() const noexcept { return mapping_->base(); }
  [[nodiscard]] std::size_t bytes() const noexcept { return mapping_->bytes(); }
  [[nodiscard]] bool contains(const void* data, std::size_t bytes) const noexcept;

  /// Zeroed, 64-byte aligned, populated. @throws Error when the reserve or the memory is exhausted
  [[nodiscard]] std::byte* allocate(std::size_t bytes);
  void free(std::byte* data) noexcept;
  /// Bytes that are handed out.
  [[nodiscard]] std::size_t allocated() const noexcept { return allocated_.load(std::memory_order_relaxed); }

 private:
  base::HomeProcess home_;
  base::UnsharedFd fd_;
  std::shared_ptr<Mapping> mapping_;
  std::mutex mutex_;
  std::map<std::size_t, std::size_t> free_;  ///< offset -> bytes, never adjacent
  std::map<std::size_t, std::size_t> used_;
  std::atomic<std::size_t> allocated_{0};
  std::size_t dirty_end_;  ///< nothing above was ever handed out, so it is zero still
};

}  // namespace bluefog::transport::shm
