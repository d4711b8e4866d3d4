// Checkpoints of distributed optimizers: save() and load() of bluefog/torch/optimizer.hpp.

#include <sstream>
#include <string>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <bluefog/torch/optimizer.hpp>

#include "multi/job.hpp"
#include "torch/models.hpp"
#include "torch/refusals.hpp"
#include "torch/trained.hpp"

namespace bluefog::test {
namespace {

constexpr int ranks = 2;

/// What one rank saves: its module and its optimizer.
struct Checkpoint {
  std::string module;
  std::string optimizer;
};

Checkpoint saved(const Trained& trained) {
  std::ostringstream module;
  std::ostringstream optimizer;
  ::torch::save(trained.model, module);
  ::torch::save(*trained.optimizer, optimizer);
  return {module.str(), optimizer.str()};
}

void load(const std::string& bytes, auto& value) {
  std::istringstream stream(bytes);
  ::torch::load(value, stream);
}

void load(const Checkpoint& checkpoint, Trained& trained) {
  load(checkpoint.module, trained.model);
  load(checkpoint.optimizer, *trained.optimizer);
}

at::Tensor after_steps(Context& context, Trained& trained, int steps) {
  for (int k = 0; k < steps; ++k) trained.step(seed_of(context, k));
  return flat(*trained.model);
}

/// Trains for a while, twice from there: with the same objects, and with new ones that have loaded a
/// checkpoint.
void expect_goes_on(Context& context, const MakeAlgorithm& make, const MakeAlgorithm& again,
                    const std::string& what) {
  const auto with_momentum = ::torch::optim::SGDOptions(.05).momentum(.5);
  Trained first(context, make, seed_of(context), {.name = what}, with_momentum);
  after_steps(context, first, 3);
  const Checkpoint checkpoint = saved(first);
  Trained second(context, again, 77, {.name = what + " again"}, with_momentum);
  load(checkpoint, second);
  EXPECT_TRUE(after_steps(context, first, 4).equal(after_steps(context, second, 4))) << what;
}

template <class Algorithm>
void expect_goes_on(Context& context, const std::string& what, typename Algorithm::Options options = {}) {
  options.name = what;
  const MakeAlgorithm make = algorithm_of<Algorithm>(options);
  options.name = what + " again";
  expect_goes_on(context, make, algorithm_of<Algorithm>(options), what);
}

class TorchCheckpoints : public testing::TestWithParam<Ranks> {};

TEST_P(TorchCheckpoints, GoOnToTheBit) {
  run_job(GetParam(), ranks, [](Context& context) {
    at::set_num_threads(1);
    expect_goes_on<AdaptThenCombine>(context, "atc");
    expect_goes_on<AdaptWithCombine>(context, "awc");
    expect_goes_on<GradientAllreduce>(context, "allreduce");
    expect_goes_on<GradientTracking>(context, "tracking");
    expect_goes_on<ExactDiffusion>(context, "diffusion");
    expect_goes_on<QuasiGlobalMomentum>(context, "momentum");
    LocalDescent::Options four_steps;
    four_steps.steps_per_round = 4;  // saved in the midst of a round
    expect_goes_on<LocalDescent>(context, "local", four_steps);
  });
}

TEST_P(TorchCheckpoints, OfAJobOfAnotherSizeStartTheAlgorithmAnew) {
  Checkpoint alone;
  run_job(Ranks::Threads, 1, [&alone](Context& context) {
    Trained trained(context, algorithm_of<GradientTracking>(), 1, {}, ::torch::optim::SGDOptions(.03));
    after_steps(context, trained, 5);
    alone = saved(trained);
  });
  run_job(GetParam(), ranks, [&alone](Context& context) {
    Trained loaded(context, algorithm_of<GradientTracking>(), 2);
    load(alone, loaded);
    EXPECT_EQ(loaded.optimizer->algorithm().round(), 5);
    EXPECT_EQ(loaded.base->param_groups()[0].options().get_lr(), .03);
    Trained fresh(context, algorithm_of<GradientTracking>({.name = "fresh"}), 2, {.name = "fresh"},
                  ::torch::optim::SGDOptions(.03));
    load(alone.module, fresh.model);
    EXPECT_TRUE(after_steps(context, loaded, 4).equal(after_steps(context, fresh, 4)));
  });
}

TEST_P(TorchCheckpoints, ThatDoNotFitAreRefusedAndChangeNothing) {
  run_job(GetParam(), ranks, [](Context& context) {
    Trained tracking(context, algorithm_of<GradientTracking>(), 1, {}, ::torch::optim::SGDOptions(.03));
    after_steps(context, tracking, 2);
    const Checkpoint own = saved(tracking);

    Trained other(context, algorithm_of<AdaptThenCombine>({.name = "other"}), 1, {.name = "other"});
    expect_refused("GradientTracking, and the algorithm here is AdaptThenCombine",
                   [&] { load(own.optimizer, *other.optimizer); });
    EXPECT_EQ(other.base->param_groups()[0].options().get_lr(), .1);

    ::torch::nn::Sequential larger(::torch::nn::Linear(4, 9));
    ::torch::optim::SGD base(larger->parameters(), .1);
    torch::DistributedOptimizer of_others(
        context, base, *larger, algorithm_of<GradientTracking>({.name = "larger"}), {.name = "larger"});
    expect_refused("other parameters", [&] { load(own.optimizer, of_others); });

    const at::Tensor length = at::full({1}, static_cast<std::int64_t>(own.optimizer.size()), at::kLong);
    std::string of_first = own.optimizer;
    of_first.resize(static_cast<std::size_t>(torch::broadcast(context, length, 0).item<std::int64_t>()));
    torch::broadcast_(
        context, at::from_blob(of_first.data(), {static_cast<std::int64_t>(of_first.size())}, at::kByte), 0);
    if (context.rank() == 1) {
      expect_refused("rank 0, and this is rank 1", [&] { load(of_first, *tracking.optimizer); });
    }
    LocalDescent::Options steps;
    steps.name = "local";
    steps.steps_per_round = 4;
    Trained local(context, algorithm_of<LocalDescent>(steps), 1, {.name = "local"});
    after_steps(context, local, 3);
    steps.name = "often";
    steps.steps_per_round = 2;
    Trained often(context, algorithm_of<LocalDescent>(steps), 1, {.name = "often"},
                  ::torch::optim::SGDOptions(.03));
    expect_refused("3 steps since the last round of 2",
                   [&] { load(saved(local).optimizer, *often.optimizer); });
    EXPECT_EQ(often.base->param_groups()[0].options().get_lr(), .03);

    std::ostringstream plain;
    ::torch::save(*tracking.base, plain);
    EXPECT_THROW(load(plain.str(), *tracking.optimizer), c10::Error);
    after_steps(context, tracking, 2);
  });
}

TEST_P(TorchCheckpoints, LeaveTheAlgorithmWhereItIsIfTheOptimizerBelowCannotLoadItsPart) {
  run_job(GetParam(), ranks, [](Context& context) {
    Trained trained(context, algorithm_of<AdaptThenCombine>(), 1);
    after_steps(context, trained, 3);
    std::istringstream stream(saved(trained).optimizer);
    ::torch::serialize::InputArchive whole;
    whole.load_from(stream);
    ::torch::serialize::InputArchive part;
    whole.read("bluefog", part);
    ::torch::serialize::OutputArchive own;
    torch::optimizer::save(own, torch::optimizer::load(part));
    ::torch::serialize::OutputArchive damaged;
    damaged.write("bluefog", own);
    ::torch::serialize::OutputArchive nothing;
    damaged.write("base", nothing);
    std::ostringstream bytes;
    damaged.save_to(bytes);

    Trained other(context, algorithm_of<AdaptThenCombine>({.name = "other"}), 1, {.name = "other"});
    after_steps(context, other, 1);
    EXPECT_THROW(load(bytes.str(), *other.optimizer), c10::Error);
    EXPECT_EQ(other.optimizer->algorithm().round(), 1);
    after_steps(context, other, 1);
  });
}

TEST_P(TorchCheckpoints, AreTakenBetweenIterations) {
  run_job(GetParam(), ranks, [](Context& context) {
    Trained trained(context, algorithm_of<AdaptWithCombine>(), 1);
    const Checkpoint before = saved(trained);
    trained.optimizer->zero_grad();
    expect_refused("between zero_grad() and step()", [&] { (void)saved(trained); });
    backward(trained.model, 1);
    trained.optimizer->synchronize();
    expect_refused("between zero_grad() and step()", [&] { load(before, trained); });
    trained.optimizer->step();
    EXPECT_FALSE(saved(trained).optimizer.empty());
  });
}

INSTANTIATE_TEST_SUITE_P(Threads, TorchCheckpoints, testing::Values(Ranks::Threads, Ranks::TcpThreads),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace bluefog::test
