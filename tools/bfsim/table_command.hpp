#pragma once
/// @file table_command.hpp  bfsim table: ways to average a model, side by side, by number of ranks.

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "command_line.hpp"

namespace bfsim {

/// One way with one number of ranks. Seconds.
struct TableRow {
  std::string way;
  int ranks = 0;
  /// Of a round by itself: the closed form of the cost model, and what the engine takes for it; means over
  /// the rounds of a period.
  double round_by_formula = 0;
  std::optional<double> round_by_engine;
  /// Of steps with computing and jitter: by the engine, or by the recursion where round_by_engine is missing.
  StepSummary steps;
};

/// All ways for one number of ranks.
[[nodiscard]] std::vector<TableRow> table_rows(const Experiment& common, int ranks);

void print_table(const TableCommand& command, std::ostream& out, std::ostream& err);

}  // namespace bfsim
