#include "noise_command.hpp"

#include <nlohmann/json.hpp>

#include <bluefog/error.hpp>

#include "chart.hpp"
#include "recursion.hpp"
#include "text.hpp"

namespace bfsim {

namespace {

struct Noise {
  const char* name;
  ComputeTime compute;
};

std::vector<Noise> kinds_of_noise() {
  ComputeTime normal{.mean = 1, .jitter = 0.1};
  ComputeTime tail{.mean = 1, .tail = 0.1};
  ComputeTime hiccup{.mean = 1, .hiccup = 0.01};
  ComputeTime slow{.mean = 1, .slow_rank = 0};
  return {{"N(1, .1)", normal}, {".9 + Exp(.1)", tail}, {"1 % hiccup x 5", hiccup}, {"one rank 2 x", slow}};
}

struct Way {
  const char* name;
  const char* schedule;  ///< nullptr: all-reduce
  Algorithm algorithm;
};

constexpr Way ways[] = {{"all-reduce", nullptr, Algorithm::Atc},
                        {"exp2", "exp2", Algorithm::Atc},
                        {"ring", "ring", Algorithm::Atc},
                        {"one-peer", "one-peer-exp", Algorithm::Atc},
                        {"matching", "random-matching", Algorithm::Atc},
                        {"one-peer AWC", "one-peer-exp", Algorithm::Awc}};

/// One rank on each host, all messages at once.
Experiment free_wires(const NoiseCommand& command, const ComputeTime& compute, const Way& way, int ranks) {
  Experiment experiment;
  experiment.plan.schedule = way.schedule;
  experiment.plan.ranks = ranks;
  experiment.plan.seed = command.seed;
  experiment.compute = compute;
  experiment.algorithm = way.algorithm;
  experiment.elements = 16;
  experiment.steps = command.engine_steps;
  return experiment;
}

}  // namespace

int noise_kinds() {
  return static_cast<int>(kinds_of_noise().size());
}

std::vector<NoiseCell> noise_cells(const NoiseCommand& command, int kind, int ranks) {
  const Noise noise = kinds_of_noise()[static_cast<std::size_t>(kind)];
  ComputeTime compute = noise.compute;
  compute.seed = command.seed;
  std::vector<NoiseCell> cells;
  for (const Way& way : ways) {
    NoiseCell cell{noise.name, ranks, way.name, 0, {}, {}};
    if (way.schedule == nullptr) {
      cell.recursion = recur_all_reduce(compute, ranks, command.steps, {}).summary(0).mean;
      cells.push_back(cell);
      continue;
    }
    const Experiment experiment = free_wires(command, compute, way, ranks);
    const MixingPlan plan = make_plan(experiment.plan);
    cell.recursion = recur_mixing(compute, *plan.schedule, way.algorithm, command.steps).summary(0).mean;
    if (command.engine_steps > 0) {
      cell.recursion_of_first =
          recur_mixing(compute, *plan.schedule, way.algorithm, command.engine_steps).summary(0).mean;
      cell.engine_of_first = simulate(experiment).times.summary(0).mean;
    }
    cells.push_back(cell);
  }
  return cells;
}

namespace {

void print_json(const NoiseCell& cell, std::ostream& out) {
  nlohmann::json line{{"kind", "noise"},
                      {"noise", cell.noise},
                      {"ranks", cell.ranks},
                      {"way", cell.way},
                      {"step_mean", cell.recursion}};
  if (cell.engine_of_first) {
    line["first_by_recursion"] = *cell.recursion_of_first;
    line["first_by_engine"] = *cell.engine_of_first;
  }
  out << line << "\n";
}

}  // namespace

void print_noise(const NoiseCommand& command, std::ostream& out) {
  const Picture picture(command.output.picture);
  if (!command.output.json) {
    out << format(
        "Mean step time, mean of computing 1, messages take no time; recursion of %d steps\n%-16s %6s",
        command.steps, "noise", "ranks");
    for (const Way& way : ways) out << format(" %13s", way.name);
    out << "\n";
  }
  double largest_difference = 0;
  std::vector<Chart> charts;
  for (int kind = 0; kind < noise_kinds(); ++kind) {
    std::vector<Series> series;
    for (const Way& way : ways) series.push_back({way.name, {}});
    for (const int ranks : command.ranks) {
      const auto cells = noise_cells(command, kind, ranks);
      if (!command.output.json) out << format("%-16s %6d", cells.front().noise.c_str(), ranks);
      for (std::size_t i = 0; i < cells.size(); ++i) {
        const NoiseCell& cell = cells[i];
        if (command.output.json)
          print_json(cell, out);
        else
          out << format(" %13.3f", cell.recursion);
        series[i].points.emplace_back(ranks, cell.recursion);
        if (!cell.engine_of_first) continue;
        const double difference = std::abs(*cell.engine_of_first / *cell.recursion_of_first - 1);
        largest_difference = std::max(largest_difference, difference);
      }
      if (!command.output.json) out << "\n";
      out << std::flush;
    }
    const std::string name = kinds_of_noise()[static_cast<std::size_t>(kind)].name;
    charts.push_back(
        {"Step time, computing takes " + name, "ranks", "mean of computing", true, false, series});
  }
  if (!command.output.json && command.engine_steps > 0) {
    out << format("The engine's first %d steps differ from the recursion's by %.2g at most.\n",
                  command.engine_steps, largest_difference);
  }
  picture.draw(charts);
}

}  // namespace bfsim
