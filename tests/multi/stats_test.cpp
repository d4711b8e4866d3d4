// What Context::stats() counts, and on whom it says that a rank has waited.

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <bluefog/error.hpp>

#include "multi/job.hpp"

namespace bluefog::test {
namespace {

using namespace std::chrono_literals;

class Counts : public testing::TestWithParam<Ranks> {};

constexpr std::size_t small = 1'000;    // elements: published with the call
constexpr std::size_t large = 100'000;  // several chunks' worth

PeerStats of_peer(const Stats& stats, int rank) {
  for (const PeerStats& peer : stats.peers) {
    if (peer.rank == rank) return peer;
  }
  return {};
}

TEST_P(Counts, BytesAndOperationsOfEveryPeer) {
  run_job(GetParam(), 3, [](Context& context) {
    std::vector<float> x(large, 1.0F);
    NeighborAllreduceOptions chain;  // 0 -> 1 -> 2
    chain.self_weight = 0.5;
    chain.src_weights = context.rank() > 0 ? Weights{{context.rank() - 1, 0.5}} : Weights{};
    chain.dst_weights = context.rank() < 2 ? Weights{{context.rank() + 1, 1.0}} : Weights{};
    for (const std::size_t count : {small, small, large}) {
      const std::span<float> part = std::span(x).first(count);
      context.neighbor_allreduce(std::span<const float>(part), part, chain);
    }
    constexpr std::uint64_t bytes = (2 * small + large) * sizeof(float);
    const Stats stats = context.stats();
    const OperationStats kind = stats.operations.at("neighbor_allreduce");
    EXPECT_EQ(kind.count, 3U);
    EXPECT_EQ(kind.failed, 0U);
    EXPECT_EQ(kind.bytes, bytes);
    EXPECT_GT(kind.time.count(), 0);
    EXPECT_EQ(stats.operations.size(), 1U);
    EXPECT_EQ(stats.in_flight, 0U);
    const PeerStats source = of_peer(stats, context.rank() - 1);
    const PeerStats destination = of_peer(stats, context.rank() + 1);
    EXPECT_EQ(source.operations, context.rank() > 0 ? 3U : 0U);
    EXPECT_EQ(source.bytes_received, context.rank() > 0 ? bytes : 0U);
    EXPECT_EQ(source.bytes_sent, 0U);
    EXPECT_EQ(destination.operations, context.rank() < 2 ? 3U : 0U);
    EXPECT_EQ(destination.bytes_sent, context.rank() < 2 ? bytes : 0U);
    EXPECT_EQ(destination.bytes_received, 0U);
    EXPECT_EQ(stats.peers.size(), context.rank() == 1 ? 2U : 1U) << "peers that were never met";
    context.barrier();
  });
}

TEST_P(Counts, ThePathToEveryPeer) {
  run_job(GetParam(), 3, [](Context& context) {
    context.barrier();
    const std::string far = is_simulated(GetParam()) ? "simulated network" : "tcp 127.0.0.1 to 127.0.0.1";
    const Stats stats = context.stats();
    EXPECT_EQ(stats.peers.size(), 2U);
    for (const PeerStats& peer : stats.peers) {
      const bool is_near = !are_all_far(GetParam()) &&
                           (GetParam() != Ranks::SimulatedPairs || peer.rank / 2 == context.rank() / 2);
      EXPECT_EQ(peer.path, is_near ? "shared memory" : far) << peer.rank;
    }
    context.barrier();
  });
}

TEST_P(Counts, TensorsThatAreReadInPlace) {
  run_job(GetParam(), 2, [](Context& context) {
    auto x = context.make_shared<float>(large);
    auto y = context.make_shared<float>(large);
    context.neighbor_allreduce(x.span(), y.span());
    context.barrier();
    const PeerStats peer = of_peer(context.stats(), 1 - context.rank());
    EXPECT_EQ(peer.operations, 2U);
    EXPECT_EQ(peer.bytes_received, large * sizeof(float));
    EXPECT_EQ(peer.bytes_sent, large * sizeof(float));
    context.barrier();
  });
}

TEST_P(Counts, SlicesThatAreMixedForOthers) {
  run_job(GetParam(), 2, [](Context& context) {
    auto x = context.make_shared<float>(large);
    NeighborAllreduceOptions meeting;
    meeting.meet = true;
    context.neighbor_allreduce(x.span(), x.span(), meeting);
    const PeerStats peer = of_peer(context.stats(), 1 - context.rank());
    // Where memory is not shared, tensors travel whole.
    const bool travels = are_all_far(GetParam());
    const std::uint64_t bytes = large * sizeof(float) / (travels ? 1 : 2);
    constexpr std::uint64_t cache_line = 64;  // slices are cut there
    EXPECT_NEAR(static_cast<double>(peer.bytes_received), static_cast<double>(bytes), cache_line);
    EXPECT_EQ(peer.bytes_sent, peer.bytes_received);
    context.barrier();
  });
}

TEST_P(Counts, FailuresApart) {
  run_job(GetParam(), 2, [](Context& context) {
    std::vector<float> x(small);
    EXPECT_THROW(context.broadcast(std::span(x), 7), InvalidArgument);
    context.broadcast(std::span(x), 0);
    const OperationStats kind = context.stats().operations.at("broadcast");
    EXPECT_EQ(kind.count, 2U);
    EXPECT_EQ(kind.failed, 1U);
    context.barrier();
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, Counts, testing::ValuesIn(all_ranks), testing::PrintToStringParamName());

TEST(Memory, OfTheArenaFollowsItsTensors) {
  run_job(Ranks::Threads, 1, [](Context& context) {
    constexpr std::size_t bytes = std::size_t{10} << 20;
    const MemoryStats before = context.stats().memory;
    auto x = context.make_shared<std::byte>(bytes);
    const MemoryStats with = context.stats().memory;
    EXPECT_EQ(with.allocated, before.allocated + bytes);
    EXPECT_GE(with.populated, with.allocated);
    EXPECT_GE(with.reserved, test_config().arena_size);
    x = {};
    EXPECT_EQ(context.stats().memory.allocated, before.allocated);
  });
}

/// What the kernel holds for the arenas that this process has open.
std::size_t memory_of_arenas() {
  std::map<ino_t, std::size_t> arenas;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
    if (target.find("memfd:bluefog-arena") == std::string::npos) continue;
    struct stat file {};
    if (::stat(entry.path().c_str(), &file) == 0) {
      arenas[file.st_ino] = static_cast<std::size_t>(file.st_blocks) * 512;
    }
  }
  std::size_t bytes = 0;
  for (const auto& [inode, size] : arenas) bytes += size;
  return bytes;
}

class MemoryOfRings : public testing::TestWithParam<Ranks> {};

TEST_P(MemoryOfRings, SmallOperationsInFlightTakeAPageEach) {
  run_job(GetParam(), 2, [](Context& context) {
    constexpr std::size_t operations = 400;
    std::vector<float> x(operations * small);
    context.barrier();
    const std::size_t before = memory_of_arenas();
    std::vector<Handle> handles;
    for (std::size_t i = 0; i < operations; ++i) {
      const std::span<float> part = std::span(x).subspan(i * small, small);
      handles.push_back(context.neighbor_allreduce_async(std::span<const float>(part), part, {}));
    }
    for (Handle& handle : handles) handle.wait();
    context.barrier();
    // Of both ranks: their rings, 4000 bytes of each, and the boards, which lie there once.
    constexpr std::size_t most = 2 * operations * small * sizeof(float) * 3 / 2 + (std::size_t{6} << 20);
    EXPECT_LT(memory_of_arenas() - before, most);
    context.barrier();
  });
}

TEST_P(MemoryOfRings, LargeOperationsOneAfterTheOtherUseTheSameRings) {
  run_job(GetParam(), 2, [](Context& context) {
    constexpr std::size_t bytes = std::size_t{2} << 20;
    std::vector<float> x(bytes / sizeof(float));
    context.barrier();
    const std::size_t before = context.stats().memory.populated;
    for (int i = 0; i < 40; ++i) {
      context.neighbor_allreduce(std::span<const float>(x), std::span(x), {});
    }
    // The present one's, those of four that are kept for a while, and one that the peer may still read.
    EXPECT_LE(context.stats().memory.populated - before, 6 * bytes + (std::size_t{1} << 20));
    context.barrier();
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, MemoryOfRings, testing::Values(Ranks::Threads, Ranks::Processes),
                         testing::PrintToStringParamName());

TEST(InFlight, OperationsAreCounted) {
  run_job(Ranks::SimulatedHosts, 2, [](Context& context) {
    std::vector<float> x(small);
    OperationOptions named;
    named.name = "one of two";
    context.barrier();
    Handle first = context.barrier_async(named);
    if (context.rank() == 0) {
      EXPECT_EQ(context.stats().in_flight, 1U);
    }
    first.wait();
    EXPECT_EQ(context.stats().in_flight, 0U);
  });
}

class Waits : public testing::TestWithParam<Ranks> {
 protected:
  /// What every rank's stats say at the end of `body`.
  std::vector<Stats> run(SimulationOptions options, const std::function<void(Context&, Simulation&)>& body) {
    std::vector<Stats> all(static_cast<std::size_t>(options.size));
    options.config.op_timeout = 1h;
    Simulation simulation(std::move(options));
    const auto ends = simulation.run([&](Context& context) {
      body(context, simulation);
      all[static_cast<std::size_t>(context.rank())] = context.stats();
    });
    for (const auto& end : ends) EXPECT_EQ(end.how, Simulation::End::How::Returned);
    return all;
  }
};

void expect_about(std::chrono::nanoseconds actual, std::chrono::nanoseconds expected) {
  EXPECT_NEAR(std::chrono::duration<double>(actual).count(), std::chrono::duration<double>(expected).count(),
              0.01);
}

TEST_P(Waits, AreChargedToWhoeverIsMissing) {
  const auto stats = run(simulated(GetParam(), 3), [](Context& context, Simulation& simulation) {
    context.barrier();
    simulation.compute(context.rank() * 10s);
    context.barrier();
  });
  expect_about(of_peer(stats[0], 1).waited, 10s);
  expect_about(of_peer(stats[0], 2).waited, 20s);
  expect_about(of_peer(stats[1], 0).waited, 0s);
  expect_about(of_peer(stats[1], 2).waited, 10s);
  expect_about(of_peer(stats[2], 0).waited, 0s);
  expect_about(of_peer(stats[2], 1).waited, 0s);
  expect_about(stats[0].operations.at("barrier").time, 20s);
}

TEST_P(Waits, CountFromTheCallOn) {
  const auto stats = run(simulated(GetParam(), 2), [](Context& context, Simulation& simulation) {
    std::vector<float> x(small);
    Handle handle;
    if (context.rank() == 0) {
      simulation.compute(7s);
      handle = context.allreduce_async(std::span<const float>(x), std::span(x));
      simulation.compute(5s);
    } else {
      simulation.compute(20s);
      handle = context.allreduce_async(std::span<const float>(x), std::span(x));
    }
    handle.wait();
  });
  expect_about(of_peer(stats[0], 1).waited, 13s);
  expect_about(of_peer(stats[1], 0).waited, 0s);
}

TEST_P(Waits, ForDataAreChargedToTheSender) {
  SimulationOptions options = simulated(GetParam(), 2);
  options.between_hosts = {1us, 1e6, {}};
  constexpr double scale = 10;
  options.byte_scale = scale;
  const auto stats = run(std::move(options), [](Context& context, Simulation&) {
    std::vector<float> x(large * 10, static_cast<float>(context.rank()));
    context.broadcast(std::span(x), 1);
  });
  const bool travels = GetParam() == Ranks::SimulatedHosts;
  const std::chrono::duration<double> on_the_wire(travels ? large * 10 * sizeof(float) * scale / 1e6 : 0);
  expect_about(of_peer(stats[0], 1).waited,
               std::chrono::duration_cast<std::chrono::nanoseconds>(on_the_wire));
}

TEST_P(Waits, OfWindowsAreChargedToWhoHoldsTheMutexOrAnswers) {
  const auto stats = run(simulated(GetParam(), 2), [](Context& context, Simulation& simulation) {
    std::vector<float> x(small);
    Window window = context.create_window("x", std::span(x));
    if (context.rank() == 1) {
      const WindowLock lock = window.lock_own();
      context.barrier();
      simulation.compute(5s);
    } else {
      context.barrier();
      WindowPutOptions options;
      options.require_mutex = true;
      window.put(std::span<const float>(x), options);
    }
    window.free();
  });
  expect_about(of_peer(stats[0], 1).waited, 5s);
  expect_about(of_peer(stats[1], 0).waited, 0s);
}

INSTANTIATE_TEST_SUITE_P(Ranks, Waits, testing::Values(Ranks::SimulatedHost, Ranks::SimulatedHosts),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace bluefog::test
