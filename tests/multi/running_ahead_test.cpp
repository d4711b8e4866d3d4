// A rank that does not wait for those it sends to may be many calls ahead of them.

#include <cstddef>
#include <span>
#include <vector>

#include <gtest/gtest.h>

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

INSTANTIATE_TEST_SUITE_P(Jobs, RunningAhead, ::testing::ValuesIn(all_ranks),
                         ::testing::PrintToStringParamName());

}  // namespace
}  // namespace bluefog::test
