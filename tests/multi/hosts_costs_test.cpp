// Ranks that are connected by TCP: memory, processor time, descriptors and threads.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "multi/hosts.hpp"
#include "quiet_fork.hpp"
#include "sanitizers.hpp"

namespace bluefog::test {
namespace {

using namespace std::chrono_literals;

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
        // A slot's ring and the copy on its way, for each. (Sanitizers keep histories of their own.)
        constexpr std::size_t allowance = std::size_t{is_sanitized ? 2048U : 64U} << 20;
        EXPECT_LE(resident_bytes(), before + 2 * slots * count * sizeof(float) + allowance);
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
        const pid_t child = quiet_fork();
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
