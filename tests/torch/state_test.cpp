// Starting all ranks from one state: bluefog/torch/state.hpp.

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <bluefog/torch/state.hpp>

#include "multi/job.hpp"
#include "torch/models.hpp"

namespace bluefog::test {
namespace {

void train(::torch::nn::Module& module, ::torch::optim::Optimizer& optimizer, int steps) {
  for (int k = 0; k < steps; ++k) {
    optimizer.zero_grad();
    for (at::Tensor& parameter : module.parameters()) parameter.square().sum().backward();
    optimizer.step();
  }
}

TEST(TorchState, ParametersAndBuffersBecomeThoseOfTheRoot) {
  run_job(Ranks::Threads, 3, [](Context& context) {
    ::torch::nn::BatchNorm1d norm(4);
    {
      const at::NoGradGuard no_grad;
      for (at::Tensor& parameter : norm->parameters()) parameter.fill_(context.rank());
      for (at::Tensor& buffer : norm->buffers()) buffer.fill_(context.rank());
    }
    torch::broadcast_parameters(context, *norm, 2);
    for (const at::Tensor& parameter : norm->parameters()) EXPECT_TRUE(parameter.eq(2).all().item<bool>());
    for (const at::Tensor& buffer : norm->buffers()) EXPECT_TRUE(buffer.eq(2).all().item<bool>());
  });
}

/// As an embedding and the layer that decodes it; and a part of that.
struct Tied : ::torch::nn::Module {
  at::Tensor embedding = register_parameter("embedding", at::zeros({100, 100}));
  at::Tensor decoder = register_parameter("decoder", embedding);
  at::Tensor first = register_buffer("first", embedding.detach().narrow(0, 0, 1));
};

TEST(TorchState, TiedParametersAreSentOneAfterAnother) {
  run_job(Ranks::Threads, 3, [](Context& context) {
    Tied tied;
    {
      const at::NoGradGuard no_grad;
      tied.embedding.fill_(context.rank());
    }
    torch::broadcast_parameters(context, tied, 2);
    EXPECT_TRUE(tied.embedding.eq(2).all().item<bool>());
  });
}

template <class Optimizer, class Options>
void expect_equal_steps_after_broadcast(Context& context, const Options& options) {
  auto model = two_layers(1);
  Optimizer optimizer(model->parameters(), options);
  if (context.rank() == 1) {  // only the root has a state
    optimizer.param_groups()[0].options().set_lr(.03);
    train(*model, optimizer, 3);
  }
  torch::broadcast_parameters(context, *model, 1);
  torch::broadcast_optimizer_state(context, optimizer, 1);
  EXPECT_EQ(optimizer.param_groups()[0].options().get_lr(), .03);
  train(*model, optimizer, 3);
  const at::Tensor own = flat(*model);
  EXPECT_TRUE(torch::broadcast(context, own, 1).equal(own)) << "rank " << context.rank();
}

TEST(TorchState, OptimizersGoOnAsThatOfTheRoot) {
  run_job(Ranks::Threads, 2, [](Context& context) {
    expect_equal_steps_after_broadcast<::torch::optim::SGD>(context,
                                                            ::torch::optim::SGDOptions(.1).momentum(.9));
    expect_equal_steps_after_broadcast<::torch::optim::Adam>(context, ::torch::optim::AdamOptions(.1));
    expect_equal_steps_after_broadcast<::torch::optim::AdamW>(context,
                                                              ::torch::optim::AdamWOptions(.1).amsgrad(true));
    expect_equal_steps_after_broadcast<::torch::optim::RMSprop>(
        context, ::torch::optim::RMSpropOptions(.1).momentum(.5).centered(true));
    expect_equal_steps_after_broadcast<::torch::optim::Adagrad>(context, ::torch::optim::AdagradOptions(.1));
  });
}

TEST(TorchState, UnlikeOptimizersAreAnErrorOnAllRanks) {
  run_job(Ranks::Threads, 2, [](Context& context) {
    const auto model = two_layers(1);
    std::vector<at::Tensor> parameters = model->parameters();
    if (context.rank() == 0) parameters.pop_back();
    ::torch::optim::SGD optimizer(parameters, .1);
    EXPECT_THROW(torch::broadcast_optimizer_state(context, optimizer, 0), InvalidArgument);
    context.barrier();
  });
}

}  // namespace
}  // namespace bluefog::test
