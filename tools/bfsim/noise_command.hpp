#pragma once
/// @file noise_command.hpp  bfsim noise: what waiting for each other costs, where messages take no time.

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "command_line.hpp"

namespace bfsim {

/// A kind of noise, a number of ranks, a way to mix: mean step time, if the mean of computing is 1.
struct NoiseCell {
  std::string noise;
  int ranks = 0;
  std::string way;
  double recursion = 0;
  /// The first steps, by the recursion and by the engine.
  std::optional<double> recursion_of_first;
  std::optional<double> engine_of_first;
};

/// All ways of one kind of noise. @param kind  0 to noise_kinds() - 1
[[nodiscard]] std::vector<NoiseCell> noise_cells(const NoiseCommand& command, int kind, int ranks);
[[nodiscard]] int noise_kinds();

void print_noise(const NoiseCommand& command, std::ostream& out);

}  // namespace bfsim
