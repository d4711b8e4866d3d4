#include "table_command.hpp"

#include <algorithm>
#include <numeric>

#include <nlohmann/json.hpp>

#include <bluefog/error.hpp>

#include "chart.hpp"
#include "cost_model.hpp"
#include "recursion.hpp"
#include "text.hpp"

namespace bfsim {

namespace {

/// Of forward and backward together, what an all-reduce of gradients can hide behind.
constexpr double backward_share = 2.0 / 3;
constexpr int recursion_steps = 200;

/// With several messages a rank a step tells more and costs more.
struct Length {
  int warm_up;
  int measured;
};

TableRow all_reduce_row(const Experiment& common, int ranks, bool hides_behind_backward) {
  TableRow row;
  row.way = hides_behind_backward ? "ring all-reduce, behind backward (model)" : "ring all-reduce (model)";
  row.ranks = ranks;
  row.round_by_formula = ring_all_reduce_seconds(ranks, common.model_bytes, common.network.between_hosts);
  const double hidden = hides_behind_backward ? backward_share * common.compute.mean : 0;
  const double exposed = std::max(0.0, row.round_by_formula - hidden);
  row.steps = recur_all_reduce(common.compute, ranks, recursion_steps, nanoseconds(exposed)).summary(0);
  return row;
}

/// The hierarchical round that reduces, sends and gathers shares of the model, with rings inside the hosts:
/// what is left to gain over the engine's, which averages whole tensors inside the hosts.
TableRow sharded_row(const Experiment& hierarchical) {
  const MixingPlan plan = make_plan(hierarchical.plan);
  TableRow row;
  row.way = "hierarchical one-peer, sharded (model)";
  row.ranks = hierarchical.plan.ranks;
  // One peer in every round, so all rounds are alike.
  row.round_by_formula = hierarchical_round_seconds(*plan.schedule->shared_round(0), hierarchical);
  const auto over_ranks = bluefog::hierarchical(plan.schedule, hierarchical.plan.ranks_per_host);
  row.steps = recur_mixing(hierarchical.compute, *over_ranks, Algorithm::Atc, recursion_steps,
                           nanoseconds(row.round_by_formula))
                  .summary(0);
  return row;
}

TableRow engine_row(const std::string& way, const Experiment& experiment, const Length& length,
                    std::optional<double> round_by_engine = {}) {
  const int period = make_plan(experiment.plan).period();
  TableRow row;
  row.way = way;
  row.ranks = experiment.plan.ranks;
  row.round_by_formula = mean_round_seconds(experiment, period);
  if (round_by_engine) {
    row.round_by_engine = round_by_engine;
  } else {
    const auto rounds = time_rounds(experiment, period);
    row.round_by_engine = std::accumulate(rounds.begin(), rounds.end(), 0.0) / period;
  }
  Experiment steps = experiment;
  steps.steps = length.warm_up + length.measured;
  row.steps = simulate(steps).times.summary(length.warm_up);
  return row;
}

nlohmann::json to_json(const TableRow& row) {
  nlohmann::json line{{"kind", "row"},
                      {"way", row.way},
                      {"ranks", row.ranks},
                      {"round_formula_s", row.round_by_formula},
                      {"step_mean_s", row.steps.mean},
                      {"step_p50_s", row.steps.p50},
                      {"step_p99_s", row.steps.p99},
                      {"efficiency", row.steps.efficiency}};
  if (row.round_by_engine) line["round_engine_s"] = *row.round_by_engine;
  return line;
}

std::string to_text(const TableRow& row) {
  std::string engine = "-";
  std::string difference = "-";
  if (row.round_by_engine) {
    engine = duration_text(*row.round_by_engine);
    if (row.round_by_formula > 0)
      difference = format("%+.2f %%", (*row.round_by_engine / row.round_by_formula - 1) * 100);
  }
  return format("%6d  %-42s %10s %10s %9s  %10s %10s %10s  %6.3f\n", row.ranks, row.way.c_str(),
                duration_text(row.round_by_formula).c_str(), engine.c_str(), difference.c_str(),
                duration_text(row.steps.mean).c_str(), duration_text(row.steps.p50).c_str(),
                duration_text(row.steps.p99).c_str(), row.steps.efficiency);
}

void print_head(const TableCommand& command, std::ostream& out) {
  const Experiment& common = command.common;
  const auto& between = common.network.between_hosts;
  const auto& inside = common.network.inside_host;
  out << format("model %s; hosts of %d ranks, %s, %.4g Gb/s, %s; inside %s, %.4g Gb/s; ",
                size_text(common.model_bytes).c_str(), common.plan.ranks_per_host,
                common.network.hosts_share_port ? "one port a host" : "one port a rank",
                between.bandwidth * 8e-9, duration_text(seconds(between.latency)).c_str(),
                duration_text(seconds(inside.latency)).c_str(), inside.bandwidth * 8e-9);
  out << format("computing %s, jitter %.0f %%, seed %llu\n", duration_text(common.compute.mean).c_str(),
                common.compute.jitter * 100, static_cast<unsigned long long>(common.compute.seed));
  out << "A round: by the closed form, and by the engine where all begin together. A step: computing and a "
         "round, by the engine;\n(model): nothing is run, but closed form and recursion.\n";
  out << format("%6s  %-42s %10s %10s %9s  %10s %10s %10s  %6s\n", "ranks", "way", "round", "by engine",
                "differs", "step mean", "p50", "p99", "effic.");
}

void draw(const Picture& picture, const std::vector<TableRow>& rows) {
  std::vector<Series> series;
  for (const TableRow& row : rows) {
    auto known =
        std::find_if(series.begin(), series.end(), [&](const Series& one) { return one.name == row.way; });
    if (known == series.end()) known = series.insert(series.end(), {row.way, {}});
    known->points.emplace_back(row.ranks, row.steps.mean);
  }
  picture.draw({{"Step time", "ranks", "s", true, true, series}});
}

}  // namespace

std::vector<TableRow> table_rows(const Experiment& common, int ranks) {
  const auto experiment = [&](const char* schedule, Algorithm algorithm) {
    Experiment made = common;
    made.plan.ranks = ranks;
    made.plan.schedule = schedule;
    made.algorithm = algorithm;
    return made;
  };
  std::vector<TableRow> rows;
  rows.push_back(all_reduce_row(common, ranks, false));
  rows.push_back(all_reduce_row(common, ranks, true));
  rows.push_back(engine_row("static exponential-2, ATC", experiment("exp2", Algorithm::Atc), {2, 4}));
  const Experiment one_peer = experiment("one-peer-exp", Algorithm::Atc);
  const int period = make_plan(one_peer.plan).period();
  const Length periods{period, 2 * period};
  rows.push_back(engine_row("one-peer exponential-2, ATC", one_peer, periods));
  rows.push_back(engine_row("one-peer exponential-2, AWC", experiment("one-peer-exp", Algorithm::Awc),
                            periods, rows.back().round_by_engine));
  const Experiment hierarchical = experiment(hierarchical_plan_name, Algorithm::Atc);
  rows.push_back(engine_row("hierarchical one-peer, ATC", hierarchical, periods));
  rows.push_back(sharded_row(hierarchical));
  return rows;
}

void print_table(const TableCommand& command, std::ostream& out, std::ostream& err) {
  for (const int ranks : command.ranks) {
    if (ranks % command.common.plan.ranks_per_host != 0) {
      throw bluefog::InvalidArgument(std::to_string(ranks) + " ranks do not fill hosts of " +
                                     std::to_string(command.common.plan.ranks_per_host));
    }
  }
  const Picture picture(command.output.picture);
  const Cost before = cost_until_now();
  if (!command.output.json) print_head(command, out);
  std::vector<TableRow> all;
  for (const int ranks : command.ranks) {
    for (const TableRow& row : table_rows(command.common, ranks)) {
      if (command.output.json) {
        out << to_json(row) << "\n";
      } else {
        out << to_text(row);
      }
      all.push_back(row);
    }
    out << std::flush;
  }
  draw(picture, all);
  Cost cost = cost_until_now();
  cost.cpu_seconds -= before.cpu_seconds;
  print_cost(cost, command.output.json, err);
}

}  // namespace bfsim
