#pragma once
/// @file lost_host.hpp  Words for what has become of a host, and what to do about it.

#include <chrono>
#include <optional>
#include <string>

#include "agent_link.hpp"

namespace bfrun {

/// Why a host whose agent has answered cannot take part; empty if it can.
[[nodiscard]] std::string why_unfit(const Greeting& greeting);

/// Why an agent ended before it said anything, and the way out.
[[nodiscard]] std::string why_no_answer(AgentLink& link);

/// How an agent ended that had been running ranks.
/// @param silence  for how long it had not been heard of, if it was given up for that
[[nodiscard]] std::string why_lost(AgentLink& link, std::optional<std::chrono::milliseconds> silence);

/// "1.5 s".
[[nodiscard]] std::string in_seconds(std::chrono::milliseconds time);

}  // namespace bfrun
