#pragma once
/// @file roll_call.hpp  Asks every host of a list for its bfrun, and hears them all out: a job gives up at
/// the first that does not answer.

#include <chrono>
#include <string>
#include <vector>

#include "agent_link.hpp"
#include "hosts.hpp"

namespace bfrun {

/// @param agents    by host; they have ended afterwards
/// @param patience  until every agent has answered
/// @returns by host: why no rank can be started there, and the way out; empty if one can
[[nodiscard]] std::vector<std::string> call_roll(const std::vector<HostRanks>& hosts,
                                                 std::vector<AgentProcess> agents,
                                                 std::chrono::milliseconds patience);

}  // namespace bfrun
