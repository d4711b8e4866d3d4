#pragma once
/// @file run_command.hpp  bfsim run: one experiment, and what it shows.

#include <ostream>

#include "command_line.hpp"

namespace bfsim {

void run(const RunCommand& command, std::ostream& out, std::ostream& err);

}  // namespace bfsim
