// Ranks that are connected by TCP: how they begin, find each other, and end.

#include "multi/hosts.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/error.hpp>

#include "multi/matrix.hpp"
#include "unit/wires.hpp"

namespace bluefog::test {
namespace {

TEST(Hosts, RanksMayJoinAgainManyTimes) {
  const int rounds = is_reduced() ? 10 : 50;
  expect_clean(run_processes(
      2,
      [rounds](const Config& config) {
        std::size_t descriptors = 0;
        for (int round = 0; round < rounds; ++round) {
          const std::size_t now = open_descriptors().size();
          if (round == 1) descriptors = now;
          if (round > 1) {
            EXPECT_EQ(now, descriptors) << "in round " << round;
          }
          Context context(config);
          expect_mean(context, round % 2 == 0 ? 10 : 100'000);
        }
      },
      tcp_config()));
}

TEST(Hosts, ARankThatLeavesHasLeft) {
  run_job(Ranks::TcpThreads, 3, [](Context& context) {
    context.barrier();
    if (context.rank() == 1) return;
    const std::string text = text_of<PeerLost>([&] { context.barrier(); });
    expect_in(text, "rank 1 has left the job");
    context.barrier(among({0, 2}));
  });
}

TEST(Hosts, ASourceMayLeaveBeforeAnybodyHasTakenItsTensor) {
  for (int round = 0; round < 10; ++round) {
    run_job(Ranks::TcpThreads, 3, [](Context& context) {
      std::vector<float> x(3'000'000, static_cast<float>(context.rank()));
      if (context.rank() == 0) {
        Handle handle = context.broadcast_async(std::span(x), 0);
        return context.shutdown();
      }
      context.broadcast(std::span(x), 0);
      EXPECT_EQ(x.front(), 0.0F);
      EXPECT_EQ(x.back(), 0.0F);
    });
  }
}

TEST(Hosts, SeveralConnectionsCarryOneTensor) {
  Config config = test_config();
  config.tcp_connections = 4;
  run_job(
      Ranks::TcpThreads, 2,
      [](Context& context) {
        for (int round = 0; round < 5; ++round) expect_mean(context, 2'000'000);
      },
      config);
}

TEST(Hosts, AreThePretendedMachines) {
  Config config = test_config();
  config.nodes_per_machine = 2;
  run_job(
      Ranks::Processes, 4,
      [](Context& context) {
        EXPECT_EQ(context.machine_rank(), context.rank() / 2);
        const auto has_sockets = [] {
          const auto all = open_descriptors();
          return std::any_of(all.begin(), all.end(),
                             [](const auto& name) { return name.find(" socket:") != std::string::npos; });
        };
        EXPECT_TRUE(has_sockets());
        expect_mean(context, 100'000);
      },
      config);
}

TEST(Hosts, MustBeTheSameOnAllRanks) {
  const auto ends = run_processes(2, [](const Config& config) {
    Config own = config;
    if (own.rank == 1) own.transport = "tcp";
    const std::string text = text_of<Mismatch>([&] { const Context context(own); });
    expect_in(text, "do not agree on which ranks share memory");
    expect_in(text, "BLUEFOG_TRANSPORT");
  });
  EXPECT_EQ(ends[0].failures + ends[1].failures, "");
}

TEST(Hosts, EncryptAllOrNone) {
  const auto ends = run_processes(
      2,
      [](const Config& config) {
        Config own = config;
        own.encrypt = own.rank == 1;
        const std::string text = text_of<Mismatch>([&] { const Context context(own); });
        expect_in(text, "do not agree on encryption");
        expect_in(text, "BLUEFOG_ENCRYPT");
      },
      tcp_config());
  EXPECT_EQ(ends[0].failures + ends[1].failures, "");
}

TEST(Hosts, SettingsThatMakeNoSenseAreNamed) {
  const auto text_with = [](const std::function<void(Config&)>& change) {
    Config config = test_config();
    config.transport = "tcp";
    change(config);
    return text_of<InvalidArgument>([&] { static_cast<void>(Context::in_process(2, config)); });
  };
  expect_in(text_with([](Config& config) { config.transport = "pigeon"; }),
            "BLUEFOG_TRANSPORT is \"pigeon\"");
  expect_in(text_with([](Config& config) { config.listen = "here"; }), "BLUEFOG_LISTEN holds \"here\"");
  expect_in(text_with([](Config& config) { config.port_range = "9-1"; }), "BLUEFOG_PORT_RANGE is \"9-1\"");
  expect_in(text_with([](Config& config) { config.tcp_connections = 65; }), "BLUEFOG_TCP_CONNECTIONS is 65");
  expect_in(text_with([](Config& config) { config.tcp_congestion = "warp"; }),
            "BLUEFOG_TCP_CONGESTION is \"warp\"");
}

TEST(Hosts, GoOnWhileStrangersKnock) {
  namespace tcp = transport::tcp;
  // Ports that were free a moment ago.
  const int first = std::min<int>(tcp::listen_on({}, {}).front().endpoint.port, 65'500);
  constexpr int ports = 20;
  Config config = test_config();
  config.port_range = std::to_string(first) + "-" + std::to_string(first + ports - 1);
  std::atomic<bool> is_over{false};
  int knocks = 0;
  std::thread strangers([&] {
    std::vector<tcp::test::RawSocket> open;
    const std::vector<std::byte> garbage(50'000, std::byte{0x42});
    for (int port = 0; !is_over; port = (port + 1) % ports) {
      auto address = tcp::parse_addresses("127.0.0.1").front();
      address.port = static_cast<std::uint16_t>(first + port);
      tcp::test::RawSocket stranger(address);
      if (!stranger.is_connected()) continue;
      // Some say nothing, some too little, some too much.
      stranger.send(std::span(garbage).first(knocks % 3 == 0 ? 0 : knocks % 3 == 1 ? 30 : garbage.size()));
      ++knocks;
      open.push_back(std::move(stranger));
      if (open.size() > 300) open.clear();
    }
  });
  run_job(
      Ranks::TcpThreads, 3,
      [](Context& context) {
        for (int round = 0; round < 100; ++round) expect_mean(context, round % 10 == 0 ? 200'000 : 100);
      },
      config);
  is_over = true;
  strangers.join();
  EXPECT_GE(knocks, 3) << "nobody knocked";
}

}  // namespace
}  // namespace bluefog::test
