// How much memory may still be taken: of the machine, and of control groups.

#include "base/memory.hpp"

#include <gtest/gtest.h>

#include "unit/fake_root.hpp"

namespace bluefog::base {
namespace {

constexpr std::size_t kibibyte = 1024;
constexpr std::size_t mebibyte = 1024 * kibibyte;

class MemoryFiles : public test::FakeRoot {
 protected:
  void SetUp() override {
    FakeRoot::SetUp();
    write("proc/meminfo", "MemTotal: 9000 kB\nMemAvailable:   8000 kB\nSwapTotal: 0 kB\nSwapFree:  100 kB\n");
  }
  /// Of group `path` of version 2.
  void limit(const std::string& path, const std::string& most, std::size_t usage, std::size_t cache) {
    write("sys/fs/cgroup/" + path + "/memory.max", most + "\n");
    write("sys/fs/cgroup/" + path + "/memory.current", std::to_string(usage) + "\n");
    write("sys/fs/cgroup/" + path + "/memory.stat",
          "anon 77\nfile 999999999\ninactive_file " + std::to_string(cache) + "\nactive_file 1000\n");
  }
  std::size_t headroom() const { return memory_headroom(root_).value().bytes; }
};

TEST_F(MemoryFiles, WithoutControlGroupsTheMachineLimits) {
  EXPECT_EQ(headroom(), 8100 * kibibyte);
  EXPECT_EQ(memory_headroom(root_)->owner, "the machine");
}

TEST_F(MemoryFiles, NothingIsKnownWhereTheKernelTellsNothing) {
  std::filesystem::remove(root_ / "proc/meminfo");
  EXPECT_FALSE(memory_headroom(root_));
}

TEST_F(MemoryFiles, Version2TakesTheSmallestUpTheTree) {
  write("proc/self/cgroup", "0::/outer/inner\n");
  limit("outer/inner", "max", 5 * mebibyte, 0);
  EXPECT_EQ(headroom(), 8100 * kibibyte);
  limit("outer", std::to_string(3 * mebibyte), 2 * mebibyte, 0);
  EXPECT_EQ(headroom(), mebibyte + 1000 + 100 * kibibyte);
  EXPECT_EQ(memory_headroom(root_)->owner, "its control group of 3 MiB");
}

TEST_F(MemoryFiles, PageCacheThatCanBeDroppedIsRoom) {
  write("proc/self/cgroup", "0::/full\n");
  limit("full", std::to_string(3 * mebibyte), 3 * mebibyte, 2 * mebibyte);
  EXPECT_EQ(headroom(), 2 * mebibyte + 1000 + 100 * kibibyte);
}

TEST_F(MemoryFiles, AGroupBeyondItsLimitHasOnlySwap) {
  write("proc/self/cgroup", "0::/full\n");
  limit("full", std::to_string(mebibyte), 3 * mebibyte, 0);
  EXPECT_EQ(headroom(), 100 * kibibyte);
}

TEST_F(MemoryFiles, Version1InsideAContainerWhosePathIsNotMounted) {
  write("proc/self/cgroup", "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/\n");
  const std::string group = "sys/fs/cgroup/memory/memory.";
  write(group + "limit_in_bytes", "9223372036854771712\n");
  write(group + "usage_in_bytes", "5000000\n");
  EXPECT_EQ(headroom(), 8100 * kibibyte);
  write(group + "limit_in_bytes", std::to_string(7 * mebibyte) + "\n");
  write(group + "usage_in_bytes", std::to_string(6 * mebibyte) + "\n");
  write(group + "stat", "inactive_file 1\ntotal_inactive_file 3000\ntotal_active_file 4000\n");
  EXPECT_EQ(headroom(), mebibyte + 7000 + 100 * kibibyte);
}

TEST(Memory, OfThisMachineIsKnown) {
  const auto headroom = memory_headroom();
  ASSERT_TRUE(headroom);
  EXPECT_GT(headroom->bytes, 0U);
}

TEST(Memory, MebibytesAreRoundedUp) {
  EXPECT_EQ(mebibytes(0), "0 MiB");
  EXPECT_EQ(mebibytes(1), "1 MiB");
  EXPECT_EQ(mebibytes(5 * mebibyte), "5 MiB");
}

}  // namespace
}  // namespace bluefog::base
