// A rank that does not wait for those it sends to may be many calls ahead of them.

#include <cstddef>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/error.hpp>

#include "multi/job.hpp"

namespace bluefog::test {
namespace {

class RunningAhead : public ::testing::TestWithParam<Ranks> {};

TEST_P(RunningAhead, EveryCallOfTheSenderArrives) {
  constexpr int calls = 100;
  run_job(GetParam(), 2, [](Context& context) {
    NeighborAllreduceOptions options;
    options.check_topology = false;
    const bool sends = context.rank() == 0;
    options.self_weight = sends ? 1.0 : 0.0;
    options.src_weights = sends ? Weights{} : Weights{{0, 1.0}};
    options.dst_weights = sends ? Weights{{1, 1.0}} : Weights{};
    if (!sends) context.barrier();
    for (int call = 0; call < calls; ++call) {
      std::vector<double> x(3, sends ? call : -1);
      context.neighbor_allreduce(std::span<const double>(x), std::span(x), options);
      EXPECT_EQ(x, std::vector<double>(3, call));
    }
    if (sends) context.barrier();
  });
}

TEST_P(RunningAhead, AnEdgeThatTheSenderDoesNotKnowIsAMismatchThoughItsPostWasSeen) {
  run_job(GetParam(), 3, [](Context& context) {
    const int rank = context.rank();
    NeighborAllreduceOptions options;
    options.self_weight = 0.5;
    options.src_weights = rank == 0   ? Weights{{1, 0.25}, {2, 0.25}}
                          : rank == 2 ? Weights{{0, 0.5}}
                                      : Weights{};
    options.dst_weights = rank == 0 ? Weights{{2, 1.0}} : rank == 2 ? Weights{{0, 1.0}} : Weights{};
    std::vector<double> x(100);
    const std::span<const double> input(x);
    const auto average = [&] { context.neighbor_allreduce(input, std::span(x), options); };
    if (rank == 0) {
      Handle handle = context.neighbor_allreduce_async(input, std::span(x), options);
      context.barrier(among({0, 1}));  // by its end this rank has seen the call of rank 1, which goes on
      context.barrier();
      EXPECT_THROW(handle.wait(), Mismatch);
      context.barrier();
    } else if (rank == 1) {
      average();
      bool is_told = is_told_in([&] { context.barrier(among({0, 1})); });
      for (int call = 0; call < 40; ++call) is_told |= is_told_in(average);
      for (int call = 0; call < 2; ++call) is_told |= is_told_in([&] { context.barrier(); });
      EXPECT_TRUE(is_told);
    } else {
      context.barrier();
      static_cast<void>(is_told_in(average));  // or has what it needs of rank 0 before that gives up
      context.barrier();
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Jobs, RunningAhead, ::testing::ValuesIn(all_ranks),
                         ::testing::PrintToStringParamName());

}  // namespace
}  // namespace bluefog::test
