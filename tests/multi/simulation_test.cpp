// The virtual network: what messages take, what faults do, and that a run can be repeated.

#include <algorithm>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/error.hpp>
#include <bluefog/graphs.hpp>
#include <bluefog/simulation.hpp>

#include "multi/job.hpp"

namespace bluefog::test {
namespace {

using namespace std::chrono_literals;
using How = Simulation::End::How;
using Kind = SimulatedFault::Kind;
using std::chrono::nanoseconds;

double seconds(nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

/// Rank 0 sends its vector to rank 1, rank 1 to rank 0; both are mixed.
void exchange(Context& context, std::vector<float>& x) {
  NeighborAllreduceOptions options;
  options.schedule = one_peer_exponential(context.size());
  context.neighbor_allreduce(std::span<const float>(x), std::span(x), options);
}

SimulationOptions pair_over(LinkModel link) {
  SimulationOptions options;
  options.size = 2;
  options.between_hosts = link;
  options.config = test_config();
  return options;
}

TEST(SimulatedLink, AMessageTakesLatencyAndItsBytes) {
  for (const std::size_t count : {std::size_t{1}, std::size_t{1000}, std::size_t{16'000}}) {
    for (const LinkModel link :
         {LinkModel{10us, 1e9, {}}, LinkModel{50ms, 125e6, {}}, LinkModel{0ns, 1e6, {}}}) {
      Simulation simulation(pair_over(link));
      nanoseconds took{};
      simulation.run([&](Context& context) {
        std::vector<float> x(count, static_cast<float>(context.rank()));
        exchange(context, x);
        took = simulation.now();
        EXPECT_EQ(x.back(), 0.5F);
      });
      const double wanted =
          seconds(link.latency) + static_cast<double>(count) * sizeof(float) / link.bandwidth;
      EXPECT_NEAR(seconds(took), wanted, 0.01 * wanted) << count << " elements";
    }
  }
}

TEST(SimulatedLink, ALargeTensorWaitsForTheGrantOfItsReceiver) {
  // Both post at once, so the grant is there after one latency; the chunks follow each other.
  Simulation simulation(pair_over({100us, 1e9, {}}));
  nanoseconds took{};
  simulation.run([&](Context& context) {
    std::vector<float> x(4'000'000, static_cast<float>(context.rank()));
    exchange(context, x);
    took = simulation.now();
    EXPECT_EQ(x.back(), 0.5F);
  });
  EXPECT_NEAR(seconds(took), 2 * 100e-6 + 16e-3, 0.01 * 16e-3);
}

TEST(SimulatedLink, BytesMayStandForMore) {
  SimulationOptions options = pair_over({1ms, 1e9, {}});
  options.byte_scale = 1000;
  Simulation simulation(options);
  nanoseconds took{};
  simulation.run([&](Context& context) {
    std::vector<float> x(10'000);
    exchange(context, x);
    took = simulation.now();
  });
  EXPECT_NEAR(seconds(took), 1e-3 + 40e-3, 0.01 * 41e-3);
}

SimulationOptions hosts_of_four(int size) {
  SimulationOptions options;
  options.size = size;
  options.ranks_per_host = 4;
  options.between_hosts = {10us, 1e9, {}};
  options.config = test_config();
  return options;
}

struct Ends {
  nanoseconds first = nanoseconds::max();
  nanoseconds last{};
};

/// When the first and the last rank has mixed 10,000 numbers, 40 us on the wire, with its neighbours.
Ends ends_of_one_round(const SimulationOptions& options, const NeighborAllreduceOptions& mix) {
  Simulation simulation(options);
  Ends ends;
  simulation.run([&](Context& context) {
    std::vector<float> x(10'000);
    NeighborAllreduceOptions own = mix;
    if (own.schedule == nullptr) own.group = {context.rank() % 4, context.rank() % 4 + 4};
    context.neighbor_allreduce(std::span<const float>(x), std::span(x), own);
    ends.first = std::min(ends.first, simulation.now());
    ends.last = std::max(ends.last, simulation.now());
  });
  return ends;
}

TEST(SimulatedLink, RanksOfAHostShareItsPort) {
  SimulationOptions options = hosts_of_four(8);
  const Ends shared = ends_of_one_round(options, {});
  EXPECT_NEAR(seconds(shared.last), 10e-6 + 4 * 40e-6, 2e-6);
  options.hosts_share_port = false;
  EXPECT_NEAR(seconds(ends_of_one_round(options, {}).last), 10e-6 + 40e-6, 0.5e-6);
}

TEST(SimulatedLink, MessagesTakeTurnsInASharedPort) {
  SimulationOptions options = hosts_of_four(8);
  const Ends in_turns = ends_of_one_round(options, {});
  const double turn = 4 * 40e-6 / options.port_turns;
  EXPECT_GT(seconds(in_turns.first), seconds(in_turns.last) - 2 * turn);
  options.port_turns = 1;
  const Ends one_by_one = ends_of_one_round(options, {});
  EXPECT_EQ(one_by_one.last, in_turns.last);
  EXPECT_NEAR(seconds(one_by_one.first), 10e-6 + 40e-6, 0.5e-6);
}

TEST(SimulatedLink, PortsAreNeverIdleWhileMessagesWait) {
  // From each host 1, 2, 4, 4 messages of the ranks' neighbours at distance 1, 2, 4, 8 go to others.
  const SimulationOptions options = hosts_of_four(16);
  NeighborAllreduceOptions mix;
  mix.schedule = static_schedule(exponential_two_graph(16));
  EXPECT_NEAR(seconds(ends_of_one_round(options, mix).last), 10e-6 + 11 * 40e-6, 11 * 40e-6 * 0.01);
}

TEST(SimulatedLink, WhatComesFromNearDoesNotWaitForWhatComesFromFar) {
  SimulationOptions options = pair_over({});
  options.size = 3;
  options.link = [](int from, int to) {
    const bool is_far = std::max(from, to) == 2;
    return LinkModel{is_far ? nanoseconds(50ms) : nanoseconds(10us), 1e9, {}};
  };
  Simulation simulation(options);
  std::vector<nanoseconds> ends(3);
  simulation.run([&](Context& context) {
    std::vector<float> x(10'000);
    NeighborAllreduceOptions mix;
    mix.check_topology = false;
    // Rank 2 sends to rank 1 at the beginning, rank 0 a little later.
    const auto receive_from = [&](int source) {
      mix.name = std::to_string(source);
      mix.self_weight = 0.5;
      mix.src_weights = context.rank() == 1 ? Weights{{source, 0.5}} : Weights{};
      mix.dst_weights = context.rank() == source ? Weights{{1, 1.0}} : Weights{};
      context.neighbor_allreduce(std::span<const float>(x), std::span(x), mix);
      ends[static_cast<std::size_t>(source)] = simulation.now();
    };
    if (context.rank() == 2) receive_from(2);
    simulation.compute(1ms);
    if (context.rank() != 2) receive_from(0);
    if (context.rank() == 1) receive_from(2);
  });
  EXPECT_NEAR(seconds(ends[0]), 1e-3 + 10e-6 + 40e-6, 1e-6);
  EXPECT_NEAR(seconds(ends[2]), 50e-3 + 40e-6, 1e-6);
}

TEST(SimulatedTime, PassesOnlyForThoseWhoWait) {
  SimulationOptions options = pair_over({1us, 1e9, {}});
  options.size = 3;
  Simulation simulation(options);
  const auto ends = simulation.run([&](Context& context) {
    simulation.compute(std::chrono::seconds(context.rank()));
    if (context.rank() != 1) context.barrier(among({0, 2}));
  });
  EXPECT_NEAR(seconds(ends[0].at), 2, 1e-3);
  EXPECT_NEAR(seconds(ends[1].at), 1, 1e-3);
  EXPECT_NEAR(seconds(ends[2].at), 2, 1e-3);
}

/// A job with jitter, several hosts, meetings, and a death; with its trace.
std::string trace_of(std::uint64_t seed) {
  std::ostringstream trace;
  SimulationOptions options;
  options.size = 6;
  options.ranks_per_host = 2;
  options.between_hosts = {20us, 1e9, 10us};
  options.inside_host = {1us, 1e10, {}};
  options.seed = seed;
  options.faults = {{Kind::Kill, 1ms, 3, -1, {}}};
  options.config = test_config();
  options.trace = &trace;
  Simulation simulation(options);
  simulation.run([&](Context& context) {
    auto x = context.make_shared<double>(1000);
    NeighborAllreduceOptions mix;
    mix.schedule = one_peer_exponential(context.size());
    for (mix.round = 0; mix.round < 100; ++mix.round) {
      mix.meet = mix.round % 2 == 0;
      try {
        context.neighbor_allreduce(x.span(), x.span(), mix);
      } catch (const Error& error) {
        trace << context.rank() << ": " << error.what() << "\n";
      }
    }
  });
  return trace.str();
}

TEST(SimulatedTrace, IsEqualForEqualSeeds) {
  const std::string first = trace_of(1);
  EXPECT_GT(std::count(first.begin(), first.end(), '\n'), 300);
  EXPECT_EQ(first, trace_of(1));
  EXPECT_NE(first, trace_of(2));
}

/// Rank 1 suffers `faults` while three ranks, each on its host or all on one, pass a barrier every 10 ms for
/// 2 s.
/// @returns the errors by rank, empty for none
struct Outcome {
  std::vector<Simulation::End> ends;
  std::vector<std::string> errors;
  std::vector<nanoseconds> error_times;
  int barriers_of_the_others = 0;
};

Outcome barriers_with(int ranks_per_host, std::vector<SimulatedFault> faults) {
  SimulationOptions options;
  options.size = 3;
  options.ranks_per_host = ranks_per_host;
  options.between_hosts = {50us, 1e9, {}};
  options.inside_host = {1us, 1e10, {}};
  options.faults = std::move(faults);
  options.config = test_config();
  Simulation simulation(options);
  Outcome outcome{{}, std::vector<std::string>(3), std::vector<nanoseconds>(3)};
  outcome.ends = simulation.run([&](Context& context) {
    const auto rank = static_cast<std::size_t>(context.rank());
    for (int i = 0; i < 200; ++i) {
      simulation.compute(10ms);
      try {
        if (outcome.errors[rank].empty()) context.barrier();
      } catch (const Error& error) {
        outcome.errors[rank] = error.what();
        outcome.error_times[rank] = simulation.now();
      }
      if (context.rank() != 1) context.barrier(among({0, 2}));
    }
    if (context.rank() == 0) outcome.barriers_of_the_others = 200;
  });
  return outcome;
}

TEST(SimulatedFault, ADeathIsKnownAtOnceInsideAHostAndAfterALatencyOutside) {
  for (const int ranks_per_host : {3, 1}) {
    const Outcome outcome = barriers_with(ranks_per_host, {{Kind::Kill, 105ms, 1, -1, {}}});
    EXPECT_EQ(outcome.ends[1].how, How::Killed);
    const std::string peer = ranks_per_host == 3 ? "rank 1 has died" : "rank 1 is lost";
    for (const std::size_t rank : {0U, 2U}) {
      EXPECT_EQ(outcome.ends[rank].how, How::Returned);
      for (const std::string& part : {std::string("barrier"), peer, std::string("call 10")}) {
        EXPECT_NE(outcome.errors[rank].find(part), std::string::npos)
            << part << " in " << outcome.errors[rank];
      }
      EXPECT_LT(seconds(outcome.error_times[rank]), 0.112);
    }
    EXPECT_EQ(outcome.barriers_of_the_others, 200);
  }
}

TEST(SimulatedFault, AFreezeBelowTheDeadlineIsForgiven) {
  for (const int ranks_per_host : {3, 1}) {
    const Outcome outcome = barriers_with(ranks_per_host, {{Kind::Freeze, 105ms, 1, -1, 4s}});
    for (std::size_t rank = 0; rank < 3; ++rank) {
      EXPECT_EQ(outcome.ends[rank].how, How::Returned);
      EXPECT_EQ(outcome.errors[rank], "");
      EXPECT_GT(seconds(outcome.ends[rank].at), 4.1);
    }
  }
}

TEST(SimulatedFault, AFrozenRankIsGivenUpAtTheDeadline) {
  const Outcome near = barriers_with(3, {{Kind::Freeze, 105ms, 1, -1, 60s}});
  EXPECT_EQ(near.ends[1].how, How::Killed);  // fenced by those who share its memory
  const Outcome far = barriers_with(1, {{Kind::Freeze, 105ms, 1, -1, 60s}});
  EXPECT_EQ(far.ends[1].how, How::Returned);
  EXPECT_NE(far.errors[1], "");  // it thaws into a job that has given it up
  for (const Outcome* outcome : {&near, &far}) {
    for (const std::size_t rank : {0U, 2U}) {
      EXPECT_NE(outcome->errors[rank].find("rank 1"), std::string::npos) << outcome->errors[rank];
      EXPECT_NEAR(seconds(outcome->error_times[rank]), 5.105, 0.02);
    }
    EXPECT_EQ(outcome->barriers_of_the_others, 200);
  }
}

TEST(SimulatedFault, ACutThatHealsInTimeOnlyDelays) {
  const Outcome outcome = barriers_with(1, {{Kind::Cut, 105ms, 1, 2, 3s}});
  for (std::size_t rank = 0; rank < 3; ++rank) {
    EXPECT_EQ(outcome.errors[rank], "");
    EXPECT_GT(seconds(outcome.ends[rank].at), 3.1);
  }
}

TEST(SimulatedFault, ACutBeyondTheDeadlineSeparatesTwo) {
  const Outcome outcome = barriers_with(1, {{Kind::Cut, 105ms, 1, 2, 60s}});
  EXPECT_NE(outcome.errors[1].find("rank 2"), std::string::npos) << outcome.errors[1];
  EXPECT_NE(outcome.errors[2].find("rank 1"), std::string::npos) << outcome.errors[2];
  EXPECT_EQ(outcome.barriers_of_the_others, 200);
}

TEST(SimulatedFault, ALateRankIsWaitedFor) {
  const Outcome outcome = barriers_with(1, {{Kind::Late, 30s, 1, -1, {}}});
  for (std::size_t rank = 0; rank < 3; ++rank) {
    EXPECT_EQ(outcome.errors[rank], "");
    EXPECT_GT(seconds(outcome.ends[rank].at), 30);
  }
}

TEST(SimulatedFault, ARankThatThrowsLeavesTheOthersWithAnError) {
  Simulation simulation(pair_over({1us, 1e9, {}}));
  const auto ends = simulation.run([&](Context& context) {
    if (context.rank() == 1) throw std::runtime_error("broken");
    try {
      context.barrier();
      ADD_FAILURE() << "the barrier passed without rank 1";
    } catch (const PeerLost& error) {
      EXPECT_EQ(error.peer(), 1);
    }
  });
  EXPECT_EQ(ends[0].how, How::Returned);
  EXPECT_EQ(ends[1].how, How::Threw);
}

TEST(SimulationOptions, ThatMakeNoSenseAreRefused) {
  const auto refuses = [](auto change) {
    SimulationOptions options = pair_over({});
    change(options);
    EXPECT_THROW(Simulation{options}, InvalidArgument);
  };
  refuses([](auto& options) { options.size = 0; });
  refuses([](auto& options) { options.ranks_per_host = 0; });
  refuses([](auto& options) { options.hosts = {0}; });
  refuses([](auto& options) { options.hosts = {0, 2}; });
  refuses([](auto& options) { options.byte_scale = 0; });
  refuses([](auto& options) { options.port_turns = 0; });
  refuses([](auto& options) { options.between_hosts.bandwidth = -1; });
  refuses([](auto& options) { options.faults = {{Kind::Kill, 1s, 2, -1, {}}}; });
  refuses([](auto& options) { options.faults = {{Kind::Cut, 1s, 0, 0, 1s}}; });
}

}  // namespace
}  // namespace bluefog::test
