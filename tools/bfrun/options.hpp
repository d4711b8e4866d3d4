#pragma once
/// @file options.hpp  What the user wants bfrun to do.

#include <string>
#include <variant>
#include <vector>

namespace bfrun {

/// What becomes of the others when a rank is killed, or ends with another exit code than 0.
enum class OnRankDeath {
  stop,  ///< the job ends, with the exit code of the first such rank (128 + signal if it was killed)
  keep,  ///< they go on; the job's exit code is 0 if any rank ends with 0, else as above
};
enum class BindTo { none, core, numa };

struct Options {
  int num_proc = 0;
  bool verbose = false;
  bool tag_output = false;
  std::string timeline_filename;
  OnRankDeath on_rank_death = OnRankDeath::stop;
  BindTo bind_to = BindTo::none;
  std::vector<std::string> command;
};

/// The exit code of a bfrun that starts nothing: after --help, or because of a mistake in the command line.
struct Finished {
  int exit_code = 0;
};

inline constexpr int exit_code_of_usage_errors = 2;

/// Reads the arguments (without the program's name); prints help, version or the error if there is nothing to
/// run. Everything after the first word that is no option of bfrun, or after "--", is the command, verbatim.
[[nodiscard]] std::variant<Options, Finished> parse_options(const std::vector<std::string>& arguments);

}  // namespace bfrun
