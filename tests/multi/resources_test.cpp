// What a rank holds while it is in a job: the memory of others, descriptors, threads.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "multi/job.hpp"

namespace bluefog::test {
namespace {

/// Inodes of the arenas that this process has mapped.
std::set<std::string> mapped_arenas() {
  std::set<std::string> inodes;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("bluefog-arena") == std::string::npos) continue;
    std::istringstream fields(line);
    std::string range, permissions, offset, device, inode;
    fields >> range >> permissions >> offset >> device >> inode;
    inodes.insert(inode);
  }
  return inodes;
}

std::set<int> open_descriptors() {
  std::set<int> descriptors;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    descriptors.insert(std::stoi(entry.path().filename()));
  }
  return descriptors;
}

TEST(Arenas, AreMappedOfRanksThatMeetOnly) {
  const auto ends = run_processes(6, [](const Config& config) {
    Context context(config);
    EXPECT_EQ(mapped_arenas().size(), 1U);
    std::vector<float> x(1000, 1.0F);
    NeighborAllreduceOptions ring;
    ring.schedule = static_schedule(ring_graph(context.size()));
    context.neighbor_allreduce(std::span<const float>(x), std::span(x), ring);
    EXPECT_EQ(mapped_arenas().size(), 3U) << "the own one and those of two neighbours";
    context.barrier();
    EXPECT_EQ(mapped_arenas().size(), 6U);
  });
  for (const RankEnd& end : ends) EXPECT_TRUE(end.is_clean()) << end.failures;
}

TEST(Descriptors, CloseOnExec) {
  const auto ends = run_processes(2, [](const Config& config) {
    const std::set<int> before = open_descriptors();
    Context context(config);
    context.barrier();
    int checked = 0;
    for (const int fd : open_descriptors()) {
      const int flags = ::fcntl(fd, F_GETFD);
      if (before.count(fd) > 0 || flags < 0) continue;  // < 0: of the listing itself
      EXPECT_NE(flags & FD_CLOEXEC, 0)
          << std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd));
      ++checked;
    }
    EXPECT_GE(checked, 4) << "two arenas, a pidfd, a socket";
    context.barrier();
  });
  for (const RankEnd& end : ends) EXPECT_TRUE(end.is_clean()) << end.failures;
}

/// Names of this process's threads with the signals that they block, as bits from SIGHUP = 1 on.
std::map<std::string, std::uint64_t> blocked_signals() {
  std::map<std::string, std::uint64_t> blocked;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream status(task.path() / "status");
    std::string name;
    for (std::string line; std::getline(status, line);) {
      if (line.rfind("Name:\t", 0) == 0) name = line.substr(6);
      if (line.rfind("SigBlk:\t", 0) == 0) blocked[name] = std::stoull(line.substr(8), nullptr, 16);
    }
  }
  return blocked;
}

TEST(Threads, HandleNoSignals) {
  const auto ends = run_processes(2, [](const Config& config) {
    Context context(config);
    context.barrier_async().wait();  // starts the thread that makes progress
    std::set<std::string> seen;
    for (const auto& [name, blocked] : blocked_signals()) {
      if (name.rfind("bluefog", 0) != 0) continue;
      seen.insert(name);
      for (int signal = 1; signal < SIGSYS; ++signal) {
        if (signal == SIGKILL || signal == SIGSTOP) continue;
        EXPECT_NE(blocked & std::uint64_t{1} << (signal - 1), 0U) << name << " takes signal " << signal;
      }
    }
    EXPECT_EQ(seen.count("bluefog"), 1U);
    EXPECT_EQ(seen.count("bluefog-watch"), 1U);
    context.barrier();
  });
  for (const RankEnd& end : ends) EXPECT_TRUE(end.is_clean()) << end.failures;
}

}  // namespace
}  // namespace bluefog::test
