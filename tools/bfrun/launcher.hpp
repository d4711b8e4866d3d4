#pragma once
/// @file launcher.hpp  The process that the user sees: starts an agent for each host, and cleans up after
/// them.

#include <vector>

#include <bluefog/config.hpp>

#include "agent_link.hpp"
#include "base/environment.hpp"
#include "hosts.hpp"
#include "options.hpp"

namespace bfrun {

/// What ranks will read. A setting that none could read is one error here rather than one from each.
/// @throws InvalidArgument
[[nodiscard]] bluefog::Config read_settings(bluefog::base::Environment environment);

/// One for each host, in their order.
/// @throws InvalidArgument, std::system_error
[[nodiscard]] std::vector<AgentProcess> start_agents(const Options& options,
                                                     const std::vector<HostRanks>& hosts);

/// Runs the job; returns the exit code.
[[nodiscard]] int launch(const Options& options);

}  // namespace bfrun
