#pragma once
/// @file binding.hpp  Which CPUs each rank may run on.

#include <vector>

#include "options.hpp"

namespace bfrun {

/// By rank, the CPUs to pin it to; empty: not pinned.
[[nodiscard]] std::vector<std::vector<int>> cpus_of_ranks(BindTo bind_to, int size);

}  // namespace bfrun
