#pragma once
/// @file windows.hpp  Times the operations on windows, beside copies of as many bytes.

#include <bluefog/bluefog.hpp>

#include "figures.hpp"

namespace bluefog::perf {

struct WindowProblem {
  std::size_t bytes = 0;   ///< of float32 per rank
  int repetitions = 0;
  int calls_in_a_row = 1;  ///< in each repetition; nobody reads what they have written before the last
};

/// Prints a figure for each operation. @returns whether all values were right
[[nodiscard]] bool measure_windows(Context& context, const WindowProblem& problem, Output output);

}  // namespace bluefog::perf
