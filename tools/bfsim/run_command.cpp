#include "run_command.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include <bluefog/error.hpp>

#include "chart.hpp"
#include "cost_model.hpp"
#include "recursion.hpp"
#include "text.hpp"

namespace bfsim {

namespace {

constexpr int most_rows = 24;

/// What both the engine and the cost model of the ring all-reduce give.
struct Report {
  std::string source;  ///< who gave it
  Outcome outcome;
};

Report make_report(const RunCommand& command) {
  const Experiment& experiment = command.experiment;
  if (experiment.plan.schedule != ring_all_reduce_name) return {"engine", simulate(experiment)};
  check(experiment);
  if (experiment.algorithm == Algorithm::Awc) {
    throw bluefog::InvalidArgument("ring-all-reduce cannot overlap computing: it averages what was computed");
  }
  const double all_reduce = ring_all_reduce_seconds(experiment.plan.ranks, experiment.model_bytes,
                                                    experiment.network.between_hosts);
  StepTimes times =
      recur_all_reduce(experiment.compute, experiment.plan.ranks, experiment.steps, nanoseconds(all_reduce));
  std::vector<double> exact(static_cast<std::size_t>(experiment.steps), 0.0);
  return {"cost model and recursion", {std::move(times), std::move(exact), 0, {}}};
}

const char* name_of(Algorithm algorithm) {
  return algorithm == Algorithm::Awc ? "awc" : "atc";
}

nlohmann::json describe(const Experiment& experiment, std::size_t elements) {
  const auto link = [](const bluefog::LinkModel& model) {
    return nlohmann::json{{"latency_s", seconds(model.latency)},
                          {"bytes_per_s", model.bandwidth},
                          {"jitter_s", seconds(model.jitter)}};
  };
  const ComputeTime& compute = experiment.compute;
  return {{"schedule", experiment.plan.schedule},
          {"over_hosts", experiment.plan.over_hosts},
          {"max_degree", experiment.plan.max_degree},
          {"ranks", experiment.plan.ranks},
          {"ranks_per_host", experiment.plan.ranks_per_host},
          {"algorithm", name_of(experiment.algorithm)},
          {"model_bytes", experiment.model_bytes},
          {"elements", elements},
          {"steps", experiment.steps},
          {"seed", compute.seed},
          {"between_hosts", link(experiment.network.between_hosts)},
          {"inside_host", link(experiment.network.inside_host)},
          {"hosts_share_port", experiment.network.hosts_share_port},
          {"compute_s", compute.mean},
          {"jitter", compute.jitter},
          {"tail", compute.tail},
          {"hiccup", compute.hiccup},
          {"hiccup_factor", compute.hiccup_factor},
          {"slow_rank", compute.slow_rank},
          {"slow_factor", compute.slow_factor},
          {"check_topology", experiment.check_topology}};
}

void print_json(const RunCommand& command, const Report& report, const StepSummary& summary,
                std::ostream& out) {
  const Outcome& outcome = report.outcome;
  for (int step = 0; step < outcome.times.steps(); ++step) {
    const StepSummary of_step = outcome.times.summary(step, step + 1);
    out << nlohmann::json{{"kind", "step"},
                          {"step", step + 1},
                          {"mean_s", of_step.mean},
                          {"p99_s", of_step.p99},
                          {"consensus", outcome.consensus[static_cast<std::size_t>(step)]}}
        << "\n";
  }
  nlohmann::json line = describe(command.experiment, outcome.elements);
  line["kind"] = "summary";
  line["source"] = report.source;
  line["warm_up"] = command.warm_up;
  line["mean_s"] = summary.mean;
  line["p50_s"] = summary.p50;
  line["p99_s"] = summary.p99;
  line["computed_s"] = summary.compute;
  line["efficiency"] = summary.efficiency;
  line["consensus"] = outcome.consensus.back();
  out << line << "\n";
}

void print_text(const RunCommand& command, const Report& report, const StepSummary& summary,
                std::ostream& out) {
  const Experiment& experiment = command.experiment;
  const Outcome& outcome = report.outcome;
  out << format("%d ranks, %d on each host; %s, %s; a model of %s; by the %s\n", experiment.plan.ranks,
                experiment.plan.ranks_per_host, experiment.plan.schedule.c_str(),
                name_of(experiment.algorithm), size_text(experiment.model_bytes).c_str(),
                report.source.c_str());
  out << format("%8s  %12s  %12s  %12s\n", "step", "mean", "p99", "consensus");
  const int steps = outcome.times.steps();
  const int stride = (steps + most_rows - 1) / most_rows;
  for (int step = 0; step < steps; ++step) {
    if ((step + 1) % stride != 0 && step + 1 != steps && step != 0) continue;
    const StepSummary of_step = outcome.times.summary(step, step + 1);
    out << format("%8d  %12s  %12s  %12.3e\n", step + 1, duration_text(of_step.mean).c_str(),
                  duration_text(of_step.p99).c_str(), outcome.consensus[static_cast<std::size_t>(step)]);
  }
  out << format("step time: mean %s, p50 %s, p99 %s; computing %s; efficiency %.3f\n",
                duration_text(summary.mean).c_str(), duration_text(summary.p50).c_str(),
                duration_text(summary.p99).c_str(), duration_text(summary.compute).c_str(),
                summary.efficiency);
}

void draw(const Picture& picture, const Outcome& outcome) {
  Series mean{"mean of the ranks", {}};
  Series p99{"p99", {}};
  Series compute{"computing", {}};
  Series consensus{"distance", {{0, 1}}};
  for (int step = 0; step < outcome.times.steps(); ++step) {
    const StepSummary of_step = outcome.times.summary(step, step + 1);
    mean.points.emplace_back(step + 1, of_step.mean);
    p99.points.emplace_back(step + 1, of_step.p99);
    compute.points.emplace_back(step + 1, of_step.compute);
    consensus.points.emplace_back(step + 1, outcome.consensus[static_cast<std::size_t>(step)]);
  }
  picture.draw(
      {{"Step time", "step", "s", false, false, {mean, p99, compute}},
       {"Distance from the mean of the ranks", "step", "of that at the start", false, true, {consensus}}});
}

}  // namespace

void run(const RunCommand& command, std::ostream& out, std::ostream& err) {
  if (command.warm_up >= command.experiment.steps) {
    throw bluefog::InvalidArgument("--warm-up leaves no step of " + std::to_string(command.experiment.steps));
  }
  const Picture picture(command.output.picture);
  const Report report = make_report(command);
  const StepSummary summary = report.outcome.times.summary(command.warm_up);
  if (command.output.json) {
    print_json(command, report, summary, out);
  } else {
    print_text(command, report, summary, out);
  }
  draw(picture, report.outcome);
  if (report.outcome.cost.cpu_seconds > 0) {
    print_cost(report.outcome.cost, command.output.json, err);
  }
}

}  // namespace bfsim
