#include "experiment.hpp"

#include <algorithm>
#include <functional>
#include <utility>

#include <bluefog/error.hpp>

#include "consensus.hpp"
#include "rank_mixer.hpp"

namespace bfsim {

namespace {

using bluefog::InvalidArgument;

void check(const Experiment& experiment, const MixingPlan& plan) {
  check(experiment);
  if (experiment.algorithm == Algorithm::Awc && !can_overlap(plan)) {
    throw InvalidArgument("a hierarchical round cannot overlap computing: its parts follow each other");
  }
}

/// Every rank gets an equal share of a hierarchical round, in whole cache lines.
std::size_t elements_of(const Experiment& experiment, const MixingPlan& plan) {
  const std::size_t wanted = experiment.elements > 0 ? experiment.elements : experiment.default_elements();
  if (!plan.is_hierarchical) return wanted;
  constexpr std::size_t cache_line = 64 / sizeof(float);
  const std::size_t quantum = static_cast<std::size_t>(experiment.plan.ranks_per_host) * cache_line;
  return (wanted + quantum - 1) / quantum * quantum;
}

bluefog::SimulationOptions simulation_options(const Experiment& experiment, std::size_t elements) {
  bluefog::SimulationOptions options;
  options.size = experiment.plan.ranks;
  options.ranks_per_host = experiment.plan.ranks_per_host;
  options.between_hosts = experiment.network.between_hosts;
  options.inside_host = experiment.network.inside_host;
  options.hosts_share_port = experiment.network.hosts_share_port;
  options.byte_scale = experiment.model_bytes / static_cast<double>(elements * sizeof(float));
  options.seed = experiment.compute.seed;
  // Slow links are no fault here.
  options.config.op_timeout = std::chrono::hours(24 * 365);
  options.config.stall_warning = std::chrono::hours(24 * 365);
  return options;
}

/// Those that come later may be about ranks that have ended by it.
void rethrow_first_error(const std::vector<bluefog::Simulation::End>& ends) {
  const auto first = std::min_element(ends.begin(), ends.end(), [](const auto& a, const auto& b) {
    return std::pair(a.error == nullptr, a.at) < std::pair(b.error == nullptr, b.at);
  });
  if (first->error) std::rethrow_exception(first->error);
}

/// How long a rank computes in a step that it begins now.
using Computing = std::function<Nanoseconds(int rank, int step, Nanoseconds now)>;

void run_ranks(const Experiment& experiment, std::size_t elements, StepTimes& times, Consensus& consensus,
               const Computing& computing_time) {
  const MixingPlan plan = make_plan(experiment.plan);
  bluefog::Simulation simulation(simulation_options(experiment, elements));
  const auto body = [&](bluefog::Context& context) {
    const int rank = context.rank();
    const auto mixer =
        make_mixer(context, plan, {elements, experiment.plan.ranks_per_host, experiment.check_topology});
    consensus.start(rank, mixer->x());
    for (int step = 0; step < times.steps(); ++step) {
      const Nanoseconds computing = computing_time(rank, step, simulation.now());
      times.set_compute(rank, step, computing);
      if (experiment.algorithm == Algorithm::Awc) {
        mixer->start(step);
        simulation.compute(computing);
        mixer->finish();
      } else {
        simulation.compute(computing);
        mixer->mix(step);
      }
      times.set_end(rank, step, simulation.now());
      consensus.add(step, mixer->x());
    }
  };
  rethrow_first_error(simulation.run(body));
}

}  // namespace

void check(const Experiment& experiment) {
  const ComputeTime& compute = experiment.compute;
  if (experiment.steps < 1) throw InvalidArgument("at least one step is needed");
  if (!(experiment.model_bytes > 0)) throw InvalidArgument("the model must have a size");
  if (compute.slow_rank >= experiment.plan.ranks) {
    throw InvalidArgument("the slow rank " + std::to_string(compute.slow_rank) + " is none of the " +
                          std::to_string(experiment.plan.ranks));
  }
  if (compute.hiccup * (compute.hiccup_factor - 1) <= -1) {
    throw InvalidArgument("hiccups leave nothing of the compute time");
  }
}

std::size_t Experiment::default_elements() const {
  constexpr std::size_t flat = 1000;
  constexpr std::size_t most_that_travel_with_a_post = (std::size_t{64} << 10) / sizeof(float);
  return plan.schedule == hierarchical_plan_name ? most_that_travel_with_a_post + 1 : flat;
}

Outcome simulate(const Experiment& experiment) {
  const Cost before = cost_until_now();
  const MixingPlan plan = make_plan(experiment.plan);
  check(experiment, plan);
  const std::size_t elements = elements_of(experiment, plan);
  StepTimes times(experiment.plan.ranks, experiment.steps);
  Consensus consensus(experiment.plan.ranks, experiment.steps, elements, experiment.compute.seed);
  run_ranks(experiment, elements, times, consensus, [&](int rank, int step, Nanoseconds /*now*/) {
    return experiment.compute.of(rank, static_cast<std::uint64_t>(step));
  });
  Cost cost = cost_until_now();
  cost.cpu_seconds -= before.cpu_seconds;
  return {std::move(times), consensus.distances(), elements, cost};
}

std::vector<double> time_rounds(const Experiment& experiment, int rounds) {
  const MixingPlan plan = make_plan(experiment.plan);
  Experiment alone = experiment;
  alone.steps = rounds;
  alone.algorithm = Algorithm::Atc;
  check(alone, plan);
  const std::size_t elements = elements_of(alone, plan);
  StepTimes times(alone.plan.ranks, rounds);
  Consensus consensus(alone.plan.ranks, rounds, elements, alone.compute.seed);
  constexpr Nanoseconds longest_round = std::chrono::hours(1);
  const auto begin_of = [=](int round) { return longest_round * (round + 1); };
  run_ranks(alone, elements, times, consensus,
            [&](int /*rank*/, int round, Nanoseconds now) { return begin_of(round) - now; });
  std::vector<double> durations;
  for (int round = 0; round < rounds; ++round) {
    Nanoseconds last{};
    for (int rank = 0; rank < alone.plan.ranks; ++rank) last = std::max(last, times.end(rank, round));
    if (last >= begin_of(round + 1)) throw bluefog::Error("a round takes longer than an hour");
    durations.push_back(seconds(last - begin_of(round)));
  }
  return durations;
}

}  // namespace bfsim
