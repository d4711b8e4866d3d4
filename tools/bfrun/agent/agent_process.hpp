#pragma once
/// @file agent_process.hpp  The process of an agent: a fork of bfrun on its own host, `bfrun --agent` on
/// others.

#include "base/unique_fd.hpp"

namespace bfrun {

/// Greets, reads the job description from the orders, and runs the job's ranks of this host. To be called in
/// a process made for it.
void run_agent(bluefog::base::UniqueFd orders, bluefog::base::UniqueFd upstream);

/// bfrun --agent: orders come by standard input, events leave by standard output. Stays above the agent as
/// bfrun does on its own host, so that nobody survives the agent's sudden death. Returns the exit code.
[[nodiscard]] int serve_bfrun_of_another_host();

}  // namespace bfrun
