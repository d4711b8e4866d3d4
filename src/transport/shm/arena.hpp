#pragma once
/// @file arena.hpp  One rank's pool of shared memory: a sparse memfd, reserved large, populated as it is
/// used.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/unique_fd.hpp"

namespace bluefog::transport::shm {

/// A mapping of an arena, the own one or a peer's. Never unmapped while anything refers to it.
class Mapping {
 public:
  Mapping(int fd, std::size_t bytes);
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  [[nodiscard]] std::byte* base() const noexcept { return base_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  /// Faults the pages of a range in, once. @throws Error when memory is exhausted
  void populate(std::size_t offset, std::size_t bytes);

 private:
  friend class ForkGuard;
  /// In a forked child: the same addresses, but writes stay in the child.
  void make_private() noexcept;

  int fd_;
  std::size_t bytes_;
  std::byte* base_ = nullptr;
  std::mutex mutex_;
  std::vector<bool> populated_;
};

/// The own arena: mapping, descriptor and heap.
class Arena {
 public:
  /// @param bytes     address space to reserve
  /// @param reserved  bytes at the start that the heap leaves alone
  Arena(std::size_t bytes, std::size_t reserved);
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

 private:
  base::UniqueFd fd_;
  std::shared_ptr<Mapping> mapping_;
  std::mutex mutex_;
  std::map<std::size_t, std::size_t> free_;  ///< offset -> bytes, never adjacent
  std::map<std::size_t, std::size_t> used_;
  std::size_t dirty_end_;  ///< nothing above was ever handed out, so it is zero still
};

}  // namespace bluefog::transport::shm
