#pragma once
/// @file options.hpp  What the user wants bfrun to do.

#include <string>
#include <variant>
#include <vector>

#include "hosts.hpp"
#include "remote_command.hpp"

namespace bfrun {

/// What becomes of the others when a rank is killed, or ends with another exit code than 0.
enum class OnRankDeath {
  stop,  ///< the job ends, with the exit code of the first such rank (128 + signal if it was killed)
  keep,  ///< they go on; the job's exit code is 0 if any rank ends with 0, else as above
  tell,  ///< they go on; the job's exit code is that of the first such rank. Who exits with 1 has said why.
};
enum class BindTo { none, core, numa };

struct Options {
  int num_proc = 0;    ///< 0, for a check only: as many as the hosts have slots
  bool check = false;  ///< try out the hosts instead of starting the command
  bool verbose = false;
  bool tag_output = false;
  std::string timeline_filename;
  OnRankDeath on_rank_death = OnRankDeath::stop;
  BindTo bind_to = BindTo::none;
  std::vector<HostSlots> hosts;  ///< empty: all ranks on this machine
  bool oversubscribe = false;
  RemoteStart remote;
  std::string network_interface;
  bool encrypt = false;
  std::vector<std::string> forwarded_variables;  ///< of -x: NAME, or NAME=VALUE
  std::vector<std::string> command;
  bool in_this_directory = true;  ///< ranks of other hosts start in a directory of the same name
};

/// The exit code of a bfrun that starts nothing: after --help, or because of a mistake in the command line.
struct Finished {
  int exit_code = 0;
};

/// bfrun is to be the agent of this host for a bfrun of another.
struct ServeAsAgent {};

/// bfrun is to be the one rank of this host that tries out what a job would need.
struct CheckThisHost {
  std::string plan;  ///< of encode(CheckPlan)
};

/// Reads the arguments (without the program's name); prints help, version or the error if there is nothing to
/// run. `--agent` gives ServeAsAgent, `--check-rank` CheckThisHost. Everything after the first word that is
/// no option of bfrun, or after "--", is the command, verbatim.
/// @throws InvalidArgument  a list or file of hosts that cannot be read
[[nodiscard]] std::variant<Options, ServeAsAgent, CheckThisHost, Finished> parse_options(
    const std::vector<std::string>& arguments);

}  // namespace bfrun
