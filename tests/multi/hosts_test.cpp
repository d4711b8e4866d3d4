// Ranks that are connected by TCP: how they begin and end, who is lost and who goes on, and what it costs.

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bluefog/error.hpp>

#include "multi/job.hpp"
#include "multi/matrix.hpp"

namespace bluefog::test {
namespace {

using namespace std::chrono_literals;

Config tcp_config() {
  return with_transport_of(Ranks::TcpProcesses, 0, test_config());
}

void expect_clean(const std::vector<RankEnd>& ends, const std::set<std::size_t>& except = {}) {
  for (std::size_t rank = 0; rank < ends.size(); ++rank) {
    if (except.count(rank) > 0) continue;
    EXPECT_TRUE(ends[rank].is_clean())
        << "rank " << rank << ", signal " << ends[rank].signal << ": " << ends[rank].failures;
  }
}

template <class E>
std::string text_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const E& error) {
    return error.what();
  } catch (const std::exception& error) {
    return std::string("another kind of error: ") + error.what();
  }
  return "no error";
}

void expect_in(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "\"" << part << "\" is not in: " << text;
}

void expect_mean(Context& context, std::size_t count) {
  std::vector<double> x(count, static_cast<double>(context.rank()));
  context.allreduce(std::span<const double>(x), std::span(x));
  EXPECT_EQ(x.front(), static_cast<double>(context.size() - 1) / 2);
  EXPECT_EQ(x.back(), x.front());
}

/// What a descriptor is, as the kernel names it, by number.
std::set<std::string> open_descriptors() {
  std::set<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const auto target = std::filesystem::read_symlink(entry.path(), error);
    if (!error) names.insert(entry.path().filename().string() + " " + target.string());
  }
  return names;
}

std::vector<int> pids_of_all(Context& context) {
  const std::vector<std::int64_t> own{::getpid()};
  const GatheredTensor all = context.allgather(std::span<const std::int64_t>(own));
  const auto* const pids = reinterpret_cast<const std::int64_t*>(all.data.get());
  return {pids, pids + context.size()};
}

// --- beginning and end

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
    OperationOptions pair;
    pair.group = {0, 2};
    context.barrier(pair);
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

TEST(Hosts, SettingsThatMakeNoSenseAreNamed) {
  const auto text_with = [](const std::function<void(Config&)>& change) {
    Config config = test_config();
    config.transport = "tcp";
    change(config);
    return text_of<InvalidArgument>([&] { static_cast<void>(Context::in_process(2, config)); });
  };
  expect_in(text_with([](Config& config) { config.transport = "pigeon"; }), "BLUEFOG_TRANSPORT is \"pigeon\"");
  expect_in(text_with([](Config& config) { config.listen = "here"; }), "BLUEFOG_LISTEN holds \"here\"");
  expect_in(text_with([](Config& config) { config.port_range = "9-1"; }), "BLUEFOG_PORT_RANGE is \"9-1\"");
  expect_in(text_with([](Config& config) { config.tcp_connections = 65; }), "BLUEFOG_TCP_CONNECTIONS is 65");
  expect_in(text_with([](Config& config) { config.tcp_congestion = "warp"; }),
            "BLUEFOG_TCP_CONGESTION is \"warp\"");
}

// --- losses

struct Wait {
  std::string name;
  std::function<void(Context&)> call;
};
std::ostream& operator<<(std::ostream& out, const Wait& wait) {
  return out << wait.name;
}

void mix_with_all(Context& context, std::size_t count, bool meet) {
  std::vector<float> x(count);
  NeighborAllreduceOptions options;
  options.schedule = static_schedule(fully_connected_graph(context.size()));
  options.meet = meet;
  context.neighbor_allreduce(std::span<const float>(x), std::span(x), options);
}

class KillOverTcp : public testing::TestWithParam<Wait> {};

TEST_P(KillOverTcp, SurvivorsLearnWhoDiedAndGoOn) {
  const auto ends = run_processes(
      4,
      [wait = GetParam()](const Config& config) {
        Context context(config);
        context.barrier();
        if (context.rank() == 1) ::raise(SIGKILL);
        try {
          wait.call(context);
          ADD_FAILURE() << "the operation succeeded without rank 1";
        } catch (const PeerLost& error) {
          EXPECT_EQ(error.peer(), 1) << error.what();
          expect_in(error.what(), "on rank " + std::to_string(context.rank()) + " after ");
          expect_in(error.what(), "rank 1 is lost");
        }
        OperationOptions others;
        others.group = {0, 2, 3};
        for (int i = 0; i < 10; ++i) context.barrier(others);
      },
      tcp_config());
  EXPECT_EQ(ends[1].signal, SIGKILL) << "the fault did not happen";
  expect_clean(ends, {1});
}

