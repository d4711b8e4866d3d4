// The operations on tensors of LibTorch: bluefog/torch/operations.hpp.

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <bluefog/coroutine.hpp>
#include <bluefog/torch/operations.hpp>

#include "multi/job.hpp"

namespace bluefog::test {
namespace {

at::Tensor of_rank(const Context& context, at::ScalarType type = at::kDouble) {
  return at::full({2, 3}, context.rank(), type);
}

class TorchOperations : public testing::TestWithParam<Ranks> {
 protected:
  static void run(int ranks, const std::function<void(Context&)>& body) { run_job(GetParam(), ranks, body); }
};

TEST_P(TorchOperations, GiveNewTensorsOrWorkInPlace) {
  run(3, [](Context& context) {
    const at::Tensor x = of_rank(context);
    const at::Tensor ones = at::ones({2, 3}, at::kDouble);
    EXPECT_TRUE(torch::neighbor_allreduce(context, x).equal(ones));
    EXPECT_TRUE(torch::allreduce(context, x).equal(ones));
    EXPECT_TRUE(torch::broadcast(context, x, 2).equal(2 * ones));
    EXPECT_TRUE(x.equal(of_rank(context))) << "the input has changed";

    const auto expect_in_place = [&](const at::Tensor& expected, const auto& operation) {
      at::Tensor place = of_rank(context);
      EXPECT_TRUE(operation(place).is_same(place));
      EXPECT_TRUE(place.equal(expected));
      at::Tensor transposed = of_rank(context).t().contiguous().t();
      EXPECT_FALSE(transposed.is_contiguous());
      operation(transposed);
      EXPECT_TRUE(transposed.equal(expected)) << "not contiguous";
    };
    expect_in_place(ones, [&](const at::Tensor& t) { return torch::neighbor_allreduce_(context, t); });
    expect_in_place(ones, [&](const at::Tensor& t) { return torch::allreduce_(context, t); });
    expect_in_place(2 * ones, [&](const at::Tensor& t) { return torch::broadcast_(context, t, 2); });
  });
}

TEST_P(TorchOperations, GatherAlongTheFirstDimension) {
  run(3, [](Context& context) {
    const at::Tensor own = at::full({context.rank() + 1, 2}, context.rank(), at::kInt);
    const at::Tensor all = torch::allgather(context, own);
    EXPECT_EQ(all.sizes(), (std::vector<std::int64_t>{6, 2}));
    EXPECT_TRUE(all.select(1, 0).equal(at::tensor({0, 1, 1, 2, 2, 2}, at::kInt)));
    const at::Tensor others = torch::neighbor_allgather(context, own);
    EXPECT_EQ(others.size(0), 5 - context.rank()) << "exponential-2 of three: all the others";
    EXPECT_THROW(static_cast<void>(torch::allgather(context, at::zeros({1, 1, 1, 1, 1, 1, 1, 1}))),
                 InvalidArgument);
  });
}

TEST_P(TorchOperations, MixMachines) {
  run(2, [](Context& context) {
    context.set_machine_topology(fully_connected_graph(context.machine_size()));
    const at::Tensor x = of_rank(context, at::kFloat);
    EXPECT_TRUE(torch::hierarchical_neighbor_allreduce(context, x).equal(at::full({2, 3}, .5, at::kFloat)));
    torch::hierarchical_neighbor_allreduce_(context, x);
    EXPECT_TRUE(x.equal(at::full({2, 3}, .5, at::kFloat)));
  });
}

TEST_P(TorchOperations, MayBeAwaitedOrDropped) {
  run(2, [](Context& context) {
    const auto average = [](Context& job) -> Task<double> {
      torch::TensorHandle handle = torch::allreduce_async(job, of_rank(job));
      co_await handle.handle();
      co_return handle.wait().sum().item<double>();
    };
    EXPECT_EQ(bluefog::run(average(context)), 3.0);
    static_cast<void>(torch::allreduce_async(context, at::full({1000}, context.rank(), at::kDouble)));
    EXPECT_EQ(torch::allreduce(context, of_rank(context)).sum().item<double>(), 3.0);

    const at::Tensor transposed = of_rank(context).t();
    torch::TensorHandle in_place = torch::allreduce_async_(context, transposed);
    in_place.wait();
    EXPECT_EQ(transposed.sum().item<double>(), 3.0);
    transposed.zero_();
    EXPECT_TRUE(torch::TensorHandle(in_place).wait().is_same(transposed));
    EXPECT_EQ(transposed.sum().item<double>(), 0.0) << "the result has been copied again";

    EXPECT_FALSE(torch::TensorHandle().valid());
    EXPECT_THROW(torch::TensorHandle().wait(), InvalidArgument);
  });
}

TEST_P(TorchOperations, OpenWindows) {
  run(2, [](Context& context) {
    const at::Tensor x = torch::shared_copy(context, of_rank(context));
    Window window = torch::create_window(context, "x", x);
    window.put(torch::view(x));
    context.barrier();
    window.update();
    EXPECT_TRUE(x.equal(at::full({2, 3}, .5, at::kDouble)));
    window.free();
    EXPECT_THROW(static_cast<void>(torch::create_window(context, "y", x.t())), InvalidArgument);
  });
}

TEST_P(TorchOperations, ATensorThatCannotBeSentIsAnErrorOnAllRanks) {
  run(2, [](Context& context) {
    const std::vector<at::Tensor> unsuitable{at::empty({2}, at::kMeta), at::Tensor(),
                                             at::zeros({2}).to_sparse(), at::zeros({2}, at::kComplexDouble)};
    for (const at::Tensor& wrong : unsuitable) {
      const at::Tensor x = context.rank() == 0 ? wrong : at::zeros({2});
      const auto expect_error = [&](const auto& call) {
        if (context.rank() == 0) {
          EXPECT_THROW(static_cast<void>(call()), InvalidArgument);
        } else {
          EXPECT_THROW(static_cast<void>(call()), Mismatch);
        }
      };
      expect_error([&] { return torch::allreduce(context, x); });
      expect_error([&] { return torch::neighbor_allreduce_(context, x); });
      expect_error([&] { return torch::allgather(context, x); });
      expect_error([&] { return torch::broadcast(context, x, 1); });
    }
    EXPECT_TRUE(torch::allreduce(context, at::ones({2})).equal(at::ones({2}))) << "the engine is usable";
  });
}

TEST_P(TorchOperations, AContextThatWasMovedFromSaysSo) {
  run(2, [](Context& context) {
    Context moved = std::move(context);
    try {
      static_cast<void>(torch::allreduce(context, at::ones({2})));
      ADD_FAILURE() << "no error";
    } catch (const InvalidArgument& error) {
      EXPECT_NE(std::string(error.what()).find("moved from"), std::string::npos) << error.what();
    }
    EXPECT_TRUE(context.is_shut_down());
    context.shutdown();
    EXPECT_TRUE(torch::allreduce(moved, at::ones({2})).equal(at::ones({2})));
    context = std::move(moved);
    EXPECT_TRUE(torch::allreduce(context, at::ones({2})).equal(at::ones({2})));
    EXPECT_TRUE(moved.is_shut_down());
  });
}

TEST_P(TorchOperations, AContextMayGoWhileOperationsAreInFlight) {
  run(2, [](Context& context) {
    if (context.rank() == 0) {
      std::optional<Context> own(std::move(context));
      torch::TensorHandle handle = torch::allreduce_async(*own, at::ones({2}));
      const at::Tensor shared = torch::shared_zeros(*own, {100}, at::kFloat);
      torch::TensorHandle of_shared = torch::allreduce_async_(*own, shared);
      EXPECT_THROW(
          {
            own.reset();  // waits a while for what the other never joins
            handle.wait();
          },
          Error);
      EXPECT_THROW(of_shared.wait(), Error);
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Threads, TorchOperations, testing::Values(Ranks::Threads, Ranks::TcpThreads),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace bluefog::test
