#pragma once
/// @file staging.hpp  Memory in this rank's arena that operations use one after another.

#include <cstddef>
#include <vector>

#include <bluefog/shared_memory.hpp>

#include "transport/transport.hpp"

namespace bluefog::engine {

/// Blocks are kept: fresh pages would cost more than what is done in them. Used under the engine's lock.
class StagingPool {
 public:
  explicit StagingPool(transport::Transport& transport) : transport_(transport) {}

  /// Of at least so many bytes, of any content. @throws Error when the arena has no room
  [[nodiscard]] SharedMemory take(std::size_t bytes);
  void give_back(SharedMemory block);

 private:
  transport::Transport& transport_;
  std::vector<SharedMemory> kept_;  ///< ascending by size
};

}  // namespace bluefog::engine
