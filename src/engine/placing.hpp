#pragma once
/// @file placing.hpp  Where a rank that no bfrun started finds the others.

#include <bluefog/config.hpp>

namespace bluefog::engine {

/// Whether somebody serves a rendezvous for this rank, as bfrun does.
[[nodiscard]] bool has_rendezvous(const Config& config);

/// Asks the other ranks of the job, and waits until all are there. @returns the settings that bfrun would
/// have made: the rendezvous of this host, the ranks of each, where to listen
[[nodiscard]] Config placed(const Config& config);

}  // namespace bluefog::engine
