#include "base/cpu.hpp"

#include <filesystem>
#include <string>
#include <thread>

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include "unit/fake_root.hpp"

namespace bluefog::base {
namespace {

class CpuFiles : public test::FakeRoot {};

TEST_F(CpuFiles, NoControlGroupsMeanNoQuota) {
  EXPECT_EQ(cgroup_cpus(root_), std::nullopt);
}

TEST_F(CpuFiles, Version2TakesTheSmallestQuotaUpTheTree) {
  write("proc/self/cgroup", "0::/outer/inner\n");
  write("sys/fs/cgroup/outer/inner/cpu.max", "max 100000\n");
  EXPECT_EQ(cgroup_cpus(root_), std::nullopt);
  write("sys/fs/cgroup/outer/cpu.max", "350000 100000\n");
  EXPECT_EQ(cgroup_cpus(root_), 3);
  write("sys/fs/cgroup/outer/inner/cpu.max", "50000 100000\n");
  EXPECT_EQ(cgroup_cpus(root_), 1);
}

TEST_F(CpuFiles, Version1InsideAContainerWhosePathIsNotMounted) {
  write("proc/self/cgroup", "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n");
  write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "200000\n");
  write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cgroup_cpus(root_), 2);
  write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(cgroup_cpus(root_), std::nullopt);
}

TEST_F(CpuFiles, NumaNodesKeepOnlyUsableCpus) {
  EXPECT_EQ(numa_nodes({4, 5}, root_), (std::vector<std::vector<int>>{{4, 5}}));
  write("sys/devices/system/node/node0/cpulist", "0-1,4\n");
  write("sys/devices/system/node/node1/cpulist", "2-3,5\n");
  write("sys/devices/system/node/node2/cpulist", "\n");
  write("sys/devices/system/node/possible", "0-2\n");
  EXPECT_EQ(numa_nodes({1, 2, 4, 5}, root_), (std::vector<std::vector<int>>{{1, 4}, {2, 5}}));
}

TEST(Cpu, ParsesTheKernelsLists) {
  EXPECT_EQ(parse_cpu_list("0-2,7"), (std::vector<int>{0, 1, 2, 7}));
  EXPECT_TRUE(parse_cpu_list("").empty());
}

TEST(Cpu, UsableCpusFollowTheAffinityMask) {
  int inside = 0;
  std::vector<int> mask;
  std::thread([&] {  // a thread of its own, for the mask stays changed
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<std::size_t>(affinity_cpus().back()), &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    inside = usable_cpus();
    mask = affinity_cpus();
  })
      .join();
  EXPECT_EQ(inside, 1);
  EXPECT_EQ(mask.size(), 1U);
  EXPECT_GE(usable_cpus(), 1);
}

}  // namespace
}  // namespace bluefog::base
