// A rank dies all through mixings over hosts.

#include <bluefog/graphs.hpp>

#include "multi/death_sweep.hpp"

namespace bluefog::test {
namespace {

class OverHostsDeaths : public DeathSweep {
  void mix(Context& context, std::span<float> x) override {
    NeighborAllreduceOptions options;
    options.schedule = static_schedule(exponential_two_graph(context.size()));
    options.meet = true;
    context.neighbor_allreduce(std::span<const float>(x), x, options);
  }
};

TEST_P(OverHostsDeaths, TearNothing) {
  expect_nothing_torn();
}

const std::vector<int> pairs{0, 0, 1, 1};
const std::vector<int> uneven{0, 1, 1, 1, 2, 2};
constexpr auto kill = SimulatedFault::Kind::Kill;
constexpr auto freeze = SimulatedFault::Kind::Freeze;

INSTANTIATE_TEST_SUITE_P(Killed, OverHostsDeaths,
                         testing::Values(Sweep{"Pairs", pairs, 0}, Sweep{"Pairs", pairs, 3},
                                         Sweep{"Uneven", uneven, 0}, Sweep{"Uneven", uneven, 1},
                                         Sweep{"Uneven", uneven, 3}, Sweep{"Uneven", uneven, 4}),
                         testing::PrintToStringParamName());
INSTANTIATE_TEST_SUITE_P(Private, OverHostsDeaths,
                         testing::Values(Sweep{"Pairs", pairs, 0, kill, true},
                                         Sweep{"Uneven", uneven, 2, kill, true}),
                         testing::PrintToStringParamName());
INSTANTIATE_TEST_SUITE_P(Frozen, OverHostsDeaths,
                         testing::Values(Sweep{"Pairs", pairs, 1, freeze},
                                         Sweep{"Uneven", uneven, 0, freeze}),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace bluefog::test
