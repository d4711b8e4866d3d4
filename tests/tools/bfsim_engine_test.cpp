// bfsim's engine on the virtual network against closed forms and against the recursion.

#include <algorithm>
#include <cmath>
#include <ostream>
#include <string>

#include <gtest/gtest.h>

#include <bluefog/error.hpp>

#include "cost_model.hpp"
#include "noise_command.hpp"
#include "recursion.hpp"

namespace bfsim {
namespace {

using namespace std::chrono_literals;

constexpr double agreement = 0.05;

Experiment on_25_gigabit(const std::string& schedule, int ranks, int ranks_per_host) {
  Experiment experiment;
  experiment.plan.schedule = schedule;
  experiment.plan.ranks = ranks;
  experiment.plan.ranks_per_host = ranks_per_host;
  experiment.network.between_hosts = {20us, 3.125e9, {}};
  experiment.network.inside_host = {5us, 50e9, {}};
  return experiment;
}

struct Setting {
  const char* schedule;
  int ranks_per_host;
  bool hosts_share_port;
};

void PrintTo(const Setting& setting, std::ostream* out) {
  *out << setting.schedule << ", " << setting.ranks_per_host << " ranks a host, "
       << (setting.hosts_share_port ? "one port a host" : "one port a rank");
}

class EngineRound : public testing::TestWithParam<std::tuple<Setting, int>> {};

TEST_P(EngineRound, TakesWhatTheClosedFormSays) {
  const auto& [setting, ranks] = GetParam();
  Experiment experiment = on_25_gigabit(setting.schedule, ranks, setting.ranks_per_host);
  experiment.network.hosts_share_port = setting.hosts_share_port;
  const MixingPlan plan = make_plan(experiment.plan);
  const std::vector<double> rounds = time_rounds(experiment, plan.period());
  for (std::size_t t = 0; t < rounds.size(); ++t) {
    const auto round = plan.schedule->shared_round(t);
    const double formula = plan.is_hierarchical ? hierarchical_round_of_ours_seconds(*round, experiment)
                                                : flat_round_seconds(*round, experiment);
    EXPECT_NEAR(rounds[t], formula, agreement * formula) << "round " << t;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Schedules, EngineRound,
    testing::Combine(testing::Values(Setting{"one-peer-exp", 1, true}, Setting{"one-peer-exp", 8, true},
                                     Setting{"one-peer-exp", 8, false}, Setting{"exp2", 1, true},
                                     Setting{"exp2", 8, true}, Setting{"exp2", 4, false},
                                     Setting{"ring", 1, true}, Setting{"ring", 8, true},
                                     Setting{"star", 1, true}, Setting{"base-k", 1, true},
                                     Setting{"hierarchical", 8, true}, Setting{"hierarchical", 4, false},
                                     Setting{"hierarchical", 1, true}),
                     testing::Values(8, 16, 32)));

TEST(EngineStep, OfAtcIsComputingAndARound) {
  Experiment experiment = on_25_gigabit("one-peer-exp", 16, 1);
  experiment.compute.mean = 0.1;
  experiment.steps = 8;
  const double wanted = 0.1 + mean_round_seconds(experiment, 4);
  EXPECT_NEAR(simulate(experiment).times.summary(0).mean, wanted, agreement * wanted);
}

TEST(EngineStep, OfAwcIsTheLongerOfComputingAndARound) {
  Experiment experiment = on_25_gigabit("one-peer-exp", 16, 1);
  experiment.algorithm = Algorithm::Awc;
  experiment.steps = 8;
  const double round = mean_round_seconds(experiment, 4);
  for (const double compute : {4 * round, round / 4}) {
    experiment.compute.mean = compute;
    const double wanted = std::max(compute, round);
    EXPECT_NEAR(simulate(experiment).times.summary(1).mean, wanted, agreement * wanted);
  }
}

TEST(EngineStep, OfAwcOnASharedPortHidesBehindComputing) {
  Experiment experiment = on_25_gigabit("one-peer-exp", 16, 8);
  experiment.algorithm = Algorithm::Awc;
  experiment.compute.mean = 1;
  experiment.steps = 8;
  EXPECT_NEAR(simulate(experiment).times.summary(1).mean, 1, agreement);
}

TEST(EngineStep, IsThatOfTheRecursionWhereMessagesTakeNoTime) {
  NoiseCommand command;
  command.steps = 1;
  command.engine_steps = 12;
  for (int kind = 0; kind < noise_kinds(); ++kind) {
    for (const NoiseCell& cell : noise_cells(command, kind, 16)) {
      if (!cell.engine_of_first) {
        EXPECT_EQ(cell.way, "all-reduce");
        continue;
      }
      EXPECT_NEAR(*cell.engine_of_first, *cell.recursion_of_first, 1e-6 * *cell.recursion_of_first)
          << cell.noise << ", " << cell.way;
    }
  }
}

TEST(EngineStep, IsThatOfTheRecursionRankByRankWhereMessagesTakeALatency) {
  // Of the recursion's two, AWC: it charges the message to those alone who wait for one, as the engine does.
  Experiment experiment = on_25_gigabit("one-peer-exp", 16, 1);
  experiment.network.between_hosts = {30ms, 0, {}};
  experiment.compute = {.mean = 0.1, .jitter = 0.3, .seed = 3};
  experiment.algorithm = Algorithm::Awc;
  experiment.elements = 16;
  experiment.steps = 20;
  const StepTimes engine = simulate(experiment).times;
  const MixingPlan plan = make_plan(experiment.plan);
  const StepTimes recursion =
      recur_mixing(experiment.compute, *plan.schedule, Algorithm::Awc, experiment.steps, 30ms);
  for (int step = 0; step < experiment.steps; ++step) {
    for (int rank = 0; rank < 16; ++rank) {
      EXPECT_EQ(engine.end(rank, step), recursion.end(rank, step)) << "rank " << rank << ", step " << step;
    }
  }
}

TEST(EngineConsensus, OfOnePeerIsExactAfterAPeriod) {
  Experiment experiment = on_25_gigabit("one-peer-exp", 16, 1);
  experiment.steps = 5;
  const std::vector<double> distances = simulate(experiment).consensus;
  EXPECT_GT(distances[2], 0.1);
  EXPECT_LT(distances[3], 1e-6);  // float32
  EXPECT_LT(distances[4], 1e-6);
}

TEST(EngineConsensus, OfAHierarchicalPlanIsThatOfItsHosts) {
  // Four hosts: two rounds.
  Experiment experiment = on_25_gigabit("hierarchical", 16, 4);
  experiment.steps = 3;
  const std::vector<double> distances = simulate(experiment).consensus;
  EXPECT_GT(distances[0], 0.1);
  EXPECT_LT(distances[1], 1e-6);
}

TEST(EngineConsensus, OfARingShrinksAsItsSecondEigenvalue) {
  // Weights of a third: eigenvalues (1 + 2 cos(2 pi k / 8)) / 3; the largest but 1 rules in the end.
  Experiment experiment = on_25_gigabit("ring", 8, 1);
  experiment.steps = 14;
  const std::vector<double> distances = simulate(experiment).consensus;
  EXPECT_NEAR(distances[13] / distances[12], (1 + std::sqrt(2.0)) / 3, 1e-3);
}

TEST(Experiment, ThatMakesNoSenseIsRefused) {
  const auto refuses = [](auto change) {
    Experiment experiment = on_25_gigabit("one-peer-exp", 16, 8);
    change(experiment);
    EXPECT_THROW(static_cast<void>(simulate(experiment)), bluefog::InvalidArgument);
  };
  refuses([](Experiment& experiment) { experiment.steps = 0; });
  refuses([](Experiment& experiment) { experiment.model_bytes = 0; });
  refuses([](Experiment& experiment) { experiment.plan.schedule = "nothing"; });
  refuses([](Experiment& experiment) {
    experiment.plan.schedule = "hierarchical";
    experiment.plan.ranks = 12;
  });
  refuses([](Experiment& experiment) {
    experiment.plan.schedule = "hierarchical";
    experiment.algorithm = Algorithm::Awc;
  });
}

}  // namespace
}  // namespace bfsim
