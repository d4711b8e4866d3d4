#pragma once
/// @file cost.hpp  What simulating takes of the machine that does it. Written to the error stream, so that
/// the output depends on the command line alone.

#include <ostream>

namespace bfsim {

struct Cost {
  double cpu_seconds = 0;       ///< user and system
  double peak_resident_mb = 0;  ///< of the process, since its start
};

/// Of this process, since its start.
[[nodiscard]] Cost cost_until_now();

/// One line, as JSON or for people.
void print_cost(const Cost& cost, bool as_json, std::ostream& err);

}  // namespace bfsim
