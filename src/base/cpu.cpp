#include "base/cpu.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include <sched.h>
#include <unistd.h>

#include "base/control_groups.hpp"

namespace bluefog::base {
namespace {

namespace fs = std::filesystem;

std::optional<double> quota_v2(const fs::path& directory) {
  std::ifstream file(directory / "cpu.max");
  double quota = 0;
  double period = 0;
  if (!(file >> quota >> period) || quota <= 0 || period <= 0) return std::nullopt;  // "max 100000"
  return quota / period;
}

std::optional<double> quota_v1(const fs::path& directory) {
  double quota = 0;
  double period = 0;
  std::ifstream quota_file(directory / "cpu.cfs_quota_us");
  std::ifstream period_file(directory / "cpu.cfs_period_us");
  if (!(quota_file >> quota) || !(period_file >> period) || quota <= 0 || period <= 0) return std::nullopt;
  return quota / period;
}

}  // namespace

std::vector<int> affinity_cpus() {
  // The kernel refuses a mask smaller than its own, so grow it until the call works.
  for (int capacity = 1024; capacity <= (1 << 20); capacity *= 2) {
    std::vector<cpu_set_t> mask(static_cast<std::size_t>(capacity) / 8 / sizeof(cpu_set_t));
    const std::size_t bytes = mask.size() * sizeof(cpu_set_t);
    if (sched_getaffinity(0, bytes, mask.data()) != 0) continue;
    std::vector<int> cpus;
    for (int cpu = 0; cpu < capacity; ++cpu) {
      if (CPU_ISSET_S(static_cast<std::size_t>(cpu), bytes, mask.data())) cpus.push_back(cpu);
    }
    if (!cpus.empty()) return cpus;
  }
  std::vector<int> cpus(static_cast<std::size_t>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN))));
  for (std::size_t cpu = 0; cpu < cpus.size(); ++cpu) cpus[cpu] = static_cast<int>(cpu);
  return cpus;
}

std::optional<int> cgroup_cpus(const fs::path& root) {
  std::optional<double> least;
  for (const ControlGroup& group : control_groups("cpu", root)) {
    const auto quota = group.version == 1 ? quota_v1(group.directory) : quota_v2(group.directory);
    if (quota) least = std::min(least.value_or(*quota), *quota);
  }
  if (!least) return std::nullopt;
  return static_cast<int>(std::clamp(std::floor(*least), 1.0, 1e6));
}

int usable_cpus() {
  const int by_affinity = static_cast<int>(affinity_cpus().size());
  return std::min(by_affinity, cgroup_cpus().value_or(by_affinity));
}

std::vector<int> parse_cpu_list(std::string_view text) {
  std::vector<int> cpus;
  const char* at = text.data();
  const char* end = at + text.size();
  while (at < end) {
    int first = 0;
    auto [stop, error] = std::from_chars(at, end, first);
    if (error != std::errc()) break;
    int last = first;
    if (stop < end && *stop == '-') {
      const auto range = std::from_chars(stop + 1, end, last);
      if (range.ec != std::errc()) break;
      stop = range.ptr;
    }
    for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
    at = stop < end && *stop == ',' ? stop + 1 : end;
  }
  return cpus;
}

std::vector<std::vector<int>> numa_nodes(const std::vector<int>& cpus, const fs::path& root) {
  std::map<int, std::vector<int>> by_number;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root / "sys/devices/system/node", error)) {
    const std::string name = entry.path().filename();
    int number = 0;
    if (name.compare(0, 4, "node") != 0) continue;
    const auto [stop, failure] = std::from_chars(name.data() + 4, name.data() + name.size(), number);
    if (failure != std::errc() || stop != name.data() + name.size()) continue;
    std::string list;
    std::ifstream file(entry.path() / "cpulist");
    std::getline(file, list);
    std::vector<int> usable;
    for (const int cpu : parse_cpu_list(list)) {
      if (std::find(cpus.begin(), cpus.end(), cpu) != cpus.end()) usable.push_back(cpu);
    }
    if (!usable.empty()) by_number.emplace(number, std::move(usable));
  }
  std::vector<std::vector<int>> nodes;
  nodes.reserve(by_number.size());
  for (auto& [number, usable] : by_number) nodes.push_back(std::move(usable));
  if (nodes.empty()) nodes.push_back(cpus);
  return nodes;
}

}  // namespace bluefog::base
