// The closed forms of bfsim's cost model against what a hand computes from latency, bandwidth and bytes.

#include <gtest/gtest.h>

#include <bluefog/graphs.hpp>

#include "cost_model.hpp"

namespace bfsim {
namespace {

using namespace std::chrono_literals;

constexpr double bytes = 102e6;
constexpr double between_latency = 20e-6;
constexpr double between_bandwidth = 3.125e9;
constexpr double inside_latency = 5e-6;
constexpr double inside_bandwidth = 50e9;
constexpr double between = bytes / between_bandwidth;  // 32.64 ms
constexpr double inside = bytes / inside_bandwidth;    // 2.04 ms

Experiment on_hosts_of(int ranks_per_host, int ranks = 32) {
  Experiment experiment;
  experiment.plan.ranks = ranks;
  experiment.plan.ranks_per_host = ranks_per_host;
  experiment.network.between_hosts = {20us, between_bandwidth, {}};
  experiment.network.inside_host = {5us, inside_bandwidth, {}};
  experiment.model_bytes = bytes;
  return experiment;
}

double flat(const bluefog::Topology& round, const Experiment& experiment) {
  return flat_round_seconds(round, experiment);
}

TEST(CostModel, OfARingAllReduce) {
  const bluefog::LinkModel link{20us, between_bandwidth, {}};
  EXPECT_EQ(ring_all_reduce_seconds(1, bytes, link), 0);
  EXPECT_NEAR(ring_all_reduce_seconds(2, bytes, link), 2 * 20e-6 + between, 1e-12);
  EXPECT_NEAR(ring_all_reduce_seconds(32, bytes, link), 62 * 20e-6 + 62.0 / 32 * between, 1e-12);
  EXPECT_NEAR(ring_all_reduce_seconds(5, bytes, {20us, 0, {}}), 8 * 20e-6, 1e-12);
}

TEST(CostModel, OfPublishedRingAllReduces) {
  // 102 MB over 100 Gb/s with 5 us, and over 10 Gb/s with 30 us; milliseconds to the digits that are given.
  const bluefog::LinkModel fast{5us, 12.5e9, {}};
  const bluefog::LinkModel slow{30us, 1.25e9, {}};
  EXPECT_NEAR(ring_all_reduce_seconds(32, bytes, fast), 16.1e-3, 0.05e-3);
  EXPECT_NEAR(ring_all_reduce_seconds(1024, bytes, fast), 26.5e-3, 0.05e-3);
  EXPECT_NEAR(ring_all_reduce_seconds(4096, bytes, fast), 57.3e-3, 0.05e-3);
  EXPECT_NEAR(ring_all_reduce_seconds(32, bytes, slow), 160e-3, 0.5e-3);
  EXPECT_NEAR(ring_all_reduce_seconds(1024, bytes, slow), 224e-3, 0.5e-3);
  EXPECT_NEAR(ring_all_reduce_seconds(4096, bytes, slow), 409e-3, 0.5e-3);
}

TEST(CostModel, OfOnePeerIsALatencyAndTheBytes) {
  const Experiment experiment = on_hosts_of(1);
  const auto schedule = bluefog::one_peer_exponential(32);
  for (std::uint64_t round = 0; round < schedule->period(); ++round) {
    EXPECT_NEAR(flat(*schedule->shared_round(round), experiment), between_latency + between, 1e-12);
  }
}

TEST(CostModel, OfDegreeKSendsKMessagesThroughThePort) {
  const Experiment experiment = on_hosts_of(1);
  EXPECT_NEAR(flat(bluefog::exponential_two_graph(32), experiment), between_latency + 5 * between, 1e-12);
  EXPECT_NEAR(flat(bluefog::ring_graph(32), experiment), between_latency + 2 * between, 1e-12);
  EXPECT_NEAR(flat(bluefog::fully_connected_graph(8), on_hosts_of(1, 8)), between_latency + 7 * between,
              1e-12);
}

TEST(CostModel, OfAStarCountsWhatTheCentreReceives) {
  // Sends 7 and receives 7; the leaves one each.
  EXPECT_NEAR(flat(bluefog::star_graph(8), on_hosts_of(1, 8)), between_latency + 7 * between, 1e-12);
}

TEST(CostModel, OfFlatOnePeerOnASharedPortGrowsWithTheDistance) {
  const int per_host = 8;
  const Experiment experiment = on_hosts_of(per_host, 64);
  const auto schedule = bluefog::one_peer_exponential(64);
  ASSERT_EQ(schedule->period(), 6U);
  const int messages[] = {1, 2, 4, 8, 8, 8};  // min(2^round, 8)
  for (std::uint64_t round = 0; round < 6; ++round) {
    EXPECT_NEAR(flat(*schedule->shared_round(round), experiment), between_latency + messages[round] * between,
                1e-12)
        << "round " << round;
  }
  EXPECT_NEAR(mean_round_seconds(experiment, 6), between_latency + 31.0 / 6 * between, 1e-12);
}

TEST(CostModel, OfPortsOfTheirOwn) {
  Experiment experiment = on_hosts_of(8, 64);
  experiment.network.hosts_share_port = false;
  const auto schedule = bluefog::one_peer_exponential(64);
  for (std::uint64_t round = 0; round < 6; ++round) {
    EXPECT_NEAR(flat(*schedule->shared_round(round), experiment), between_latency + between, 1e-12);
  }
}

TEST(CostModel, OfOneHostReadsInsideIt) {
  const Experiment experiment = on_hosts_of(8, 8);
  EXPECT_NEAR(flat(bluefog::exponential_two_graph(8), experiment), inside_latency + 3 * inside, 1e-12);
}

TEST(CostModel, OfNobodyToMixWithIsZero) {
  EXPECT_EQ(flat(*bluefog::one_peer_exponential(1)->shared_round(0), on_hosts_of(1, 1)), 0);
  EXPECT_EQ(hierarchical_round_of_ours_seconds(*bluefog::one_peer_exponential(1)->shared_round(0),
                                               on_hosts_of(1, 1)),
            0);
}

TEST(CostModel, OfAnUnlimitedBandwidthIsALatency) {
  Experiment experiment = on_hosts_of(1);
  experiment.network.between_hosts.bandwidth = 0;
  EXPECT_NEAR(flat(bluefog::exponential_two_graph(32), experiment), between_latency, 1e-12);
}

TEST(CostModel, OfAHierarchicalRound) {
  const auto hosts = bluefog::one_peer_exponential(4)->shared_round(0);
  Experiment experiment = on_hosts_of(8);
  const double across = between_latency + between;
  EXPECT_NEAR(hierarchical_round_seconds(*hosts, experiment),
              14 * inside_latency + 14.0 / 8 * inside + across, 1e-12);
  EXPECT_NEAR(hierarchical_round_of_ours_seconds(*hosts, experiment),
              inside_latency + 21.0 / 8 * inside + across, 1e-12);
  experiment.network.hosts_share_port = false;  // eight ports carry an eighth each
  EXPECT_NEAR(hierarchical_round_of_ours_seconds(*hosts, experiment),
              inside_latency + 21.0 / 8 * inside + between_latency + between / 8, 1e-12);
}

TEST(CostModel, OfAHierarchicalRoundWithSeveralHostsToSendTo) {
  const Experiment experiment = on_hosts_of(8, 64);
  const bluefog::Topology hosts = bluefog::exponential_two_graph(8);
  EXPECT_NEAR(hierarchical_round_seconds(hosts, experiment),
              14 * inside_latency + 14.0 / 8 * inside + between_latency + 3 * between, 1e-12);
}

TEST(CostModel, OfHostsOfOneRankHasNothingInside) {
  const auto hosts = bluefog::one_peer_exponential(8)->shared_round(0);
  const Experiment experiment = on_hosts_of(1, 8);
  EXPECT_NEAR(hierarchical_round_of_ours_seconds(*hosts, experiment), between_latency + between, 1e-12);
  EXPECT_NEAR(hierarchical_round_seconds(*hosts, experiment), between_latency + between, 1e-12);
}

TEST(CostModel, OfAHierarchicalPlanIsThatOfOurOperations) {
  Experiment experiment = on_hosts_of(8);
  experiment.plan.schedule = "hierarchical";
  EXPECT_NEAR(mean_round_seconds(experiment, 2),
              inside_latency + 21.0 / 8 * inside + between_latency + between, 1e-12);
}

}  // namespace
}  // namespace bfsim
