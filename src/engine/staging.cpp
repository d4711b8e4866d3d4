#include "engine/staging.hpp"

#include <algorithm>
#include <utility>

namespace bluefog::engine {

namespace {

/// Tensors of about one size share blocks.
constexpr std::size_t granule = std::size_t{64} << 10;

bool is_smaller(const SharedMemory& block, std::size_t bytes) {
  return block.bytes() < bytes;
}

}  // namespace

SharedMemory StagingPool::take(std::size_t bytes) {
  const auto fit = std::lower_bound(kept_.begin(), kept_.end(), bytes, is_smaller);
  if (fit == kept_.end()) {
    // All are too small: they go, lest blocks pile up of sizes that tensors had before.
    kept_.clear();
    return transport_.allocate((bytes + granule - 1) / granule * granule);
  }
  SharedMemory block = std::move(*fit);
  kept_.erase(fit);
  return block;
}

void StagingPool::give_back(SharedMemory block) {
  kept_.insert(std::lower_bound(kept_.begin(), kept_.end(), block.bytes(), is_smaller), std::move(block));
}

}  // namespace bluefog::engine
