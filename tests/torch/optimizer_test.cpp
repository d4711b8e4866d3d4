// Distributed optimizers around those of LibTorch: bluefog/torch/optimizer.hpp.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <bluefog/torch/optimizer.hpp>
#include <bluefog/torch/state.hpp>

#include "multi/job.hpp"
#include "torch/models.hpp"
#include "torch/refusals.hpp"
#include "torch/trained.hpp"

namespace bluefog::test {
namespace {

constexpr int ranks = 4;

at::Tensor mean_over_ranks(Context& context, const at::Tensor& x) {
  return torch::allreduce(context, x);
}

at::Tensor mixed(Context& context, const at::Tensor& x) {
  NeighborAllreduceOptions options;
  options.form = MixingForm::Difference;
  options.meet = true;
  return torch::neighbor_allreduce(context, x, options);
}

/// -lr times the gradient at the parameters of the model, for plain SGD.
at::Tensor gradient_at(const at::Tensor& parameters, std::uint64_t seed) {
  ::torch::nn::Sequential model = two_layers(0);
  std::int64_t begin = 0;
  {
    const at::NoGradGuard no_grad;
    for (at::Tensor& parameter : model->parameters()) {
      parameter.copy_(parameters.narrow(0, begin, parameter.numel()).view_as(parameter));
      begin += parameter.numel();
    }
  }
  backward(model, seed);
  std::vector<at::Tensor> parts;
  for (const at::Tensor& parameter : model->parameters()) parts.push_back(parameter.grad().reshape({-1}));
  return at::cat(parts);
}

void expect_close(const at::Tensor& actual, const at::Tensor& expected) {
  EXPECT_LT((actual - expected).abs().max().item<double>(), 1e-12);
}

class TorchOptimizers : public testing::TestWithParam<Ranks> {
 protected:
  static void run(int size, const std::function<void(Context&)>& body) {
    run_job(GetParam(), size, [&body](Context& context) {
      at::set_num_threads(1);
      body(context);
    });
  }
};

TEST_P(TorchOptimizers, CombineAfterAdapting) {
  run(ranks, [](Context& context) {
    Trained trained(context, algorithm_of<AdaptThenCombine>(), seed_of(context));
    at::Tensor expected = flat(*trained.model);
    for (int k = 0; k < 3; ++k) {
      trained.step(seed_of(context, k));
      expected = mixed(context, expected - .1 * gradient_at(expected, seed_of(context, k)));
      expect_close(flat(*trained.model), expected);
    }
  });
}

TEST_P(TorchOptimizers, CombineWhatTheGradientWasComputedAt) {
  run(ranks, [](Context& context) {
    for (const bool overlap : {false, true}) {
      AdaptWithCombineOptions options;
      options.overlap = overlap;
      Trained trained(context, algorithm_of<AdaptWithCombine>(options), seed_of(context));
      at::Tensor expected = flat(*trained.model);
      for (int k = 0; k < 3; ++k) {
        trained.step(seed_of(context, k));
        expected = mixed(context, expected) - .1 * gradient_at(expected, seed_of(context, k));
        expect_close(flat(*trained.model), expected);
      }
    }
  });
}

TEST_P(TorchOptimizers, AverageGradientsDuringBackward) {
  run(ranks, [](Context& context) {
    Trained trained(context, algorithm_of<GradientAllreduce>(), 1, {},
                    ::torch::optim::SGDOptions(.1).momentum(.9));
    at::Tensor expected = flat(*trained.model);
    at::Tensor velocity = at::zeros_like(expected);
    for (int k = 0; k < 3; ++k) {
      trained.step(seed_of(context, k));
      velocity = .9 * velocity + mean_over_ranks(context, gradient_at(expected, seed_of(context, k)));
      expected = expected - .1 * velocity;
      expect_close(flat(*trained.model), expected);
    }
  });
}

TEST_P(TorchOptimizers, ClippingSeesTheMeanGradient) {
  run(2, [](Context& context) {
    Trained trained(context, algorithm_of<GradientAllreduce>(), 1);
    const at::Tensor before = flat(*trained.model);
    trained.optimizer->zero_grad();
    backward(trained.model, seed_of(context));
    trained.optimizer->synchronize();
    ::torch::nn::utils::clip_grad_norm_(trained.model->parameters(), .01);
    trained.optimizer->step();
    const at::Tensor mean = mean_over_ranks(context, gradient_at(before, seed_of(context)));
    EXPECT_GT(mean.norm().item<double>(), .1);
    const at::Tensor step = (before - flat(*trained.model)) / .1;
    EXPECT_NEAR(step.norm().item<double>(), .01, 1e-6);
    EXPECT_LT((step / .01 - mean / mean.norm()).abs().max().item<double>(), 1e-4);
    trained.step(5);
  });
}

TEST_P(TorchOptimizers, AStepMayBeLeftOutAfterSynchronizing) {
  run(2, [](Context& context) {
    const auto leave_out = [&context](Trained& trained) {
      trained.optimizer->zero_grad();
      backward(trained.model, seed_of(context, 7));
      trained.optimizer->synchronize();
    };
    Trained averaging(context, algorithm_of<GradientAllreduce>(), 1);
    at::Tensor expected = flat(*averaging.model);
    for (int k = 0; k < 3; ++k) {
      leave_out(averaging);
      averaging.step(seed_of(context, k));
      expected = expected - .1 * mean_over_ranks(context, gradient_at(expected, seed_of(context, k)));
      expect_close(flat(*averaging.model), expected);
    }

    for (const bool overlap : {false, true}) {
      AdaptWithCombineOptions options;
      options.overlap = overlap;
      options.name = overlap ? "overlaps" : "in place";
      Trained combining(context, algorithm_of<AdaptWithCombine>(options), seed_of(context));
      expected = flat(*combining.model);
      for (int k = 0; k < 3; ++k) {
        leave_out(combining);
        combining.step(seed_of(context, k));
        expected = mixed(context, expected);
        expected = mixed(context, expected) - .1 * gradient_at(expected, seed_of(context, k));
        expect_close(flat(*combining.model), expected);
      }
    }
  });
}

TEST_P(TorchOptimizers, ASynchronizeBeforeAStepWithAClosureIsAnIterationOfItsOwn) {
  run(2, [](Context& context) {
    Trained trained(context, algorithm_of<GradientAllreduce>(), 1);
    const at::Tensor before = flat(*trained.model);
    trained.optimizer->zero_grad();
    backward(trained.model, seed_of(context, 7));
    trained.optimizer->synchronize();
    trained.optimizer->step([&] {
      trained.optimizer->zero_grad();
      backward(trained.model, seed_of(context));
      return at::zeros({});
    });
    expect_close(flat(*trained.model),
                 before - .1 * mean_over_ranks(context, gradient_at(before, seed_of(context))));
  });
}

TEST_P(TorchOptimizers, ABackwardBetweenSynchronizingAndTheStepIsAnError) {
  run(2, [](Context& context) {
    Trained trained(context, algorithm_of<GradientAllreduce>(), 1);
    trained.optimizer->zero_grad();
    backward(trained.model, 1);
    trained.optimizer->synchronize();
    expect_refused("a backward after synchronize()", [&] { backward(trained.model, 2); });
    trained.step(3);
    const at::Tensor own = flat(*trained.model);
    EXPECT_TRUE(torch::broadcast(context, own, 0).equal(own));
  });
}

TEST_P(TorchOptimizers, AFailedStepHoldsNoWindow) {
  run(2, [](Context& context) {
    Trained trained(context, algorithm_of<WindowGetMixing>(), 1);
    const auto failing = [&] {
      trained.optimizer->zero_grad();
      trained.optimizer->synchronize();
    };
    if (context.rank() == 0) failing();  // and makes no step
    context.barrier();
    if (context.rank() == 0) trained.optimizer->zero_grad();
    context.barrier();
    if (context.rank() == 1) trained.step(1);
    context.barrier();
    failing();  // before it goes
  });
}

TEST_P(TorchOptimizers, ParametersMayBeFrozenAndThawed) {
  run(2, [](Context& context) {
    ::torch::nn::Sequential model = two_layers(1);
    at::Tensor first = model->parameters()[0];
    first.requires_grad_(false);
    ::torch::optim::SGD base(model->parameters(), .1);
    torch::DistributedOptimizer optimizer(context, base, *model, algorithm_of<GradientAllreduce>());
    int k = 0;
    for (const bool is_frozen : {true, false, true, true, false, false}) {
      first.requires_grad_(!is_frozen);
      const at::Tensor before = flat(*model);
      optimizer.zero_grad();
      backward(model, seed_of(context, k));
      optimizer.step();
      const at::Tensor mean = mean_over_ranks(context, gradient_at(before, seed_of(context, k++)));
      if (is_frozen) mean.narrow(0, 0, first.numel()).zero_();
      expect_close(flat(*model), before - .1 * mean);
    }
  });
}

TEST_P(TorchOptimizers, AccumulateGradients) {
  run(2, [](Context& context) {
    torch::DistributedOptions options;
    options.backwards_per_step = 2;
    for (const MakeAlgorithm& make : {algorithm_of<GradientAllreduce>(), algorithm_of<GradientTracking>()}) {
      Trained trained(context, make, 1, options);
      const at::Tensor before = flat(*trained.model);
      trained.optimizer->zero_grad();
      backward(trained.model, seed_of(context, 0));
      backward(trained.model, seed_of(context, 1));
      trained.optimizer->step();
      const at::Tensor sum =
          gradient_at(before, seed_of(context, 0)) + gradient_at(before, seed_of(context, 1));
      expect_close(flat(*trained.model), before - .1 * mean_over_ranks(context, sum));
      options.name += " of the next";
    }
  });
}

TEST_P(TorchOptimizers, AStepWithoutABackwardTakesWhatThereIs) {
  run(2, [](Context& context) {
    Trained trained(context, algorithm_of<GradientAllreduce>(), 1);
    const at::Tensor before = flat(*trained.model);
    trained.optimizer->zero_grad();
    if (context.rank() == 0) backward(trained.model, 5);
    trained.optimizer->step();
    expect_close(flat(*trained.model), before - .05 * gradient_at(before, 5));
  });
}

TEST_P(TorchOptimizers, MoreBackwardsThanDeclaredAreAnError) {
  run(2, [](Context& context) {
    Trained trained(context, algorithm_of<GradientAllreduce>(), 1);
    trained.optimizer->zero_grad();
    backward(trained.model, 1);
    try {
      backward(trained.model, 2);
      ADD_FAILURE() << "no error";
    } catch (const std::exception& error) {
      EXPECT_NE(std::string(error.what()).find("Unexpected behavior"), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("backwards_per_step"), std::string::npos) << error.what();
    }
    trained.optimizer->step();
    trained.step(3);
    const at::Tensor own = flat(*trained.model);
    EXPECT_TRUE(torch::broadcast(context, own, 0).equal(own));
  });
}

TEST_P(TorchOptimizers, TrackAndDiffuseAsTheCoreDoes) {
  run(ranks, [](Context& context) {
    context.set_topology(ring_graph(ranks));
    for (const MakeAlgorithm& make : {algorithm_of<GradientTracking>(), algorithm_of<ExactDiffusion>()}) {
      Trained trained(context, make, seed_of(context));
      std::vector<double> x(static_cast<std::size_t>(flat(*trained.model).numel()));
      at::Tensor place = at::from_blob(x.data(), {static_cast<std::int64_t>(x.size())}, at::kDouble);
      place.copy_(flat(*trained.model));
      int k = 0;
      MakeAlgorithm again = make.uses_gradients() ? algorithm_of<GradientTracking>({.name = "again"})
                                                  : algorithm_of<ExactDiffusion>({.name = "again"});
      Descent<double> descent(
          context, x,
          [&](std::span<const double>, std::span<double> gradient) {
            at::from_blob(gradient.data(), {static_cast<std::int64_t>(gradient.size())}, at::kDouble)
                .copy_(gradient_at(place, seed_of(context, k)));
          },
          again);
      for (k = 0; k < 5; ++k) {
        trained.step(seed_of(context, k));
        descent.step(.1);
        expect_close(flat(*trained.model), place);
      }
    }
  });
}

TEST_P(TorchOptimizers, GoByWindows) {
  run(2, [](Context& context) {
    int number = 0;
    const auto named = [&number] {
      AsynchronousOptions options;
      options.name = "windows" + std::to_string(number++);
      return options;
    };
    for (const MakeAlgorithm& make :
         {algorithm_of<WindowPutMixing>(named()), algorithm_of<WindowGetMixing>(named()),
          algorithm_of<PushSumMixing>(named())}) {
      Trained trained(context, make, seed_of(context), {}, ::torch::optim::SGDOptions(1e-9));
      for (int k = 0; k < 60; ++k) {
        trained.step(1);
        context.barrier();
      }
      const at::Tensor own = flat(*trained.model);
      EXPECT_LT((own - torch::broadcast(context, own, 0)).abs().max().item<double>(), 1e-3);
      context.barrier();
    }
  });
}

TEST_P(TorchOptimizers, TakeWeightsOfEachIterationOrASchedule) {
  run(ranks, [](Context& context) {
    Trained trained(context, algorithm_of<AdaptThenCombine>({.schedule = one_peer_exponential(ranks)}),
                    seed_of(context), {}, ::torch::optim::SGDOptions(0));
    const at::Tensor mean = mean_over_ranks(context, flat(*trained.model));
    trained.step(1);
    trained.step(2);
    expect_close(flat(*trained.model), mean);

    Trained dynamic(context, algorithm_of<AdaptThenCombine>({.name = "dynamic"}), seed_of(context), {},
                    ::torch::optim::SGDOptions(0));
    const at::Tensor start = flat(*dynamic.model);
    auto* algorithm = dynamic.optimizer->algorithm().get<AdaptThenCombine>();
    ASSERT_NE(algorithm, nullptr);
    const int next = (context.rank() + 1) % ranks;
    const int previous = (context.rank() + ranks - 1) % ranks;
    MixingWeights weights;
    weights.self_weight = .5;
    weights.src_weights = Weights{{previous, .5}};
    weights.dst_weights = Weights{{next, 1}};
    algorithm->set_communication(CommunicationType::NeighborAllreduce, weights);
    dynamic.step(1);
    const at::Tensor all = torch::allgather(context, start.unsqueeze(0));
    expect_close(flat(*dynamic.model), (start + all[previous]) / 2);
    algorithm->set_communication(CommunicationType::Allreduce);
    dynamic.step(2);
    expect_close(flat(*dynamic.model), mean);
    context.set_machine_topology(fully_connected_graph(context.machine_size()));
    Trained machines(context, algorithm_of<AdaptThenCombine>({.name = "machines"}), seed_of(context), {},
                     ::torch::optim::SGDOptions(0));
    machines.optimizer->algorithm().get<AdaptThenCombine>()->set_communication(
        CommunicationType::HierarchicalNeighborAllreduce);
    machines.step(1);
    expect_close(flat(*machines.model), mean);
    algorithm->set_communication(CommunicationType::Empty);
    {
      const at::NoGradGuard no_grad;
      for (at::Tensor& parameter : dynamic.model->parameters()) parameter.fill_(context.rank());
    }
    dynamic.step(3);
    EXPECT_EQ(flat(*dynamic.model).max().item<double>(), context.rank());
  });
}

TEST_P(TorchOptimizers, TakeClosuresAndFollowSchedulers) {
  run(2, [](Context& context) {
    Trained trained(context, algorithm_of<AdaptThenCombine>(), 1);
    ::torch::optim::StepLR scheduler(*trained.base, 1, .5);
    at::Tensor expected = flat(*trained.model);
    for (int k = 0; k < 3; ++k) {
      const double rate = trained.base->param_groups()[0].options().get_lr();
      const at::Tensor loss = trained.optimizer->step([&] {
        trained.optimizer->zero_grad();
        at::Tensor value = trained.model->forward(inputs(seed_of(context, k))).square().sum();
        value.backward();
        return value;
      });
      EXPECT_GT(loss.item<double>(), 0);
      expected = mixed(context, expected - rate * gradient_at(expected, seed_of(context, k)));
      expect_close(flat(*trained.model), expected);
      scheduler.step();
    }
    EXPECT_LT(trained.base->param_groups()[0].options().get_lr(), .1);
  });
}

TEST_P(TorchOptimizers, WorkAroundEveryOptimizer) {
  run(2, [](Context& context) {
    const auto expect_agreement = [&context](auto make_base) {
      ::torch::nn::Sequential model = two_layers(seed_of(context), at::kFloat);
      auto base = make_base(model->parameters());
      torch::DistributedOptimizer optimizer(context, *base, *model, algorithm_of<AdaptThenCombine>());
      for (int k = 0; k < 3; ++k) {
        optimizer.zero_grad();
        model->forward(inputs(1, at::kFloat)).square().sum().backward();
        optimizer.step();
      }
      const at::Tensor own = flat(*model);
      EXPECT_LT((torch::broadcast(context, own, 0) - own).abs().max().item<double>(), 1e-6);
    };
    using Parameters = std::vector<at::Tensor>;
    expect_agreement([](const Parameters& p) { return std::make_unique<::torch::optim::Adam>(p, .01); });
    expect_agreement([](const Parameters& p) { return std::make_unique<::torch::optim::AdamW>(p, .01); });
    expect_agreement([](const Parameters& p) { return std::make_unique<::torch::optim::RMSprop>(p, .01); });
    expect_agreement([](const Parameters& p) { return std::make_unique<::torch::optim::Adagrad>(p, .01); });
  });
}

TEST_P(TorchOptimizers, KeepTheUsersTensors) {
  run(2, [](Context& context) {
    ::torch::nn::Sequential model = two_layers(1);
    const std::vector<at::Tensor> users = model->parameters();
    const at::Tensor before = flat(*model);
    ::torch::optim::SGD base(model->parameters(), .1);
    const torch::DistributedOptimizer optimizer(context, base, *model, algorithm_of<AdaptThenCombine>());
    EXPECT_TRUE(flat(*model).equal(before));
    const std::vector<at::Tensor> now = model->parameters();
    for (std::size_t i = 0; i < users.size(); ++i) {
      EXPECT_TRUE(users[i].is_same(now[i]));
      EXPECT_EQ(context.memory_kind(users[i].data_ptr()), MemoryKind::Arena);
      EXPECT_EQ(users[i].storage().nbytes(), users[i].nbytes()) << "saving it would save more";
    }
  });
}

TEST_P(TorchOptimizers, ReplacedDataIsBroughtBackOrRefused) {
  run(2, [](Context& context) {
    Trained trained(context, algorithm_of<AdaptThenCombine>(), 1);
    const std::vector<at::Tensor> parameters = trained.model->parameters();
    at::Tensor first = parameters[0];
    first.set_data(at::ones_like(first));
    trained.step(1);
    EXPECT_EQ(context.memory_kind(first.data_ptr()), MemoryKind::Arena);
    EXPECT_GT(first.min().item<double>(), .1) << "the replaced values are lost";

    trained.model->to(at::kFloat);
    expect_refused("0.weight", [&] { trained.optimizer->zero_grad(); });
    expect_refused("another dtype", [&] { trained.optimizer->step(); });
    trained.model->to(at::kDouble);
    trained.step(1);
    context.barrier();
  });
}

TEST_P(TorchOptimizers, ParametersThatAreAddedLaterAreRefused) {
  run(2, [](Context& context) {
    Trained trained(context, algorithm_of<AdaptThenCombine>(), 1);
    trained.step(1);
    trained.base->add_param_group(::torch::optim::OptimizerParamGroup({at::zeros({3}).requires_grad_()}));
    expect_refused("were added", [&] { trained.optimizer->zero_grad(); });
    expect_refused("were added", [&] { trained.optimizer->step(); });
  });
}

/// Whose parameter has one element in memory, and counts for more than any machine has.
struct Immense : ::torch::nn::Module {
  at::Tensor parameter =
      register_parameter("parameter", at::zeros({1}, at::kDouble).expand({std::int64_t{1} << 50}));
};

TEST_P(TorchOptimizers, OneRanksLackOfMemoryIsAnErrorOnAll) {
  run(2, [](Context& context) {
    ::torch::nn::Sequential model = two_layers(1);
    Immense immense;
    const auto wrap = [&context](const ::torch::nn::Module& module) {
      ::torch::optim::SGD base(module.parameters(), .1);
      const torch::DistributedOptimizer optimizer(context, base, module, algorithm_of<AdaptThenCombine>());
    };
    try {
      wrap(context.rank() == 0 ? static_cast<const ::torch::nn::Module&>(immense) : *model);
      ADD_FAILURE() << "no error";
    } catch (const Mismatch& error) {
      EXPECT_EQ(context.rank(), 1) << error.what();
    } catch (const Error& error) {
      EXPECT_EQ(context.rank(), 0) << error.what();
      EXPECT_NE(std::string(error.what()).find("has no room for"), std::string::npos) << error.what();
    }
    wrap(*model);
  });
}

TEST_P(TorchOptimizers, WhatIsRefusedOnOneRankIsAnErrorOnAll) {
  run(2, [](Context& context) {
    const auto expect_refused = [&context](const std::string& part, const auto& make_wrong) {
      ::torch::nn::Sequential model = two_layers(1);
      ::torch::optim::SGD right(model->parameters(), .1);
      try {
        if (context.rank() == 0) {
          make_wrong(*model);
        } else {
          const torch::DistributedOptimizer optimizer(context, right, *model,
                                                      algorithm_of<AdaptThenCombine>());
        }
        ADD_FAILURE() << "no error with " << part;
      } catch (const InvalidArgument& error) {
        EXPECT_EQ(context.rank(), 0);
        EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
      } catch (const Mismatch& error) {
        EXPECT_TRUE(context.rank() == 1 || part == "differ between ranks") << error.what();
      }
      const torch::DistributedOptimizer optimizer(context, right, *model, algorithm_of<AdaptThenCombine>());
    };
    const auto make = algorithm_of<AdaptThenCombine>();
    expect_refused("is none of the module", [&](::torch::nn::Module& module) {
      ::torch::optim::SGD base({at::zeros({3}).requires_grad_()}, .1);
      const torch::DistributedOptimizer optimizer(context, base, module, make);
    });
    expect_refused("LBFGS", [&](::torch::nn::Module& module) {
      ::torch::optim::LBFGS base(module.parameters(), .1);
      const torch::DistributedOptimizer optimizer(context, base, module, make);
    });
    expect_refused("differ between ranks", [&](::torch::nn::Module&) {
      ::torch::nn::Sequential other(::torch::nn::Linear(4, 9));
      ::torch::optim::SGD base(other->parameters(), .1);
      const torch::DistributedOptimizer optimizer(context, base, *other, make);
    });
    expect_refused("share memory", [&](::torch::nn::Module&) {
      ::torch::nn::Sequential tied(::torch::nn::Linear(4, 4), ::torch::nn::Linear(4, 4));
      std::vector<at::Tensor> parameters = tied->parameters();
      parameters[2].set_data(parameters[0]);
      ::torch::optim::SGD base(tied->parameters(), .1);
      const torch::DistributedOptimizer optimizer(context, base, *tied, make);
    });
    expect_refused("backwards_per_step", [&](::torch::nn::Module& module) {
      ::torch::optim::SGD base(module.parameters(), .1);
      torch::DistributedOptions options;
      options.backwards_per_step = 0;
      const torch::DistributedOptimizer optimizer(context, base, module, make, options);
    });
  });
}

TEST_P(TorchOptimizers, AContextThatIsMovedAfterwardsIsAnErrorThatSaysSo) {
  run(2, [](Context& context) {
    Trained trained(context, algorithm_of<AdaptThenCombine>(), 1);
    Context moved = std::move(context);
    EXPECT_THROW(trained.step(1), InvalidArgument);
    context = std::move(moved);
    trained.step(2);
  });
}

TEST_P(TorchOptimizers, WorkForOneRank) {
  run(1, [](Context& context) {
    Trained trained(context, algorithm_of<AdaptThenCombine>(), 1);
    const at::Tensor before = flat(*trained.model);
    trained.step(1);
    expect_close(flat(*trained.model), before - .1 * gradient_at(before, 1));
  });
}

INSTANTIATE_TEST_SUITE_P(Threads, TorchOptimizers, testing::Values(Ranks::Threads, Ranks::TcpThreads),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace bluefog::test
