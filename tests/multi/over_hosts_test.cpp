// Mixing over hosts: how many bytes cross, that nothing is allocated in a loop, and that operations do not
// wait for each other. That all paths give the same bits is in reductions_test.

#include <cstdint>
#include <cstring>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/graphs.hpp>
#include <bluefog/simulation.hpp>

#include "multi/job.hpp"

namespace bluefog::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t large = 50'001;  // beyond what goes with a post, and no multiple of anything

using Traffic = std::map<std::pair<int, int>, std::size_t>;  ///< tensor bytes, from rank to rank

/// What the trace of a simulation says was delivered.
Traffic delivered(const std::string& trace) {
  Traffic traffic;
  std::istringstream lines(trace);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::uint64_t time = 0;
    int from = 0;
    int to = 0;
    char arrow = 0;
    std::string kind;
    std::string key;
    std::size_t bytes = 0;
    if (words >> time >> from >> arrow >> to >> kind >> key >> bytes && kind == "chunk")
      traffic[{from, to}] += bytes;
  }
  return traffic;
}

struct Scene {
  std::string name;
  std::vector<int> hosts;
  SchedulePtr schedule;
};
std::ostream& operator<<(std::ostream& out, const Scene& scene) {
  return out << scene.name;
}

SimulationOptions options_of(const Scene& scene) {
  SimulationOptions options = simulated(Ranks::SimulatedHosts, static_cast<int>(scene.hosts.size()));
  options.hosts = scene.hosts;
  return options;
}

/// Each tensor once for each host that needs it.
Traffic between_hosts(const Traffic& by_rank, const std::vector<int>& hosts) {
  Traffic traffic;
  for (const auto& [pair, bytes] : by_rank) {
    traffic[{hosts[static_cast<std::size_t>(pair.first)], hosts[static_cast<std::size_t>(pair.second)]}] +=
        bytes;
  }
  return traffic;
}

Traffic least_traffic(const Scene& scene, std::uint64_t round) {
  Traffic traffic;
  const Topology topology = scene.schedule->round(round);
  for (int sender = 0; sender < topology.size(); ++sender) {
    const int own = scene.hosts[static_cast<std::size_t>(sender)];
    std::set<int> needing;
    for (const auto& [receiver, weight] : topology.out_neighbors(sender)) {
      needing.insert(scene.hosts[static_cast<std::size_t>(receiver)]);
    }
    needing.erase(own);
    for (const int host : needing) traffic[{own, host}] += large * sizeof(float);
  }
  return traffic;
}

class Crossings : public testing::TestWithParam<Scene> {};

TEST_P(Crossings, TakeEachTensorOncePerHost) {
  const Scene& scene = GetParam();
  for (std::uint64_t round = 0; round < scene.schedule->period(); ++round) {
    for (const bool is_shared : {true, false}) {
      std::ostringstream trace;
      SimulationOptions options = options_of(scene);
      options.trace = &trace;
      Traffic sent;
      Simulation simulation(options);
      simulation.run([&](Context& context) {
        auto shared = context.make_shared<float>(large);
        std::vector<float> own(large);
        const std::span<float> x = is_shared ? shared.span() : std::span(own);
        NeighborAllreduceOptions mix;
        mix.schedule = scene.schedule;
        mix.round = round;
        mix.meet = true;
        context.neighbor_allreduce(std::span<const float>(x), x, mix);
        const auto host = [&](int rank) { return scene.hosts[static_cast<std::size_t>(rank)]; };
        for (const PeerStats& peer : context.stats().peers) {
          if (host(peer.rank) != host(context.rank()) && peer.bytes_sent > 0) {
            sent[{context.rank(), peer.rank}] = peer.bytes_sent;
          }
        }
      });
      const Traffic seen = delivered(trace.str());
      EXPECT_EQ(between_hosts(seen, scene.hosts), least_traffic(scene, round)) << "round " << round;
      EXPECT_EQ(sent, seen) << "what the ranks have counted, round " << round;
    }
  }
}

const std::vector<int> two_hosts{0, 0, 0, 0, 1, 1, 1, 1};

