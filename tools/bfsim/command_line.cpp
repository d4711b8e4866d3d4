#include "command_line.hpp"

#include <algorithm>
#include <map>

#include <CLI/CLI.hpp>

namespace bfsim {

namespace {

const std::map<std::string, double> time_units{{"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"ns", 1e-9}};
const std::map<std::string, double> rate_units{
    {"Gbps", 0.125e9}, {"Mbps", 0.125e6}, {"GBps", 1e9}, {"MBps", 1e6}};
const std::map<std::string, double> size_units{{"B", 1},        {"kB", 1e3},     {"MB", 1e6},    {"GB", 1e9},
                                               {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}};

CLI::Option* add_quantity(CLI::App& app, const std::string& name, double& value,
                          const std::map<std::string, double>& units, const char* unit,
                          const std::string& help) {
  return app.add_option(name, value, help)
      ->transform(CLI::AsNumberWithUnit(units, CLI::AsNumberWithUnit::CASE_SENSITIVE, unit))
      ->check(CLI::NonNegativeNumber);
}

/// Numbers as the user gives them.
struct Settings {
  struct Link {
    double latency;
    double bandwidth;
    double jitter;
    [[nodiscard]] bluefog::LinkModel model() const {
      return {nanoseconds(latency), bandwidth, nanoseconds(jitter)};
    }
  };
  Link between{20e-6, 25 * 0.125e9, 0};
  Link inside{5e-6, 400 * 0.125e9, 0};
  bool own_ports = false;
  std::string algorithm = "atc";
  RunCommand run;
  TableCommand table;
  NoiseCommand noise;

  void apply(Experiment& experiment) const {
    experiment.network = {between.model(), inside.model(), !own_ports};
    experiment.algorithm = algorithm == "awc" ? Algorithm::Awc : Algorithm::Atc;
    experiment.plan.seed = experiment.compute.seed;
  }
};

void add_output_options(CLI::App& app, Output& output) {
  app.add_flag("--json", output.json, "Print JSON lines");
  app.add_option("--picture", output.picture, "Draw the result into this file, as SVG")->type_name("FILE");
}

void add_host_options(CLI::App& app, Settings& settings, Experiment& experiment) {
  app.add_option("--ranks-per-host", experiment.plan.ranks_per_host, "They share memory, and a port")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag("--own-ports", settings.own_ports, "Each rank of a host has a port of its own");
  add_quantity(app, "--latency", settings.between.latency, time_units, "s, ms, us, ns",
               "Of a message between hosts; default 20us");
  add_quantity(app, "--bandwidth", settings.between.bandwidth, rate_units, "Gbps, Mbps, GBps, MBps",
               "Of a port; default 25Gbps, 0: unlimited");
  add_quantity(app, "--link-jitter", settings.between.jitter, time_units, "s, ms, us, ns",
               "Messages are late by up to this; default 0");
  add_quantity(app, "--inside-latency", settings.inside.latency, time_units, "s, ms, us, ns",
               "Until a rank of the same host looks; default 5us");
  add_quantity(app, "--inside-bandwidth", settings.inside.bandwidth, rate_units, "Gbps, Mbps, GBps, MBps",
               "At which a rank reads or writes another's memory; default 400Gbps, 0: unlimited");
}

void add_work_options(CLI::App& app, Experiment& experiment) {
  add_quantity(app, "--bytes", experiment.model_bytes, size_units, "B, kB, MB, GB, KiB, MiB, GiB",
               "Size of the model; default 102MB (ResNet-50 in float32)");
  add_quantity(app, "--compute", experiment.compute.mean, time_units, "s, ms, us, ns",
               "Mean time that a rank computes in a step; default 150ms");
  app.add_option("--seed", experiment.compute.seed, "Of compute times, values and random schedules")
      ->capture_default_str();
}

void add_run_options(CLI::App& app, Settings& settings) {
  Experiment& experiment = settings.run.experiment;
  std::vector<std::string> names = plan_names();
  app.add_option("--over-hosts", experiment.plan.over_hosts, "Schedule of the hosts, if that is hierarchical")
      ->check(CLI::IsMember(names))
      ->capture_default_str();
  names.emplace_back(ring_all_reduce_name);
  app.add_option("--schedule", experiment.plan.schedule,
                 "Who mixes with whom; ring-all-reduce is a cost model, not run by the engine")
      ->check(CLI::IsMember(names))
      ->capture_default_str();
  app.add_option("--max-degree", experiment.plan.max_degree, "k of base-k and hyper-hypercube")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--ranks", experiment.plan.ranks, "How many")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--algorithm", settings.algorithm,
                 "atc: compute, then mix and wait; awc: mix the last step's result while computing")
      ->check(CLI::IsMember({"atc", "awc"}))
      ->capture_default_str();
  app.add_option("--steps", experiment.steps, "How many")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--warm-up", settings.run.warm_up, "Steps that the summary leaves out")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  add_host_options(app, settings, experiment);
  add_work_options(app, experiment);
  ComputeTime& compute = experiment.compute;
  app.add_option("--jitter", compute.jitter, "Standard deviation of the compute time, as a share of the mean")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--tail", compute.tail, "Share of the mean that is exponentially distributed")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--hiccup", compute.hiccup, "Probability that a step takes --hiccup-factor times as long")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--hiccup-factor", compute.hiccup_factor)
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--slow-rank", compute.slow_rank, "A rank that always takes --slow-factor times as long");
  app.add_option("--slow-factor", compute.slow_factor)->check(CLI::NonNegativeNumber)->capture_default_str();
  app.add_option(
      "--elements", experiment.elements,
      "float32 numbers that are really moved, in place of all; default 1000, and for a hierarchical\n"
      "schedule the fewest that are mixed by slices (64 KiB). Above 64 KiB a message waits for the\n"
      "receiver's grant, as a large tensor does");
  app.add_flag("--check-topology", experiment.check_topology,
               "Ranks wait for the headers of those that they send to, too");
  add_output_options(app, settings.run.output);
}

void add_table_options(CLI::App& app, Settings& settings) {
  Experiment& common = settings.table.common;
  common.plan.ranks_per_host = 8;
  common.compute.jitter = 0.1;
  app.add_option("--ranks", settings.table.ranks, "Several, with commas; each fills its hosts")
      ->delimiter(',')
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  add_host_options(app, settings, common);
  add_work_options(app, common);
  app.add_option("--jitter", common.compute.jitter,
                 "Standard deviation of the compute time, as a share of the mean")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  add_output_options(app, settings.table.output);
}

void add_noise_options(CLI::App& app, NoiseCommand& noise) {
  app.add_option("--ranks", noise.ranks, "Several, with commas")
      ->delimiter(',')
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--steps", noise.steps, "Steps of the recursion")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--engine-steps", noise.engine_steps, "First steps that the engine runs too; 0: none")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--seed", noise.seed, "Of compute times and random schedules")->capture_default_str();
  add_output_options(app, noise.output);
}

}  // namespace

Command parse_command(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err) {
  CLI::App app{
      "Runs the engine of BlueFog with up to thousands of ranks on a virtual network and a virtual clock.",
      "bfsim"};
  app.require_subcommand(1);
  Settings settings;
  CLI::App* const run = app.add_subcommand(
      "run", "One experiment: ranks compute and mix; prints step times and how far they are from their mean");
  CLI::App* const table = app.add_subcommand(
      "table", "Ring all-reduce (cost model), static exponential-2, one-peer and hierarchical, side by side");
  CLI::App* const noise = app.add_subcommand(
      "noise", "What waiting for each other costs under noise, where messages take no time");
  add_run_options(*run, settings);
  add_table_options(*table, settings);
  add_noise_options(*noise, settings.noise);
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // as CLI11 wants it
    app.parse(std::move(reversed));
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error, out, err);
    return Finished{code == 0 ? 0 : exit_code_of_usage_errors};
  }
  if (run->parsed()) {
    settings.apply(settings.run.experiment);
    return settings.run;
  }
  if (table->parsed()) {
    settings.apply(settings.table.common);
    return settings.table;
  }
  return settings.noise;
}

}  // namespace bfsim
