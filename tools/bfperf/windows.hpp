#pragma once
/// @file windows.hpp  Times the operations on windows, beside copies of as many bytes.

#include <bluefog/bluefog.hpp>

#include "window_case.hpp"

namespace bluefog::perf {

/// Prints a figure for each operation. @returns whether all values were right
[[nodiscard]] bool measure_windows(Context& context, const WindowProblem& problem, Output output);

}  // namespace bluefog::perf
