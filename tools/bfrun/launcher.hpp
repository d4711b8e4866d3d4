#pragma once
/// @file launcher.hpp  The process that the user sees: starts an agent for each host, and cleans up after
/// them.

#include "options.hpp"

namespace bfrun {

/// Runs the job; returns the exit code.
[[nodiscard]] int launch(const Options& options);

}  // namespace bfrun
