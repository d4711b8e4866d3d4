#pragma once
/// @file launcher.hpp  The process that the user sees: passes signals on to the agent and cleans up should it
/// die.

#include "options.hpp"

namespace bfrun {

/// Runs the job; returns the exit code.
[[nodiscard]] int launch(const Options& options);

}  // namespace bfrun
