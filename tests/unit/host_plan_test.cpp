// How tensors cross between hosts: every schedule on several placements, played with numbers.

#include "mixing/host_plan.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/graphs.hpp>
#include <bluefog/schedule.hpp>

#include "engine/known_matrix.hpp"

namespace bluefog {
namespace {

using engine::KnownMatrix;
using mixing::HostPlan;
using mixing::Placement;

constexpr std::size_t element_bytes = sizeof(double);

/// Ranks 0, 1, ... in hosts of these sizes.
struct Hosts {
  std::vector<int> sizes;
  [[nodiscard]] int rank_count() const { return std::accumulate(sizes.begin(), sizes.end(), 0); }
  [[nodiscard]] int host_of(int rank) const {
    int host = 0;
    for (; rank >= sizes[static_cast<std::size_t>(host)]; ++host)
      rank -= sizes[static_cast<std::size_t>(host)];
    return host;
  }
};
std::ostream& operator<<(std::ostream& out, const Hosts& hosts) {
  for (std::size_t i = 0; i < hosts.sizes.size(); ++i) out << (i > 0 ? "and" : "") << hosts.sizes[i];
  return out;
}

KnownMatrix matrix_of(const Topology& topology, std::vector<int> ranks = {}) {
  if (ranks.empty()) {
    ranks.resize(static_cast<std::size_t>(topology.size()));
    std::iota(ranks.begin(), ranks.end(), 0);
  }
  return {std::make_shared<const Topology>(topology),
          std::make_shared<const std::vector<int>>(std::move(ranks)), mixing::RowForm::Weighted, true,
          "test"};
}

struct Plans {
  Placement placement;
  std::map<int, HostPlan> of;  ///< by rank
};

Plans plans_of(const KnownMatrix& matrix, const Hosts& hosts) {
  Plans plans{Placement(*matrix.ranks, [&](int rank) { return hosts.host_of(rank); }), {}};
  for (const int rank : *matrix.ranks) {
    plans.of[rank] =
        mixing::make_host_plan(rank, plans.placement, [&](int member) { return matrix.row_of(member); });
  }
  return plans;
}

std::size_t slice_bytes(std::size_t count, const HostPlan::Outgoing& out) {
  const auto slice = mixing::slice_of(count, element_bytes, out.slices, out.slice);
  return (slice.last - slice.first) * element_bytes;
}

/// Bytes from host to host.
std::map<std::pair<int, int>, std::size_t> traffic(const Plans& plans, const Hosts& hosts,
                                                   std::size_t count) {
  std::map<std::pair<int, int>, std::size_t> bytes;
  for (const auto& [rank, plan] : plans.of) {
    for (const auto& out : plan.outgoing) {
      bytes[{hosts.host_of(rank), hosts.host_of(out.carrier)}] +=
          out.tensors.size() * slice_bytes(count, out);
    }
  }
  return bytes;
}

/// The same, by the rule: each tensor once for each host that needs it.
std::map<std::pair<int, int>, std::size_t> least_traffic(const KnownMatrix& matrix, const Hosts& hosts,
                                                         std::size_t count) {
  std::map<std::pair<int, int>, std::size_t> bytes;
  for (const int sender : *matrix.ranks) {
    std::set<int> needing;
    for (const auto& destination : matrix.row_of(sender).destinations) {
      if (hosts.host_of(destination.rank) != hosts.host_of(sender))
        needing.insert(hosts.host_of(destination.rank));
    }
    for (const int host : needing) bytes[{hosts.host_of(sender), host}] += count * element_bytes;
  }
  return bytes;
}

using Tensors = std::map<int, std::vector<double>>;

Tensors some_tensors(const std::vector<int>& ranks, std::size_t count) {
  Tensors tensors;
  for (const int rank : ranks) {
    for (std::size_t i = 0; i < count; ++i) {
      tensors[rank].push_back(static_cast<double>(rank + 1) + static_cast<double>(i % 97) / 7);
    }
  }
  return tensors;
}

double mixed(const mixing::ResolvedRow& row, const std::map<int, double>& inputs) {
  double sum = 0;
  for (const auto& term : row.terms) sum += term.weight * inputs.at(term.rank);
  return sum;
}

/// What the slice of one rank holds of staged tensors, if its carriers send what it expects.
Tensors stage(const Plans& plans, int rank, const Tensors& tensors, std::size_t count) {
  const HostPlan& plan = plans.of.at(rank);
  Tensors staged;
  for (const auto& in : plan.incoming) {
    const auto& there = plans.of.at(in.carrier).outgoing;
    const auto out =
        std::find_if(there.begin(), there.end(), [&](const auto& o) { return o.carrier == rank; });
    if (out == there.end()) {
      ADD_FAILURE() << "rank " << in.carrier << " sends nothing to rank " << rank;
      continue;
    }
    EXPECT_EQ(out->tensors, in.tensors);
    EXPECT_EQ(out->slice, plan.own);
    EXPECT_EQ(out->slices, plan.members.size());
    const auto slice = mixing::slice_of(count, element_bytes, out->slices, out->slice);
    for (const int tensor : out->tensors) {
      EXPECT_EQ(plans.placement.host_of(tensor), plans.placement.host_of(in.carrier));
      const auto first = tensors.at(tensor).begin();
      staged[tensor].assign(first + static_cast<std::ptrdiff_t>(slice.first),
                            first + static_cast<std::ptrdiff_t>(slice.last));
    }
  }
  EXPECT_EQ(staged.size(), plan.staged.size());
  return staged;
}

/// Mixes as the plans say: each member its slice, for all of its host.
Tensors play(const Plans& plans, const Tensors& tensors, std::size_t count) {
  Tensors results = tensors;
  std::size_t streams = 0;
  std::size_t expected = 0;
  for (const auto& [rank, plan] : plans.of) {
    streams += plan.outgoing.size();
    expected += plan.incoming.size();
    const Tensors staged = stage(plans, rank, tensors, count);
    const auto slice = mixing::slice_of(count, element_bytes, plan.members.size(), plan.own);
    for (std::size_t i = slice.first; i < slice.last; ++i) {
      std::map<int, double> inputs;
      for (const int member : plan.members) inputs[member] = tensors.at(member)[i];
      for (const int other : plan.staged) inputs[other] = staged.at(other)[i - slice.first];
      for (std::size_t m = 0; m < plan.members.size(); ++m) {
        results[plan.members[m]][i] = mixed(plan.rows[m], inputs);
      }
    }
  }
  EXPECT_EQ(streams, expected) << "something is sent that nobody expects";
  return results;
}

Tensors product(const KnownMatrix& matrix, const Tensors& tensors, std::size_t count) {
  Tensors results;
  for (const int rank : *matrix.ranks) {
    const auto row = mixing::resolve(matrix.row_of(rank), [](int) { return 1.0; });
    for (std::size_t i = 0; i < count; ++i) {
      std::map<int, double> inputs;
      for (const auto& [other, tensor] : tensors) inputs[other] = tensor[i];
      results[rank].push_back(mixed(row, inputs));
    }
  }
  return results;
}

void expect_right(const KnownMatrix& matrix, const Hosts& hosts, const std::string& what) {
  constexpr std::size_t count = 203;
  const Plans plans = plans_of(matrix, hosts);
  const Tensors tensors = some_tensors(*matrix.ranks, count);
  EXPECT_EQ(play(plans, tensors, count), product(matrix, tensors, count)) << what;
  EXPECT_EQ(traffic(plans, hosts, count), least_traffic(matrix, hosts, count)) << what;
}

TEST(HostPlan, OfTheExponentialGraphSendsEachTensorOnceEachWay) {
  const Hosts hosts{{4, 4}};
  const Plans plans = plans_of(matrix_of(exponential_two_graph(8)), hosts);
  constexpr std::size_t count = 4096;
  const std::size_t all = 4 * count * element_bytes;
  EXPECT_EQ(traffic(plans, hosts, count),
            (std::map<std::pair<int, int>, std::size_t>{{{0, 1}, all}, {{1, 0}, all}}));
  for (const auto& [rank, plan] : plans.of) {
    ASSERT_EQ(plan.outgoing.size(), 1U);
    EXPECT_EQ(plan.outgoing.front().carrier, (rank + 4) % 8) << "each rank carries as much as any other";
    EXPECT_EQ(plan.incoming.front().carrier, (rank + 4) % 8);
    EXPECT_EQ(plan.inputs.size(), 8U);
    EXPECT_EQ(plan.peers.size(), 4U);
  }
}

TEST(HostPlan, SharesOutWhatAHostSendsToALargerOne) {
  const Plans plans = plans_of(matrix_of(fully_connected_graph(5)), {{2, 3}});
  ASSERT_EQ(plans.of.at(0).outgoing.size(), 2U);
  EXPECT_EQ(plans.of.at(0).outgoing[0].carrier, 2);
  EXPECT_EQ(plans.of.at(0).outgoing[1].carrier, 4);
  ASSERT_EQ(plans.of.at(1).outgoing.size(), 1U);
  EXPECT_EQ(plans.of.at(1).outgoing[0].carrier, 3);
  EXPECT_TRUE(plans.of.at(4).outgoing.empty()) << "two slices, two carriers";
  EXPECT_EQ(plans.of.at(4).incoming[0].carrier, 0);
}

TEST(HostPlan, CrossesNothingWhereNoEdgeLeadsToAnotherHost) {
  const Hosts hosts{{2, 2}};
  const Plans plans = plans_of(matrix_of(one_peer_hypercube(4)->round(0)), hosts);
  for (const auto& [rank, plan] : plans.of) EXPECT_FALSE(plan.crosses) << rank;
  const Plans others = plans_of(matrix_of(one_peer_hypercube(4)->round(1)), hosts);
  for (const auto& [rank, plan] : others.of) EXPECT_TRUE(plan.crosses) << rank;
}

TEST(HostPlan, RanksThatRestTakePart) {
  bool anybody_rests = false;
  const Hosts hosts{{2, 3}};
  const auto schedule = base_k_plus_one(5, 1);
  for (std::uint64_t round = 0; round < schedule->period(); ++round) {
    const KnownMatrix matrix = matrix_of(schedule->round(round));
    const Plans plans = plans_of(matrix, hosts);
    for (const auto& [rank, plan] : plans.of) {
      const bool rests = matrix.row_of(rank).sources.empty();
      anybody_rests = anybody_rests || (rests && plan.crosses);
      EXPECT_EQ(plan.members.size(), static_cast<std::size_t>(hosts.sizes[hosts.host_of(rank) == 0 ? 0 : 1]));
      EXPECT_EQ(plan.crosses, !plan.incoming.empty()) << "all of a host take part, or none";
    }
  }
  EXPECT_TRUE(anybody_rests);
}

TEST(HostPlan, OfAGroupKnowsOnlyItsMembers) {
  const Hosts hosts{{3, 2, 4}};
  const std::vector<int> group{8, 1, 4, 6, 0, 5};  // hosts of 2, 1 and 3 members
  expect_right(matrix_of(exponential_two_graph(6), group), hosts, "a group");
  const Plans plans = plans_of(matrix_of(exponential_two_graph(6), group), hosts);
  EXPECT_EQ(plans.of.at(8).members, (std::vector<int>{5, 6, 8}));
  EXPECT_EQ(plans.of.at(8).own, 2U);
}

TEST(HostPlan, IsMadeOnlyWhereHostsAreShared) {
  const KnownMatrix matrix = matrix_of(fully_connected_graph(3));
  const Placement alone(*matrix.ranks, [](int rank) { return rank; });
  EXPECT_EQ(engine::plan_over_hosts(matrix, 0, alone).across, nullptr);
  const Placement together(*matrix.ranks, [](int) { return 7; });
  EXPECT_EQ(engine::plan_over_hosts(matrix, 0, together).across, nullptr);
  const Placement mixed(*matrix.ranks, [](int rank) { return rank / 2; });
  const engine::Plan plan = engine::plan_over_hosts(matrix, 2, mixed);
  ASSERT_NE(plan.across, nullptr);
  EXPECT_EQ(plan.neighbors, (std::vector<int>{0, 1}));
  EXPECT_NE(plan.matrix_digest, 0U);
}

class EverySchedule : public testing::TestWithParam<Hosts> {};

TEST_P(EverySchedule, GivesTheProductWithTheMatrix) {
  const int size = GetParam().rank_count();
  std::vector<std::pair<std::string, SchedulePtr>> schedules{
      {"ring", static_schedule(ring_graph(size))},
      {"one-way ring", static_schedule(ring_graph(size, RingStyle::Right))},
      {"exp2", static_schedule(exponential_two_graph(size))},
      {"star", static_schedule(star_graph(size))},
      {"full", static_schedule(fully_connected_graph(size))},
      {"mesh", static_schedule(mesh_grid_2d_graph(size))},
      {"one-peer", one_peer_exponential(size)},
      {"base-2", base_k_plus_one(size, 1)},
      {"base-3", base_k_plus_one(size, 2)},
      {"matching", one_peer_random_matching(size, 3)},
      {"shift", one_peer_random_shift(size, 3)},
      {"dynamic", one_peer_dynamic(star_graph(size))},
  };
  if ((size & (size - 1)) == 0) schedules.emplace_back("hypercube", one_peer_hypercube(size));
  if (size % 2 == 0) {
    schedules.emplace_back("hierarchical", hierarchical(one_peer_exponential(size / 2), 2));
    schedules.emplace_back("inner-outer ring", inner_outer_ring(size, 2));
    schedules.emplace_back("inner-outer exp2", inner_outer_expo2(size, 2));
  }
  for (const auto& [name, schedule] : schedules) {
    const std::uint64_t rounds = std::min<std::uint64_t>(schedule->period(), 12);
    for (std::uint64_t round = 0; round < rounds; ++round) {
      expect_right(matrix_of(schedule->round(round)), GetParam(), name + ", round " + std::to_string(round));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Placements, EverySchedule,
                         testing::Values(Hosts{{4, 4}}, Hosts{{1, 3}}, Hosts{{3, 1}}, Hosts{{2, 3, 1}},
                                         Hosts{{5}}, Hosts{{1, 1, 1}}, Hosts{{2, 2, 2, 2}}, Hosts{{6, 2, 3}}),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace bluefog
