// What the library's algorithms over buckets promise beside their figures.

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "multi/matrix.hpp"
#include "multi/trainer.hpp"
#include "split_mix.hpp"

namespace bluefog::test {
namespace {

constexpr std::size_t dims = 40;
constexpr int size = 4;
constexpr double step = .1;

struct Named {
  std::string name;
  MakeAlgorithm make;
};
std::ostream& operator<<(std::ostream& out, const Named& algorithm) {
  return out << algorithm.name;
}

template <class Options>
Options every(int steps, Options options = {}) {
  options.steps_per_round = steps;
  return options;
}

DecentralizedOptions by(SchedulePtr schedule) {
  DecentralizedOptions options;
  options.schedule = std::move(schedule);
  return options;
}

std::vector<Named> all_algorithms() {
  GossipPgaOptions pga;
  pga.rounds_per_average = 3;
  return {
      {"AdaptWithCombine", algorithm_of<AdaptWithCombine>(by(one_peer_exponential(size)))},
      {"AdaptThenCombine", algorithm_of<AdaptThenCombine>(by(one_peer_exponential(size)))},
      {"AdaptWithCombineSeldom", algorithm_of<AdaptWithCombine>(every<DecentralizedOptions>(3))},
      {"AdaptThenCombineSeldom", algorithm_of<AdaptThenCombine>(every<DecentralizedOptions>(3))},
      {"GradientAllreduce", algorithm_of<GradientAllreduce>()},
      {"GradientTracking", algorithm_of<GradientTracking>(by(one_peer_exponential(size)))},
      {"ExactDiffusion", algorithm_of<ExactDiffusion>()},
      {"QuasiGlobalMomentum", algorithm_of<QuasiGlobalMomentum>()},
      {"DecentLaM", algorithm_of<DecentLaM>()},
      {"StochasticGradientPush", algorithm_of<StochasticGradientPush>()},
      {"GossipPga", algorithm_of<GossipPga>(pga)},
      {"LocalDescent", algorithm_of<LocalDescent>(every<DecentralizedOptions>(4))},
      {"SlowMomentum", algorithm_of<SlowMomentum>(every<SlowMomentumOptions>(4))},
      {"DiLoCo", algorithm_of<DiLoCo>(every<DiLoCoOptions>(4))},
      {"NoLoCo", algorithm_of<NoLoCo>(every<NoLoCoOptions>(4))},
  };
}

/// Every rank wants numbers of its own, with a curvature of its own.
struct Quadratic {
  explicit Quadratic(int rank) : wanted(dims) {
    examples::SplitMix64 random(static_cast<std::uint64_t>(rank) + 1);
    for (double& value : wanted) value = random.normal();
    curvature = 1 + .25 * rank;
  }
  template <class T>
  void operator()(std::span<T> gradient, std::span<const T> x) const {
    for (std::size_t i = 0; i < x.size(); ++i) {
      gradient[i] = static_cast<T>(curvature) * (x[i] - static_cast<T>(wanted[i]));
    }
  }
  std::vector<double> wanted;
  double curvature;
};

/// The parameters of all ranks after so many steps.
std::vector<double> trained(Context& context, const MakeAlgorithm& make, int steps) {
  context.set_topology(ring_graph(context.size()));
  const std::vector<double> start(dims, .5);
  Trainer<double> trainer(context, start, make);
  const Quadratic quadratic(context.rank());
  for (int k = 0; k < steps; ++k) trainer.step(step, quadratic);
  const GatheredTensor gathered = context.allgather(trainer.x());
  const auto* const values = reinterpret_cast<const double*>(gathered.data.get());
  return {values, values + gathered.shape.count()};
}

std::vector<double> expected_of(const Named& algorithm) {
  static std::map<std::string, std::vector<double>> known;
  std::vector<double>& values = known[algorithm.name];
  if (values.empty()) {
    run_job(Ranks::SimulatedHost, size, [&](Context& context) {
      const auto result = trained(context, algorithm.make, 30);
      if (context.rank() == 0) values = result;
    });
  }
  return values;
}

class EveryAlgorithm : public testing::TestWithParam<std::tuple<Named, Ranks>> {};

TEST_P(EveryAlgorithm, GivesTheSameBitsWhereverTheRanksAre) {
  const auto& [algorithm, ranks] = GetParam();
  const std::vector<double> expected = expected_of(algorithm);
  ASSERT_EQ(expected.size(), size * dims);
  run_job(ranks, size,
          [&, make = algorithm.make](Context& context) { EXPECT_EQ(trained(context, make, 30), expected); });
}

INSTANTIATE_TEST_SUITE_P(Each, EveryAlgorithm,
                         testing::Combine(testing::ValuesIn(all_algorithms()),
                                          testing::Values(Ranks::Threads, Ranks::Processes,
                                                          Ranks::SimulatedHosts, Ranks::TcpThreads)),
                         [](const auto& info) {
                           return std::get<0>(info.param).name +
                                  testing::PrintToString(std::get<1>(info.param));
                         });

/// What is saved of a training, and loaded into another.
class Checkpoint {
 public:
  explicit Checkpoint(Trainer<double>& trainer)
      : x_(trainer.x().begin(), trainer.x().end()),
        round_(trainer.algorithm().round()),
        steps_in_round_(trainer.algorithm().steps_in_round()) {
    for (const Tensor& tensor : trainer.algorithm().state()) {
      const auto* const bytes = static_cast<const std::byte*>(tensor.data);
      state_.emplace_back(bytes, bytes + tensor.bytes());
    }
  }
  void load(Trainer<double>& trainer) const {
    trainer.put(x_);
    const std::vector<Tensor> state = trainer.algorithm().state();
    ASSERT_EQ(state.size(), state_.size());
    for (std::size_t i = 0; i < state_.size(); ++i) {
      std::memcpy(state[i].data, state_[i].data(), state_[i].size());
    }
    trainer.algorithm().resume(round_, steps_in_round_);
  }

