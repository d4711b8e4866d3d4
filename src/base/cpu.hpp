#pragma once
/// @file cpu.hpp  The CPUs that this process may use.

#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

namespace bluefog::base {

/// Numbers of the CPUs in this thread's affinity mask, ascending; never empty.
[[nodiscard]] std::vector<int> affinity_cpus();

/// How many whole CPUs the control groups of this process grant (version 1 and 2; at least 1); nothing
/// without a quota.
/// @param root  where /proc and /sys lie
[[nodiscard]] std::optional<int> cgroup_cpus(const std::filesystem::path& root = "/");

/// The lesser of both: how many threads can run at a time.
[[nodiscard]] int usable_cpus();

/// CPUs of a list as the kernel writes them, "0-3,8"; what cannot be read is left out.
[[nodiscard]] std::vector<int> parse_cpu_list(std::string_view text);

/// For each NUMA node that has some of `cpus`: those CPUs. One node with all of them where the kernel tells
/// nothing.
[[nodiscard]] std::vector<std::vector<int>> numa_nodes(const std::vector<int>& cpus,
                                                       const std::filesystem::path& root = "/");

}  // namespace bluefog::base
