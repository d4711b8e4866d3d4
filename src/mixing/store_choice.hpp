#pragma once
/// @file store_choice.hpp  Measures whether large outputs are better stored through the cache or past it, on
/// this machine.

#include <cstddef>
#include <span>

#include "base/clock.hpp"
#include "mixing/kernels.hpp"

namespace bluefog::mixing {

/// Bytes of scratch memory that faster_store() needs.
inline constexpr std::size_t store_trial_bytes = std::size_t{6} << 20;

/// On one machine non-temporal stores gain 2.5 times, on another they lose 3 times, and no property that a
/// program can ask for tells which. So both average two tensors of 2 MiB in turns, for a few milliseconds;
/// the lower median wins.
[[nodiscard]] StoreKind faster_store(std::span<std::byte> scratch, const base::Clock& clock);

}  // namespace bluefog::mixing
