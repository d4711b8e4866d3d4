// What a rank holds while it is in a job: the memory of others, descriptors, threads.

#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace bluefog::test
