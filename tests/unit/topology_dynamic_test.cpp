#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/dynamic_graphs.hpp>
#include <bluefog/graphs.hpp>

#include "unit/topology_support.hpp"

namespace bluefog {
namespace {

using testing::expect_invalid;
using Ranks = std::vector<int>;
using Generator = std::function<SendRecv(int rank, std::uint64_t t)>;

SendRecv one_each(int receiver, int sender) {
  return {{receiver}, {sender}};
}

/// b is in a's send list exactly if a is in b's receive list; lists ascend and leave the own rank out.
void expect_lists_agree(int size, std::uint64_t rounds, const Generator& generator) {
  for (std::uint64_t t = 0; t < rounds; ++t) {
    std::vector<Ranks> senders_to(static_cast<std::size_t>(size));
    for (int rank = 0; rank < size; ++rank) {
      for (const int receiver : generator(rank, t).send) {
        ASSERT_NE(receiver, rank) << "round " << t;
        senders_to.at(static_cast<std::size_t>(receiver)).push_back(rank);
      }
    }
    for (int rank = 0; rank < size; ++rank) {
      ASSERT_EQ(generator(rank, t).recv, senders_to[static_cast<std::size_t>(rank)])
          << "rank " << rank << ", round " << t;
    }
  }
}

void expect_one_peer_each(int size, std::uint64_t rounds, const Generator& generator) {
  for (std::uint64_t t = 0; t < rounds; ++t) {
    for (int rank = 0; rank < size; ++rank) {
      const SendRecv exchange = generator(rank, t);
      ASSERT_EQ(exchange.send.size(), size == 1 ? 0U : 1U) << "rank " << rank << ", round " << t;
      ASSERT_EQ(exchange.recv.size(), size == 1 ? 0U : 1U) << "rank " << rank << ", round " << t;
    }
  }
}

TEST(DynamicOnePeer, GoesAroundTheOutNeighboursClockwise) {
  const Topology graph = exponential_graph(8);
  EXPECT_EQ(dynamic_one_peer_send_recv(graph, 0, 0), one_each(1, 7));
  EXPECT_EQ(dynamic_one_peer_send_recv(graph, 0, 1), one_each(2, 6));
  EXPECT_EQ(dynamic_one_peer_send_recv(graph, 0, 2), one_each(4, 4));
  EXPECT_EQ(dynamic_one_peer_send_recv(graph, 0, 3), one_each(1, 7));
  EXPECT_EQ(dynamic_one_peer_send_recv(graph, 6, 1), one_each(0, 4));
}

TEST(DynamicOnePeer, OnAStarTheCentreReceivesFromAll) {
  const Topology star = star_graph(4, 1);
  EXPECT_EQ(dynamic_one_peer_send_recv(star, 1, 0), (SendRecv{{2}, {0, 2, 3}}));
  EXPECT_EQ(dynamic_one_peer_send_recv(star, 1, 1), (SendRecv{{3}, {0, 2, 3}}));
  EXPECT_EQ(dynamic_one_peer_send_recv(star, 1, 2), (SendRecv{{0}, {0, 2, 3}}));
  EXPECT_EQ(dynamic_one_peer_send_recv(star, 0, 1), (SendRecv{{1}, {}}));
  EXPECT_EQ(dynamic_one_peer_send_recv(star, 0, 2), one_each(1, 1));
}

TEST(DynamicOnePeer, RanksWithoutOutNeighboursSendNothing) {
  const Topology one_way(2, std::vector<Topology::Edge>{{0, 0, 1.0}, {1, 0, 0.5}, {1, 1, 0.5}});
  EXPECT_EQ(dynamic_one_peer_send_recv(one_way, 0, 5), (SendRecv{{1}, {}}));
  EXPECT_EQ(dynamic_one_peer_send_recv(one_way, 1, 5), (SendRecv{{}, {0}}));
  EXPECT_EQ(dynamic_one_peer_send_recv(ring_graph(1), 0, 5), SendRecv{});
}

TEST(DynamicOnePeer, ListsOfAllRanksAgree) {
  for (int size = 1; size <= 33; ++size) {
    SCOPED_TRACE("size " + std::to_string(size));
    for (const Topology& graph :
         {exponential_graph(size), mesh_grid_2d_graph(size), star_graph(size, size / 2),
          ring_graph(size, RingStyle::Left), fully_connected_graph(size)}) {
      expect_lists_agree(
          size, 40, [&](int rank, std::uint64_t t) { return dynamic_one_peer_send_recv(graph, rank, t); });
    }
  }
}

TEST(DynamicOnePeer, NamesARankThatDoesNotExist) {
  expect_invalid([] { (void)dynamic_one_peer_send_recv(ring_graph(3), 3, 0); },
                 {"dynamic_one_peer_send_recv", "rank 3", "0 to 2"});
}

TEST(OnePeerExponential, DistancesDoubleAndStartAgain) {
  EXPECT_EQ(one_peer_exponential_send_recv(5, 0, 0), one_each(1, 4));
  EXPECT_EQ(one_peer_exponential_send_recv(5, 0, 1), one_each(2, 3));
  EXPECT_EQ(one_peer_exponential_send_recv(5, 0, 2), one_each(4, 1));
  EXPECT_EQ(one_peer_exponential_send_recv(5, 0, 3), one_each(1, 4));
  EXPECT_EQ(one_peer_exponential_send_recv(2, 1, 9), one_each(0, 0));
  EXPECT_EQ(one_peer_exponential_send_recv(1, 0, 9), SendRecv{});
}

TEST(OnePeerExponential, IsTheDynamicScheduleOfTheExponentialGraph) {
  for (int size = 1; size <= 33; ++size) {
    const Topology graph = exponential_graph(size);
    for (std::uint64_t t = 0; t < 14; ++t) {
      for (int rank = 0; rank < size; ++rank) {
        ASSERT_EQ(one_peer_exponential_send_recv(size, rank, t), dynamic_one_peer_send_recv(graph, rank, t))
            << "size " << size << ", rank " << rank << ", round " << t;
      }
    }
  }
}

TEST(Exp2Machine, ListsMachines) {
  EXPECT_EQ(exp2_machine_send_recv(12, 2, 4, 0, 0), one_each(3, 1));
  EXPECT_EQ(exp2_machine_send_recv(12, 2, 5, 1, 1), one_each(4, 0));
  EXPECT_EQ(exp2_machine_send_recv(12, 2, 5, 1, 2), one_each(0, 4));
  EXPECT_EQ(exp2_machine_send_recv(12, 2, 5, 1, 3), one_each(3, 1));
  EXPECT_EQ(exp2_machine_send_recv(4, 4, 3, 3, 1), SendRecv{});
  EXPECT_EQ(exp2_machine_send_recv(1, 1, 0, 0, 0), SendRecv{});
}

TEST(Exp2Machine, ListsOfAllMachinesAgree) {
  for (int machines = 1; machines <= 33; ++machines) {
    SCOPED_TRACE("machines " + std::to_string(machines));
    const Generator generator = [&](int machine, std::uint64_t t) {
      return exp2_machine_send_recv(3 * machines, 3, 3 * machine + 2, 2, t);
    };
    expect_lists_agree(machines, 14, generator);
    expect_one_peer_each(machines, 14, generator);
  }
}

TEST(Exp2Machine, RefusesRanksThatDoNotFitTheMachines) {
  expect_invalid([] { (void)exp2_machine_send_recv(7, 2, 0, 0, 0); }, {"7 ranks", "machines of 2"});
  expect_invalid([] { (void)exp2_machine_send_recv(8, 0, 0, 0, 0); }, {"8 ranks", "machines of 0"});
  expect_invalid([] { (void)exp2_machine_send_recv(2, 4, 0, 0, 0); }, {"2 ranks", "machines of 4"});
  expect_invalid([] { (void)exp2_machine_send_recv(8, 2, 8, 0, 0); }, {"rank 8", "0 to 7"});
  expect_invalid([] { (void)exp2_machine_send_recv(8, 2, 5, 0, 0); },
                 {"rank 5 has local rank 1", "0 was given"});
  expect_invalid([] { (void)exp2_machine_send_recv(0, 2, 0, 0, 0); }, {"number of ranks is 0"});
}

TEST(InnerOuterRing, OneLocalRankGoesOutTheOthersFormARing) {
  const auto exchange = [](int rank, std::uint64_t t) { return inner_outer_ring_send_recv(12, 4, rank, t); };
  EXPECT_EQ(exchange(4, 0), one_each(8, 0));
  EXPECT_EQ(exchange(5, 0), one_each(6, 7));
  EXPECT_EQ(exchange(7, 0), one_each(5, 6));
  EXPECT_EQ(exchange(5, 1), one_each(9, 1));
  EXPECT_EQ(exchange(4, 1), one_each(6, 7));
  EXPECT_EQ(exchange(7, 3), one_each(11, 3));
  EXPECT_EQ(exchange(4, 4), exchange(4, 0));
}

TEST(InnerOuterExpo2, OneLocalRankGoesOutTheOthersDoExponentialTwo) {
  const auto exchange = [](int rank, std::uint64_t t) { return inner_outer_expo2_send_recv(8, 4, rank, t); };
  EXPECT_EQ(exchange(0, 0), one_each(4, 4));
  EXPECT_EQ(exchange(1, 0), one_each(2, 3));
  EXPECT_EQ(exchange(2, 0), one_each(3, 1));
  EXPECT_EQ(exchange(3, 0), one_each(1, 2));
  EXPECT_EQ(exchange(0, 1), one_each(3, 2));
  EXPECT_EQ(exchange(1, 1), one_each(5, 5));
  EXPECT_EQ(exchange(2, 1), one_each(0, 3));
  EXPECT_EQ(exchange(3, 1), one_each(2, 0));
}

TEST(InnerOuterExpo2, OuterDistancesDouble) {
  const auto exchange = [](int rank, std::uint64_t t) { return inner_outer_expo2_send_recv(18, 3, rank, t); };
  EXPECT_EQ(exchange(0, 0), one_each(3, 15));
  EXPECT_EQ(exchange(1, 1), one_each(7, 13));
  EXPECT_EQ(exchange(2, 2), one_each(14, 8));
  EXPECT_EQ(exchange(0, 3), one_each(3, 15));
}

/// The inner exchange said differently: strike the outgoing rank off the machine's list, then go around what
/// is left.
int inner_receiver(int local_size, int rank, int outgoing, int distance) {
  const int first = rank - rank % local_size;
  Ranks staying;
  for (int local = 0; local < local_size; ++local) {
    if (local != outgoing) staying.push_back(first + local);
  }
  const auto place = std::find(staying.begin(), staying.end(), rank) - staying.begin();
  return staying[static_cast<std::size_t>(place + distance) % staying.size()];
}

TEST(InnerOuter, InnerRanksGoAroundAsIfTheOutgoingOneWereNotThere) {
  for (int local_size = 3; local_size <= 11; ++local_size) {
    int distances = 0;
    while ((1 << distances) <= local_size - 2) ++distances;
    for (std::uint64_t t = 0; t < 60; ++t) {
      const int outgoing = static_cast<int>(t) % local_size;
      for (int rank = 0; rank < 2 * local_size; ++rank) {
        if (rank % local_size == outgoing) continue;
        ASSERT_EQ(inner_outer_expo2_send_recv(2 * local_size, local_size, rank, t).send.front(),
                  inner_receiver(local_size, rank, outgoing, 1 << (static_cast<int>(t) % distances)));
        ASSERT_EQ(inner_outer_ring_send_recv(2 * local_size, local_size, rank, t).send.front(),
                  inner_receiver(local_size, rank, outgoing, 1));
      }
    }
  }
}

TEST(InnerOuter, ListsOfAllRanksAgree) {
  for (int size = 1; size <= 33; ++size) {
    for (int local_size = 1; local_size <= size; ++local_size) {
      if (size % local_size != 0) continue;
      SCOPED_TRACE(std::to_string(size) + " ranks, " + std::to_string(local_size) + " a machine");
      for (const auto& make : {inner_outer_ring_send_recv, inner_outer_expo2_send_recv}) {
        const Generator generator = [&](int rank, std::uint64_t t) {
          return make(size, local_size, rank, t);
        };
        expect_lists_agree(size, 50, generator);
        expect_one_peer_each(size, 50, generator);
      }
    }
  }
}

TEST(InnerOuter, FallsBackWhereThereIsNoInsideOrNoOutside) {
  for (const auto& [size, local_size] :
       std::vector<std::pair<int, int>>{{1, 1}, {6, 6}, {6, 1}, {6, 2}, {7, 7}}) {
    for (int rank = 0; rank < size; ++rank) {
      for (std::uint64_t t = 0; t < 7; ++t) {
        EXPECT_EQ(inner_outer_expo2_send_recv(size, local_size, rank, t),
                  one_peer_exponential_send_recv(size, rank, t));
        EXPECT_EQ(inner_outer_ring_send_recv(size, local_size, rank, t),
                  dynamic_one_peer_send_recv(ring_graph(size, RingStyle::Right), rank, t));
      }
    }
  }
}

TEST(InnerOuter, RefusesUnequalMachinesAndRanksThatDoNotExist) {
  expect_invalid([] { (void)inner_outer_ring_send_recv(10, 4, 0, 0); },
                 {"inner_outer_ring_send_recv", "10 ranks", "machines of 4"});
  expect_invalid([] { (void)inner_outer_expo2_send_recv(10, 4, 0, 0); },
                 {"inner_outer_expo2_send_recv", "10 ranks", "machines of 4"});
  expect_invalid([] { (void)inner_outer_expo2_send_recv(8, 4, 8, 0); }, {"rank 8", "0 to 7"});
  expect_invalid([] { (void)inner_outer_ring_send_recv(8, 4, -1, 0); }, {"rank -1", "0 to 7"});
}

TEST(DynamicGraphs, RoundsMayBeAsLateAsTheyLike) {
  const std::uint64_t late = 12 * ((std::uint64_t{1} << 59) + 1);
  EXPECT_EQ(one_peer_exponential_send_recv(16, 3, late + 1), one_peer_exponential_send_recv(16, 3, 1));
  EXPECT_EQ(dynamic_one_peer_send_recv(exponential_graph(8), 3, late + 2),
            dynamic_one_peer_send_recv(exponential_graph(8), 3, 2));
  EXPECT_EQ(inner_outer_ring_send_recv(12, 4, 5, late + 3), inner_outer_ring_send_recv(12, 4, 5, 3));
}

}  // namespace
}  // namespace bluefog
