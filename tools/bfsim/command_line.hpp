#pragma once
/// @file command_line.hpp  What the user wants bfsim to do.

#include <ostream>
#include <string>
#include <variant>
#include <vector>

#include "experiment.hpp"

namespace bfsim {

struct Output {
  bool json = false;
  std::string picture;  ///< path of an SVG; empty: none
};

/// One experiment.
struct RunCommand {
  Experiment experiment;
  int warm_up = 0;  ///< steps that the summary leaves out
  Output output;
};

/// The ways to average a model, side by side, by number of ranks.
struct TableCommand {
  std::vector<int> ranks{32, 256, 1024, 4096};
  Experiment common;  ///< but the plan's schedule and ranks
  Output output;
};

/// What waiting for others costs under noise, where messages take no time.
struct NoiseCommand {
  std::vector<int> ranks{32, 1024, 4096};
  int steps = 600;
  int engine_steps = 20;
  std::uint64_t seed = 1;
  Output output;
};

/// After --help, or a mistake in the command line.
struct Finished {
  int exit_code = 0;
};

using Command = std::variant<Finished, RunCommand, TableCommand, NoiseCommand>;

/// The name of the schedule that no engine runs: its cost model and recursion answer.
inline constexpr const char* ring_all_reduce_name = "ring-all-reduce";
inline constexpr int exit_code_of_usage_errors = 2;

/// @param arguments  without the program's name
[[nodiscard]] Command parse_command(const std::vector<std::string>& arguments, std::ostream& out,
                                    std::ostream& err);

}  // namespace bfsim
