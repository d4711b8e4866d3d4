#pragma once
/// @file agent.hpp  The process between bfrun and the ranks: starts them, watches them, ends them.
///
/// It outlives bfrun's sudden death just long enough to end every process of the job. For this it runs in a
/// session of its own and holds the read end of a pipe whose write end only bfrun has.

#include "base/unique_fd.hpp"
#include "options.hpp"

namespace bfrun {

inline constexpr int exit_code_command_not_found = 127;
inline constexpr int exit_code_command_not_executable = 126;

/// Runs the whole job; returns bfrun's exit code.
/// @param foreground  bfrun may read from the terminal
/// @param orders  each byte is a signal that bfrun received; the end of the stream is bfrun's death
[[nodiscard]] int run_agent(const Options& options, bool foreground, bluefog::base::UniqueFd orders);

}  // namespace bfrun
