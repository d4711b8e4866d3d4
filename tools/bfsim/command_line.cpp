#include "command_line.hpp"

#include <limits>
#include <optional>

#include <CLI/CLI.hpp>

#include "quantity.hpp"
#include "text.hpp"

namespace bfsim {

namespace {

/// Longer than anything that makes sense, and short enough to add up in nanoseconds.
constexpr double longest_seconds = 3600;
constexpr double most_times_as_long = 1000;
constexpr double any_size = std::numeric_limits<double>::max();

/// CLI11's own transformation of units keeps six digits, and its ranges let NaN pass.
void add_quantity(CLI::App& app, const std::string& name, double& value, const Units& units, double most,
                  const std::string& help) {
  const auto set = [&value, &units, name, most](const std::string& text) {
    const std::optional<double> given = parse_quantity(text, units);
    if (!given) {
      throw CLI::ValidationError(name,
                                 "\"" + text + "\" is no number with one of the units " + names_of(units));
    }
    if (*given < 0) throw CLI::ValidationError(name, text + " is negative");
    if (*given > most) throw CLI::ValidationError(name, text + " is too much");
    value = *given;
  };
  app.add_option_function<std::string>(name, set, help)->type_name(names_of(units));
}
void add_time(CLI::App& app, const std::string& name, double& value, const std::string& help) {
  add_quantity(app, name, value, time_units(), longest_seconds, help);
}

void add_number(CLI::App& app, const std::string& name, double& value, double most, const std::string& help) {
  const auto check = [most](const std::string& text) {
    const std::optional<double> given = parse_quantity(text, {});
    if (given && *given >= 0 && *given <= most) return std::string();
    return "\"" + text + "\" is no number from 0 to " + format("%g", most);
  };
  app.add_option(name, value, help)
      ->check(CLI::Validator(check, format("0 to %g", most)))
      ->capture_default_str();
}

/// CLI11 takes -1 for the largest number that has no sign.
const CLI::Validator& whole_number() {
  static const CLI::Validator validator(
      [](const std::string& text) {
        const bool is_whole = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
        return is_whole ? std::string() : "\"" + text + "\" is no whole number from 0 on";
      },
      "UINT");
  return validator;
}

void add_seed(CLI::App& app, std::uint64_t& seed, const std::string& help) {
  app.add_option("--seed", seed, help)->check(whole_number())->type_name("")->capture_default_str();
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
  add_time(app, "--latency", settings.between.latency, "Of a message between hosts; default 20us");
  add_quantity(app, "--bandwidth", settings.between.bandwidth, rate_units(), any_size,
               "Of a port; default 25Gbps, 0: unlimited");
  add_time(app, "--link-jitter", settings.between.jitter, "Messages are late by up to this; default 0");
  add_time(app, "--inside-latency", settings.inside.latency,
           "Until a rank of the same host looks; default 5us");
  add_quantity(app, "--inside-bandwidth", settings.inside.bandwidth, rate_units(), any_size,
               "At which a rank reads or writes another's memory; default 400Gbps, 0: unlimited");
}

void add_work_options(CLI::App& app, Experiment& experiment) {
  add_quantity(app, "--bytes", experiment.model_bytes, size_units(), any_size,
               "Size of the model; default 102MB (ResNet-50 in float32)");
  add_time(app, "--compute", experiment.compute.mean,
           "Mean time that a rank computes in a step; default 150ms");
  add_seed(app, experiment.compute.seed, "Of compute times, values and random schedules");
}

void add_jitter(CLI::App& app, ComputeTime& compute) {
  constexpr double most = 10;
  add_number(app, "--jitter", compute.jitter, most,
             "Standard deviation of the compute time, as a share of the mean");
}

void add_run_options(CLI::App& app, Settings& settings) {
  Experiment& experiment = settings.run.experiment;
  std::vector<std::string> names = flat_plan_names();
  app.add_option("--over-hosts", experiment.plan.over_hosts, "Schedule of the hosts, if that is hierarchical")
      ->check(CLI::IsMember(names))
      ->capture_default_str();
  names.emplace_back(hierarchical_plan_name);
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
  add_jitter(app, compute);
  add_number(app, "--tail", compute.tail, 1, "Share of the mean that is exponentially distributed");
  add_number(app, "--hiccup", compute.hiccup, 1,
             "Probability that a step takes --hiccup-factor times as long");
  add_number(app, "--hiccup-factor", compute.hiccup_factor, most_times_as_long, "See --hiccup");
  app.add_option("--slow-rank", compute.slow_rank, "A rank that always takes --slow-factor times as long")
      ->check(CLI::NonNegativeNumber);
  add_number(app, "--slow-factor", compute.slow_factor, most_times_as_long, "See --slow-rank");
  app.add_option(
         "--elements", experiment.elements,
         "float32 numbers that are really moved, in place of all; default 1000, and for a hierarchical\n"
         "schedule the fewest that are mixed by slices (64 KiB). Above 64 KiB a message waits for the\n"
         "receiver's grant, as a large tensor does")
      ->check(whole_number());
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
  add_jitter(app, common.compute);
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
  add_seed(app, noise.seed, "Of compute times and random schedules");
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
