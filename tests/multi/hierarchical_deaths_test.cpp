// A rank dies all through mixings of machines.

#include <bluefog/graphs.hpp>

#include "multi/death_sweep.hpp"

namespace bluefog::test {
namespace {

class HierarchicalDeaths : public DeathSweep {
  void mix(Context& context, std::span<float> x) override {
    HierarchicalNeighborAllreduceOptions options;
    options.schedule = static_schedule(ring_graph(context.machine_size()));
    context.hierarchical_neighbor_allreduce(std::span<const float>(x), x, options);
  }
};

TEST_P(HierarchicalDeaths, TearNothing) {
  expect_nothing_torn();
}

const std::vector<int> pairs{0, 0, 1, 1};
const std::vector<int> one_host{0, 0, 0, 0};
const std::vector<int> all_apart{0, 1, 2, 3};
const std::vector<int> uneven{0, 1, 1, 1, 2, 2};
constexpr auto kill = SimulatedFault::Kind::Kill;
constexpr auto freeze = SimulatedFault::Kind::Freeze;

INSTANTIATE_TEST_SUITE_P(Killed, HierarchicalDeaths,
                         testing::Values(Sweep{"Pairs", pairs, 0}, Sweep{"Pairs", pairs, 3},
                                         Sweep{"OneHost", one_host, 0, kill, false, 2},
                                         Sweep{"OneHost", one_host, 3, kill, false, 2},
                                         Sweep{"Apart", all_apart, 0, kill, false, 2},
                                         Sweep{"Apart", all_apart, 3, kill, false, 2},
                                         Sweep{"Uneven", uneven, 0}, Sweep{"Uneven", uneven, 2},
                                         Sweep{"Uneven", uneven, 5}),
                         testing::PrintToStringParamName());
INSTANTIATE_TEST_SUITE_P(Private, HierarchicalDeaths,
                         testing::Values(Sweep{"Pairs", pairs, 0, kill, true},
                                         Sweep{"Apart", all_apart, 1, kill, true, 2},
                                         Sweep{"Uneven", uneven, 1, kill, true}),
                         testing::PrintToStringParamName());
INSTANTIATE_TEST_SUITE_P(Frozen, HierarchicalDeaths,
                         testing::Values(Sweep{"Pairs", pairs, 1, freeze},
                                         Sweep{"Apart", all_apart, 2, freeze, false, 2}),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace bluefog::test
