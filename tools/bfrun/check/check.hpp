#pragma once
/// @file check.hpp  `bfrun --check`: whether a job could run on these hosts, and what to mend.

#include "options.hpp"

namespace bfrun {

/// Asks all hosts for their bfrun; then a rank on each that has answered looks for the command and its files,
/// and talks to every other host. Each finding is a line. Returns 0 if nothing is in the way.
/// @throws InvalidArgument, std::system_error
[[nodiscard]] int check_hosts(const Options& options);

}  // namespace bfrun