INSTANTIATE_TEST_SUITE_P(
    Operations, KillOverTcp,
    testing::Values(Wait{"Barrier", [](Context& context) { context.barrier(); }},
                    Wait{"Small", [](Context& context) { mix_with_all(context, 100, false); }},
                    Wait{"Large", [](Context& context) { mix_with_all(context, 1'000'000, false); }},
                    Wait{"Meeting", [](Context& context) { mix_with_all(context, 1'000'000, true); }},
                    Wait{"Allgather",
                         [](Context& context) {
                           std::vector<int> x(100);
                           static_cast<void>(context.allgather(std::span<const int>(x)));
                         }},
                    Wait{"Broadcast",
                         [](Context& context) {
                           std::vector<float> x(100'000);
                           context.broadcast(std::span(x), 1);
                         }}),
    testing::PrintToStringParamName());

TEST(LossOverTcp, InTheMiddleOfAStreamHangsNobody) {
  for (int round = 0; round < 6; ++round) {
    const auto ends = run_processes(
        3,
        [round](const Config& config) {
          Context context(config);
          std::vector<float> x(300'000);
          NeighborAllreduceOptions all;
          all.schedule = static_schedule(fully_connected_graph(3));
          for (int i = 0;; ++i) {
            ASSERT_LT(i, 1000);
            try {
              Handle handle = context.neighbor_allreduce_async(std::span<const float>(x), std::span(x), all);
              if (context.rank() == 1 && i == 2 * round) {
                for (int turn = 0; turn < 5 * round && !handle.done(); ++turn) {
                }
                ::raise(SIGKILL);
              }
              handle.wait();
            } catch (const PeerLost& error) {
              EXPECT_EQ(error.peer(), 1) << error.what();
              break;
            }
          }
        },
        tcp_config());
    EXPECT_EQ(ends[1].signal, SIGKILL);
    expect_clean(ends, {1});
  }
}

TEST(LossOverTcp, OfARankThatStandsStill) {
  Config config = tcp_config();
  config.heartbeat = 100ms;
  const auto ends = run_processes(
      3,
      [](const Config& own) {
        Context context(own);
        const std::vector<int> pids = pids_of_all(context);
        if (context.rank() == 1) ::raise(SIGSTOP);
        const std::string text = text_of<PeerLost>([&] { context.barrier(); });
        expect_in(text, "rank 1 is lost");
        OperationOptions pair;
        pair.group = {0, 2};
        context.barrier(pair);
        if (context.rank() == 0) ::kill(pids[1], SIGKILL);
      },
      config);
  EXPECT_EQ(ends[1].signal, SIGKILL);
  expect_clean(ends, {1});
}

TEST(LossOverTcp, OfAMachineLeavesOthersWhole) {
  Config config = test_config();
  config.nodes_per_machine = 2;
  const auto ends = run_processes(
      4,
      [](const Config& own) {
        Context context(own);
        context.barrier();
        if (context.rank() >= 2) ::raise(SIGKILL);
        const std::string text = text_of<PeerLost>([&] { mix_with_all(context, 1'000'000, true); });
        expect_in(text, " is lost");
        auto x = context.make_shared<float>(100'000);
        NeighborAllreduceOptions pair;
        pair.group = {0, 1};
        pair.meet = true;
        std::fill(x.begin(), x.end(), static_cast<float>(context.rank()));
        context.neighbor_allreduce(x.span(), x.span(), pair);
        EXPECT_EQ(x[99'999], 0.5F);
      },
      config);
  EXPECT_EQ(ends[2].signal, SIGKILL);
  EXPECT_EQ(ends[3].signal, SIGKILL);
  expect_clean(ends, {2, 3});
}

// --- costs

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t total = 0;
  std::size_t resident = 0;
  file >> total >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

TEST(Memory, OfASenderIsBoundedWhereTheReceiverStandsStill) {
  Config config = tcp_config();
  config.heartbeat = 1h;  // it is slow, and not lost
  constexpr int calls = 3000;
  constexpr int slots = 1024;
  constexpr std::size_t count = 16'000;  // just small enough to go unasked
  const auto ends = run_processes(
      2,
      [](const Config& own) {
        Context context(own);
        const std::vector<int> pids = pids_of_all(context);
        NeighborAllreduceOptions options;
        options.check_topology = false;
        const bool sends = context.rank() == 0;
        options.self_weight = sends ? 1.0 : 0.0;
        options.src_weights = sends ? Weights{} : Weights{{0, 1.0}};
        options.dst_weights = sends ? Weights{{1, 1.0}} : Weights{};
        const auto run = [&](std::atomic<int>& done) {
          for (; done < calls; ++done) {
            std::vector<float> x(count, sends ? static_cast<float>(done) : -1.0F);
            context.neighbor_allreduce(std::span<const float>(x), std::span(x), options);
            EXPECT_EQ(x[count - 1], static_cast<float>(done));
          }
        };
        std::atomic<int> done{0};
        if (!sends) {
          ::raise(SIGSTOP);
          return run(done);
        }
        int status = 0;
        while (status == 0) {  // until it stands still
          std::ifstream stat("/proc/" + std::to_string(pids[1]) + "/stat");
          std::string text;
          std::getline(stat, text);
          status = text.find(") T") != std::string::npos ? 1 : 0;
          std::this_thread::yield();
        }
        const std::size_t before = resident_bytes();
        std::thread runner([&] { run(done); });
        const auto until = std::chrono::steady_clock::now() + 60s;
        while (done < slots - 1 && std::chrono::steady_clock::now() < until) std::this_thread::yield();
        std::this_thread::sleep_for(200ms);  // it would go further now, if it could
        EXPECT_GE(done, slots - 1);
        EXPECT_LE(done, slots + 1);
        // A slot's ring and the copy on its way, for each.
        EXPECT_LE(resident_bytes(), before + 2 * slots * count * sizeof(float) + (std::size_t{64} << 20));
        ::kill(pids[1], SIGCONT);
        runner.join();
      },
      config);
  expect_clean(ends);
}

TEST(Idling, OverTcpBurnsNoTime) {
  run_job(Ranks::TcpThreads, 2, [](Context& context) {
    expect_mean(context, 100);
    context.barrier();
    const std::clock_t before = std::clock();  // of all threads
    if (context.rank() == 1) std::this_thread::sleep_for(1s);
    context.barrier();
    const double seconds = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
    EXPECT_LT(seconds, 0.3) << "processor time while one rank slept for a second and the other waited";
  });
}

TEST(Descriptors, OfConnectionsCloseOnExecAndInChildren) {
  expect_clean(run_processes(
      2,
      [](const Config& config) {
        const auto before = open_descriptors();
        Context context(config);
        context.barrier();
        std::vector<std::string> sockets;
        for (const std::string& name : open_descriptors()) {
          if (before.count(name) > 0) continue;
          const int fd = std::stoi(name);
          EXPECT_TRUE((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 || ::fcntl(fd, F_GETFD) < 0) << name;
          if (name.find(" socket:") != std::string::npos) sockets.push_back(name);
        }
        EXPECT_GE(sockets.size(), 3U) << "the rendezvous, a listener, a connection";
        const pid_t child = ::fork();
        if (child == 0) {
          const auto held = open_descriptors();
          const auto is_held = [&](const auto& name) { return held.count(name) > 0; };
          ::_exit(std::any_of(sockets.begin(), sockets.end(), is_held) ? 1 : 0);
        }
        int status = -1;
        ::waitpid(child, &status, 0);
        EXPECT_EQ(status, 0) << "a child holds a connection of the rank";
        expect_mean(context, 1000);
      },
      tcp_config()));
}

TEST(Threads, OfConnectionsHandleNoSignals) {
  run_job(Ranks::TcpThreads, 2, [](Context& context) {
    context.barrier();
    int seen = 0;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
      std::ifstream status(task.path() / "status");
      std::string name;
      for (std::string line; std::getline(status, line);) {
        if (line.rfind("Name:\t", 0) == 0) name = line.substr(6);
        if (name != "bluefog-tcp" || line.rfind("SigBlk:\t", 0) != 0) continue;
        const std::uint64_t blocked = std::stoull(line.substr(8), nullptr, 16);
        EXPECT_NE(blocked & std::uint64_t{1} << (SIGINT - 1), 0U);
        EXPECT_NE(blocked & std::uint64_t{1} << (SIGUSR1 - 1), 0U);
        ++seen;
      }
    }
    EXPECT_GE(seen, 2);
    context.barrier();
  });
}

}  // namespace
}  // namespace bluefog::test