INSTANTIATE_TEST_SUITE_P(
    Scenes, Crossings,
    testing::Values(Scene{"Exponential", two_hosts, static_schedule(exponential_two_graph(8))},
                    Scene{"OnePeer", two_hosts, one_peer_exponential(8)},
                    Scene{"OneAndThree", {0, 1, 1, 1}, static_schedule(fully_connected_graph(4))},
                    Scene{"TwoThreeAndOne", {0, 0, 1, 1, 1, 2}, static_schedule(exponential_two_graph(6))},
                    Scene{"Scattered", {0, 1, 0, 1, 2, 0}, static_schedule(ring_graph(6))},
                    Scene{"Resting", {0, 0, 1, 1, 1}, base_k_plus_one(5, 1)}),
    testing::PrintToStringParamName());

TEST(OverHosts, ALoopTakesNoMoreMemory) {
  for (const Ranks ranks : {Ranks::SimulatedPairs, Ranks::TcpPairs}) {
    run_job(ranks, 4, [](Context& context) {
      constexpr std::size_t counts[] = {large, 3 * large, 2 * large};
      std::vector<SharedArray<float>> shared;
      std::vector<std::vector<float>> own;
      for (const std::size_t count : counts) {
        shared.push_back(context.make_shared<float>(count));
        own.emplace_back(count);
      }
      NeighborAllreduceOptions mix;
      mix.schedule = one_peer_exponential(context.size());
      mix.meet = true;
      std::size_t allocated = 0;
      for (mix.round = 0; mix.round < 20; ++mix.round) {
        std::vector<Handle> handles;
        for (auto& x : shared) handles.push_back(context.neighbor_allreduce_async(x.span(), x.span(), mix));
        for (auto& x : own) {
          handles.push_back(context.neighbor_allreduce_async(std::span<const float>(x), std::span(x), mix));
        }
        for (Handle& handle : handles) handle.wait();
        const std::size_t now = context.stats().memory.allocated;
        if (mix.round == 5) allocated = now;
        if (mix.round > 5) {
          EXPECT_EQ(now, allocated) << "in round " << mix.round;
        }
      }
    });
  }
}

TEST(OverHosts, OtherOperationsGoOnMeanwhile) {
  // The tensor takes 20 ms between the hosts, a barrier of the host next to nothing.
  SimulationOptions options = simulated(Ranks::SimulatedPairs, 4);
  options.between_hosts = {20us, 1e8, {}};
  Simulation simulation(options);
  simulation.run([&](Context& context) {
    auto x = context.make_shared<float>(500'000);
    NeighborAllreduceOptions mix;
    mix.schedule = static_schedule(fully_connected_graph(4));
    mix.meet = true;
    Handle handle = context.neighbor_allreduce_async(x.span(), x.span(), mix);
    for (int i = 0; i < 10; ++i) context.barrier(among({context.rank() / 2 * 2, context.rank() / 2 * 2 + 1}));
    EXPECT_LT(simulation.now(), 1ms);
    EXPECT_FALSE(handle.done());
    handle.wait();
    EXPECT_GT(simulation.now(), 20ms);
  });
}

TEST(OverHosts, TensorsOfMoreThanAWindowFollowEachOther) {
  // Between the hosts 2 x 24 MB go each way, 12 MB from each rank: far more than may wait at a receiver.
  SimulationOptions options = simulated(Ranks::SimulatedPairs, 4);
  options.between_hosts = {20us, 1e9, {}};
  Simulation simulation(options);
  simulation.run([&](Context& context) {
    auto x = context.make_shared<float>(6'000'000);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(context.rank());
    NeighborAllreduceOptions mix;
    mix.schedule = static_schedule(fully_connected_graph(4));
    mix.meet = true;
    context.neighbor_allreduce(x.span(), x.span(), mix);
    EXPECT_EQ(x[0], 1.5F);
    EXPECT_EQ(x[5'999'999], 1.5F);
    EXPECT_GT(simulation.now(), 48ms);
    EXPECT_LT(simulation.now(), 56ms) << "the link was idle for long";
  });
}

}  // namespace
}  // namespace bluefog::test