 private:
  std::vector<double> x_;
  std::uint64_t round_;
  int steps_in_round_;
  std::vector<std::vector<std::byte>> state_;
};

class OneAlgorithm : public testing::TestWithParam<Named> {};

using Change = std::function<void(Trainer<double>&, const Quadratic&)>;

/// A training goes on in another one, that has loaded its state, to the bit.
void expect_to_go_on(const MakeAlgorithm& make, const Change& before_saving, const Change& before_loading) {
  run_job(Ranks::SimulatedHost, size, [&](Context& context) {
    context.set_topology(ring_graph(size));
    const std::vector<double> start(dims, .5);
    const Quadratic quadratic(context.rank());
    Trainer<double> first(context, start, make);
    for (int k = 0; k < 7; ++k) first.step(step, quadratic);
    before_saving(first, quadratic);
    const Checkpoint saved(first);
    for (int k = 0; k < 9; ++k) first.step(step, quadratic);

    Trainer<double> second(context, start, make);
    before_loading(second, quadratic);
    saved.load(second);
    for (int k = 0; k < 9; ++k) second.step(step, quadratic);
    EXPECT_TRUE(std::ranges::equal(first.x(), second.x()));
  });
}

void change_nothing(Trainer<double>& /*trainer*/, const Quadratic& /*quadratic*/) {}
void restart(Trainer<double>& trainer, const Quadratic& /*quadratic*/) {
  trainer.algorithm().restart(11);
}

TEST_P(OneAlgorithm, GoesOnFromASavedState) {
  expect_to_go_on(GetParam().make, change_nothing, change_nothing);
}

TEST_P(OneAlgorithm, GoesOnFromAStateThatIsLoadedAfterARestart) {
  expect_to_go_on(GetParam().make, change_nothing, [](Trainer<double>& trainer, const Quadratic& quadratic) {
    for (int k = 0; k < 5; ++k) trainer.step(step, quadratic);
    restart(trainer, quadratic);
  });
}

TEST_P(OneAlgorithm, GoesOnFromAStateThatWasSavedAfterARestart) {
  expect_to_go_on(GetParam().make, restart, change_nothing);
}

TEST_P(OneAlgorithm, RestartsFromWhereTheParametersAre) {
  run_job(Ranks::SimulatedHost, size, [make = GetParam().make](Context& context) {
    context.set_topology(ring_graph(size));
    const Quadratic quadratic(context.rank());
    const std::vector<double> elsewhere(dims, -2.0);
    Trainer<double> used(context, std::vector<double>(dims, .5), make);
    for (int k = 0; k < 12; ++k) used.step(step, quadratic);
    used.put(elsewhere);
    used.algorithm().restart(0);
    Trainer<double> fresh(context, elsewhere, make);
    for (int k = 0; k < 12; ++k) {
      used.step(step, quadratic);
      fresh.step(step, quadratic);
    }
    EXPECT_TRUE(std::ranges::equal(used.x(), fresh.x()));
  });
}

TEST_P(OneAlgorithm, TakesParametersThatWereLoadedAfterItWasMade) {
  run_job(Ranks::SimulatedHost, size, [make = GetParam().make](Context& context) {
    context.set_topology(ring_graph(size));
    const Quadratic quadratic(context.rank());
    const std::vector<double> elsewhere(dims, -2.0);
    Trainer<double> loaded(context, std::vector<double>(dims, .5), make);
    loaded.put(elsewhere);
    Trainer<double> fresh(context, elsewhere, make);
    for (int k = 0; k < 12; ++k) {
      loaded.step(step, quadratic);
      fresh.step(step, quadratic);
    }
    EXPECT_TRUE(std::ranges::equal(loaded.x(), fresh.x()));
  });
}

TEST_P(OneAlgorithm, WorksForOneRank) {
  run_job(Ranks::Threads, 1, [make = GetParam().make](Context& context) {
    const MakeAlgorithm alone = [&make](Context& job, const std::vector<Tensor>& parameters,
                                        const std::vector<Tensor>& gradients) {
      return make(job, parameters, gradients);
    };
    const std::vector<double> start(dims, .5);
    if (GetParam().name == "GradientTracking" || GetParam().name == "AdaptWithCombine" ||
        GetParam().name == "AdaptThenCombine") {
      return;  // their schedule is for more ranks
    }
    Trainer<double> trainer(context, start, alone);
    const Quadratic quadratic(0);
    for (int k = 0; k < 1000; ++k) trainer.step(step, quadratic);
    for (std::size_t i = 0; i < dims; ++i) EXPECT_NEAR(trainer.x()[i], quadratic.wanted[i], 1e-3);
  });
}

INSTANTIATE_TEST_SUITE_P(Each, OneAlgorithm, testing::ValuesIn(all_algorithms()),
                         [](const auto& info) { return info.param.name; });

// --- what is particular to each

TEST(OuterSteps, ThatChangeNothingGiveLocalDescentToTheBit) {
  run_job(Ranks::SimulatedHost, size, [](Context& context) {
    SlowMomentumOptions slow = every<SlowMomentumOptions>(4);
    slow.momentum = 0;
    slow.step_size = 1;
    DiLoCoOptions diloco = every<DiLoCoOptions>(4);
    diloco.momentum = 0;
    diloco.step_size = 1;
    const auto local = trained(context, algorithm_of<LocalDescent>(every<DecentralizedOptions>(4)), 40);
    EXPECT_EQ(trained(context, algorithm_of<SlowMomentum>(slow), 40), local);
    EXPECT_EQ(trained(context, algorithm_of<DiLoCo>(diloco), 40), local);
  });
}

TEST(OuterSteps, WithMomentumEndWhereLocalDescentEnds) {
  run_job(Ranks::SimulatedHost, size, [](Context& context) {
    const auto local = trained(context, algorithm_of<LocalDescent>(every<DecentralizedOptions>(4)), 4000);
    const auto slow = trained(context, algorithm_of<SlowMomentum>(every<SlowMomentumOptions>(4)), 4000);
    const auto diloco = trained(context, algorithm_of<DiLoCo>(every<DiLoCoOptions>(4)), 4000);
    for (std::size_t i = 0; i < local.size(); ++i) {
      EXPECT_NEAR(slow[i], local[i], 1e-9);
      EXPECT_NEAR(diloco[i], local[i], 1e-9);
    }
  });
}

TEST(SlowMomentum, MakesItsOuterStepThoughTheLastStepHasNoSize) {
  run_job(Ranks::SimulatedHost, size, [](Context& context) {
    SlowMomentumOptions options = every<SlowMomentumOptions>(2);
    options.step_size = .5;
    const std::vector<double> start(dims, .5);
    Trainer<double> trainer(context, start, algorithm_of<SlowMomentum>(options));
    const auto slope = [&context](std::span<double> gradient, std::span<const double>) {
      std::ranges::fill(gradient, context.rank() + 1);
    };
    trainer.step(.1, slope);
    trainer.step(0, slope);
    for (const double value : trainer.x()) EXPECT_NEAR(value, .5 - .5 * .1 * 2.5, 1e-12);
  });
}

TEST(LocalSteps, OfAnAlgorithmThatEntersInTheMiddleOfARoundBeginAtItsParameters) {
  for (const MakeAlgorithm& make :
       {algorithm_of<SlowMomentum>(every<SlowMomentumOptions>(4)),
        algorithm_of<DiLoCo>(every<DiLoCoOptions>(4)), algorithm_of<NoLoCo>(every<NoLoCoOptions>(4)),
        algorithm_of<StochasticGradientPush>(every<DecentralizedOptions>(4))}) {
    run_job(Ranks::SimulatedHost, size, [&make](Context& context) {
      const std::vector<double> start(dims, .5);
      Trainer<double> trainer(context, start, make);
      trainer.algorithm().resume(5, 2);
      const auto stay = [](std::span<double> gradient, std::span<const double>) {
        std::ranges::fill(gradient, 0.0);
      };
      for (int k = 0; k < 2; ++k) trainer.step(step, stay);
      EXPECT_EQ(trainer.algorithm().round(), 6U);
      for (const double value : trainer.x()) EXPECT_NEAR(value, .5, 1e-12) << trainer.algorithm().name();
    });
  }
}

TEST(LocalDescent, AgreesAfterEveryRoundOnly) {
  run_job(Ranks::SimulatedHost, size, [](Context& context) {
    for (const int steps : {3, 4}) {
      const auto x = trained(context, algorithm_of<LocalDescent>(every<DecentralizedOptions>(4)), steps);
      EXPECT_EQ(x.front() == x[dims], steps == 4);
    }
  });
}

TEST(GossipPga, AveragesExactlyInEveryThirdRound) {
  GossipPgaOptions options;
  options.rounds_per_average = 3;
  run_job(Ranks::SimulatedHost, size, [options](Context& context) {
    for (const int steps : {2, 3, 5, 6}) {
      const auto x = trained(context, algorithm_of<GossipPga>(options), steps);
      EXPECT_EQ(x.front() == x[dims], steps % 3 == 0) << steps;
    }
  });
}

TEST(StochasticGradientPush, KeepsTheMeanWhereNoWeightsDo) {
  for (const Topology& topology : {mesh_grid_2d_graph(16), star_graph(16)}) {
    run_job(Ranks::SimulatedHost, 16, [&topology](Context& context) {
      const std::vector<double> start(dims, context.rank());
      Trainer<double> trainer(context, start, over<StochasticGradientPush>(one_peer_dynamic(topology)));
      const auto stay = [](std::span<double> gradient, std::span<const double>) {
        std::ranges::fill(gradient, 0.0);
      };
      const int steps = is_reduced() ? 800 : 2000;
      for (int k = 0; k < steps; ++k) trainer.step(step, stay);
      for (const double value : trainer.x()) EXPECT_NEAR(value, 7.5, is_reduced() ? 1e-3 : 1e-9);
    });
  }
}

TEST(StochasticGradientPush, SplitsEquallyOverADirectedTopology) {
  run_job(Ranks::SimulatedHost, 5, [](Context& context) {
    // A ring with a chord: no weights preserve both.
    std::vector<Topology::Edge> edges;
    for (int i = 0; i < 5; ++i) edges.push_back({(i + 1) % 5, i, 1});
    edges.push_back({3, 0, 1});
    context.set_topology(Topology(5, edges));
    const std::vector<double> start(dims, context.rank());
    Trainer<double> trainer(context, start, algorithm_of<StochasticGradientPush>());
    const auto stay = [](std::span<double> gradient, std::span<const double>) {
      std::ranges::fill(gradient, 0.0);
    };
    for (int k = 0; k < 500; ++k) trainer.step(step, stay);
    for (const double value : trainer.x()) EXPECT_NEAR(value, 2, 1e-12);
    EXPECT_NE(static_cast<StochasticGradientPush&>(trainer.algorithm()).weight(), 1);
  });
}

TEST(NoLoCo, BringsRanksTogetherAndKeepsTheMean) {
  run_job(Ranks::SimulatedHost, 7, [](Context& context) {
    const std::vector<double> start(dims, context.rank());
    Trainer<double> trainer(context, start, algorithm_of<NoLoCo>());
    const auto stay = [](std::span<double> gradient, std::span<const double>) {
      std::ranges::fill(gradient, 0.0);
    };
    for (int k = 0; k < 600; ++k) trainer.step(step, stay);
    for (const double value : trainer.x()) EXPECT_NEAR(value, 3, 1e-6);
  });
}

TEST(AdaptThenCombine, FollowsTheWeightsOfEachStep) {
  run_job(Ranks::SimulatedHost, 3, [](Context& context) {
    const std::vector<double> start(dims, context.rank());
    Trainer<double> trainer(context, start, algorithm_of<AdaptThenCombine>());
    auto& algorithm = static_cast<AdaptThenCombine&>(trainer.algorithm());
    const auto stay = [](std::span<double> gradient, std::span<const double>) {
      std::ranges::fill(gradient, 0.0);
    };
    MixingWeights weights;
    weights.self_weight = .25;
    weights.src_weights = Weights{{(context.rank() + 2) % 3, .75}};
    weights.dst_weights = Weights{{(context.rank() + 1) % 3, 1.0}};
    algorithm.set_communication(CommunicationType::NeighborAllreduce, weights);
    trainer.step(step, stay);
    const double received = (context.rank() + 2) % 3;
    for (const double value : trainer.x()) EXPECT_EQ(value, .25 * context.rank() + .75 * received);
    const double before = trainer.x().front();
    algorithm.set_communication(CommunicationType::Empty);
    trainer.step(step, stay);
    EXPECT_EQ(trainer.x().front(), before);
    algorithm.set_communication(CommunicationType::Allreduce);
    trainer.step(step, stay);
    for (const double value : trainer.x()) EXPECT_EQ(value, 1);
  });
}

TEST(AdaptThenCombine, FollowsWeightsInsteadOfItsScheduleWhereTheyAreGiven) {
  run_job(Ranks::SimulatedHost, size, [](Context& context) {
    auto memory = context.make_shared<double>(dims);
    AdaptThenCombine algorithm(context, {memory.span()}, by(one_peer_exponential(size)));
    const auto mixed = [&](const MixingWeights& weights) {
      std::ranges::fill(memory, context.rank());
      algorithm.set_communication(CommunicationType::NeighborAllreduce, weights);
      algorithm.begin_gradient();
      algorithm.begin_step(step);
      algorithm.end_step();
      return memory[0];
    };
    const int source = (context.rank() + 1) % size;
    MixingWeights weights;
    weights.self_weight = .25;
    weights.src_weights = Weights{{source, .75}};
    weights.dst_weights = Weights{{(context.rank() + size - 1) % size, 1.0}};
    EXPECT_EQ(mixed(weights), .25 * context.rank() + .75 * source);
    EXPECT_EQ(algorithm.round(), 1U);
    EXPECT_EQ(mixed({}), .5 * context.rank() + .5 * ((context.rank() + 2) % size));  // of the second round
  });
}

TEST(AdaptThenCombine, FollowsWeightsOfMachinesInsteadOfItsSchedule) {
  run_job(Ranks::SimulatedPairs, 4, [](Context& context) {
    auto memory = context.make_shared<double>(dims);
    std::ranges::fill(memory, context.rank());
    AdaptThenCombine algorithm(context, {memory.span()}, by(one_peer_exponential(2)));
    const int other = 1 - context.machine_rank();
    MixingWeights weights;
    weights.self_weight = .25;
    weights.src_machine_weights = Weights{{other, .75}};
    weights.dst_machine_weights = Weights{{other, 1.0}};
    algorithm.set_communication(CommunicationType::HierarchicalNeighborAllreduce, weights);
    algorithm.begin_gradient();
    algorithm.begin_step(step);
    algorithm.end_step();
    const double mean = .5 + 2 * context.machine_rank();  // of the ranks of this machine
    EXPECT_NEAR(memory[0], .25 * mean + .75 * (3 - mean), 1e-12);
  });
}

template <class Algorithm>
void expect_rounds_of_the_schedule_only(Context& context, typename Algorithm::Options options) {
  options.schedule = one_peer_exponential(size);
  auto memory = context.make_shared<double>(dims);
  Algorithm algorithm(context, {memory.span()}, options);
  const auto iterate = [&](CommunicationType at_the_gradient, CommunicationType at_the_step) {
    algorithm.set_communication(at_the_gradient);
    algorithm.begin_gradient();
    algorithm.set_communication(at_the_step);
    algorithm.begin_step(step);
    algorithm.end_step();
  };
  constexpr auto some = CommunicationType::NeighborAllreduce;
  constexpr auto nobody = CommunicationType::Empty;
  iterate(some, some);
  EXPECT_EQ(algorithm.round(), 1U);
  iterate(nobody, nobody);
  EXPECT_EQ(algorithm.round(), 1U);
  iterate(nobody, some);
  EXPECT_EQ(algorithm.round(), 2U);
  iterate(CommunicationType::Allreduce, CommunicationType::Allreduce);
  EXPECT_EQ(algorithm.round(), 2U) << "it has not gone by the schedule";
}

TEST(Diffusion, CountsNoRoundInWhichItMixesWithNobodyOrWithAll) {
  run_job(Ranks::SimulatedHost, size, [](Context& context) {
    expect_rounds_of_the_schedule_only<AdaptThenCombine>(context, {});
    for (const bool overlap : {false, true}) {
      AdaptWithCombineOptions options;
      options.overlap = overlap;
      expect_rounds_of_the_schedule_only<AdaptWithCombine>(context, options);
    }
  });
}

TEST(AdaptWithCombine, CountsARoundThatHadBegunBeforeItWasToMixWithNobody) {
  run_job(Ranks::SimulatedHost, size, [](Context& context) {
    auto memory = context.make_shared<double>(dims);
    AdaptWithCombineOptions options = by(one_peer_exponential(size));
    options.overlap = true;
    AdaptWithCombine algorithm(context, {memory.span()}, options);
    algorithm.begin_gradient();
    algorithm.set_communication(CommunicationType::Empty);
    algorithm.begin_step(step);
    algorithm.end_step();
    EXPECT_EQ(algorithm.round(), 1U);
  });
}

TEST(GradientAllreduce, HasNothingOnItsWayThatCouldNotStart) {
  run_job(Ranks::Threads, 2, [](Context& context) {
    std::vector<double> first(3);
    std::vector<double> second(3);
    GradientAllreduce algorithm(context, {first, second});
    algorithm.start(0);
    EXPECT_THROW(algorithm.start(0), InvalidArgument);
    context.shutdown();
    for (int k = 0; k < 2; ++k) EXPECT_THROW(algorithm.start(1), Shutdown);
    EXPECT_THROW(algorithm.begin_step(step), Shutdown);
    EXPECT_THROW(algorithm.start(0), Shutdown);
  });
}

TEST(Dtypes, OfSixteenBitsWork) {
  run_job(Ranks::SimulatedHost, 2, [](Context& context) {
    auto memory = context.make_shared<std::uint16_t>(dims);
    const Tensor parameters(memory.data(), DType::BFloat16, Shape(dims));
    for (auto& value : memory) value = context.rank() == 0 ? 0x3f80 : 0x4040;  // 1 and 3
    AdaptThenCombine algorithm(context, {parameters});
    algorithm.begin_gradient();
    algorithm.begin_step(step);
    algorithm.end_step();
    for (const auto value : memory) EXPECT_EQ(value, 0x4000);  // 2
  });
}

// --- wrong arguments

template <class Make>
void expect_refused(const Make& make, const std::string& text) {
  run_job(Ranks::SimulatedHost, size, [&](Context& context) {
    auto parameters = context.make_shared<double>(dims);
    auto gradients = context.make_shared<double>(dims);
    try {
      make(context, parameters.span(), gradients.span());
      ADD_FAILURE() << "not refused: " << text;
    } catch (const InvalidArgument& error) {
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
    }
    context.barrier();  // it is still usable
  });
}

TEST(Mistakes, AnAlgorithmRefusesTheScheduleThatItCannotStand) {
  const SchedulePtr exp2 = static_schedule(exponential_two_graph(size));
  expect_refused(
      [&](Context& context, Tensor x, Tensor) { ExactDiffusion(context, {x}, by(exp2)); },
      "ExactDiffusion: the schedule \"static\" has rounds that are not symmetric; take one of undirected "
      "graphs with Metropolis-Hastings weights, or GradientTracking");
  expect_refused([&](Context& context, Tensor x, Tensor g) { DecentLaM(context, {x}, {g}, by(exp2)); },
                 "DecentLaM: the schedule \"static\" has rounds that are not symmetric");
  expect_refused([&](Context& context, Tensor x,
                     Tensor g) { DecentLaM(context, {x}, {g}, by(one_peer_hypercube(size))); },
                 "has rounds that differ; take one undirected graph with Metropolis-Hastings weights, or "
                 "QuasiGlobalMomentum");
  const SchedulePtr one_peer = one_peer_dynamic(star_graph(size));
  expect_refused([&](Context& context, Tensor x, Tensor) { AdaptThenCombine(context, {x}, by(one_peer)); },
                 "does not preserve constants");
  expect_refused(
      [&](Context& context, Tensor x, Tensor g) { GradientTracking(context, {x}, {g}, by(one_peer)); },
      "does not preserve constants");
  expect_refused(
      [&](Context& context, Tensor x, Tensor) {
        context.set_topology(star_graph(size));  // uniform weights on it favour the centre
        ExactDiffusion(context, {x});
      },
      "does not preserve the mean");
  expect_refused(
      [&](Context& context, Tensor x, Tensor) {
        StochasticGradientPush(context, {x}, by(static_schedule(star_graph(size).with_uniform_weights())));
      },
      "does not preserve the mean");
  expect_refused(
      [&](Context& context, Tensor x, Tensor) { ExactDiffusion(context, {x}, by(one_peer_hypercube(8))); },
      "is for 8 ranks, this job has 4");
  expect_refused(
      [&](Context& context, Tensor x, Tensor) { AdaptThenCombine(context, {x}, by(one_peer_hypercube(8))); },
      "is for 8 ranks, this job has 4");
}

TEST(Mistakes, OfOptionsAndTensorsAreTold) {
  expect_refused([](Context& context, Tensor x,
                    Tensor g) { GradientTracking(context, {x}, {g}, every<DecentralizedOptions>(2)); },
                 "GradientTracking: steps_per_round is 2, but it mixes in every step; give 1");
  expect_refused([](Context& context, Tensor x,
                    Tensor) { AdaptThenCombine(context, {x}, every<DecentralizedOptions>(0)); },
                 "AdaptThenCombine: steps_per_round is 0; give 1 or more");
  expect_refused([](Context& context, Tensor x, Tensor) { GradientTracking(context, {x}, {}); },
                 "GradientTracking: 0 gradients for 1 parameters");
  expect_refused(
      [](Context& context, Tensor x, Tensor g) {
        QuasiGlobalMomentum(context, {x}, {Tensor(g.data, DType::Float32, Shape(dims))});
      },
      "QuasiGlobalMomentum: gradient 0 is float32 [40], its parameter float64 [40]");
  expect_refused([](Context& context, Tensor x,
                    Tensor) { AdaptWithCombine(context, {Tensor(x.data, DType::Int64, Shape(dims))}); },
                 "AdaptWithCombine: a tensor of int64 has no mean; give floating dtypes");
  expect_refused(
      [](Context& context, Tensor x, Tensor) {
        DiLoCoOptions options;
        options.momentum = 1;
        DiLoCo(context, {x}, options);
      },
      "DiLoCo: momentum is 1.000000; give a number in [0, 1)");
  expect_refused([](Context& context, Tensor x, Tensor) { AdaptThenCombine(context, {x}).resume(0, 1); },
                 "resume: 1 steps since the last round of 1");
}

}  // namespace
}  // namespace bluefog::test
