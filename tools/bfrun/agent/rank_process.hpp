#pragma once
/// @file rank_process.hpp  Starting one rank, and telling how a process ended.

#include <string>
#include <system_error>
#include <vector>

#include <sys/resource.h>
#include <sys/types.h>

#include "agent/environment.hpp"

namespace bfrun {

/// The command could not be executed.
class ExecError : public std::system_error {
 public:
  using std::system_error::system_error;
};

struct RankStart {
  const std::vector<std::string>& command;
  const Environment& environment;
  const std::vector<int>& cpus;  ///< to pin the rank to; empty: not pinned
  const rlimit& open_files;
  int standard_input;
  int standard_output;
  int standard_error;
};

/// Starts a process in a session of its own that is killed when the calling thread dies.
/// @throws ExecError          the command does not exist or is not executable
/// @throws std::system_error  no process could be made
[[nodiscard]] pid_t start_rank(const RankStart& start);

/// "exited with code 3" or "was killed by signal 9 (SIGKILL)".
[[nodiscard]] std::string describe_end(int wait_status);
/// "2 (SIGINT)".
[[nodiscard]] std::string describe_signal(int signal);
/// As shells count: the exit code, or 128 + signal.
[[nodiscard]] int exit_code_of(int wait_status);

}  // namespace bfrun
