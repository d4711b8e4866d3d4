#include "base/memory.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <initializer_list>
#include <string_view>

#include "base/control_groups.hpp"

namespace bluefog::base {
namespace {

namespace fs = std::filesystem;

/// A group of version 1 without a limit shows the largest multiple of a page.
constexpr std::uint64_t least_unlimited = std::uint64_t{1} << 62;

std::optional<std::uint64_t> number_in(const fs::path& path) {
  std::ifstream file(path);
  std::uint64_t number = 0;
  if (!(file >> number)) return std::nullopt;  // also for "max"
  return number;
}

/// Sum of the named lines of a file of "name number" or "name: number kB".
std::uint64_t sum_of_lines(const fs::path& path, std::initializer_list<std::string_view> names) {
  std::ifstream file(path);
  std::uint64_t sum = 0;
  std::string line;
  while (std::getline(file, line)) {
    const std::size_t end = line.find_first_of(": ");
    if (end == std::string::npos) continue;
    const std::string_view name = std::string_view(line).substr(0, end);
    if (std::find(names.begin(), names.end(), name) == names.end()) continue;
    const std::size_t digits = std::min(line.find_first_of("0123456789", end), line.size());
    std::uint64_t number = 0;
    std::from_chars(line.data() + digits, line.data() + line.size(), number);
    sum += number;
  }
  return sum;
}

struct GroupFiles {
  const char* limit;
  const char* usage;
  std::initializer_list<std::string_view> page_cache;  ///< lines of memory.stat
};

std::optional<MemoryHeadroom> headroom_of(const ControlGroup& group, std::uint64_t swap) {
  static const GroupFiles version_1{
      "memory.limit_in_bytes", "memory.usage_in_bytes", {"total_inactive_file", "total_active_file"}};
  static const GroupFiles version_2{"memory.max", "memory.current", {"inactive_file", "active_file"}};
  const GroupFiles& files = group.version == 1 ? version_1 : version_2;
  const auto limit = number_in(group.directory / files.limit);
  const auto usage = number_in(group.directory / files.usage);
  if (!limit || !usage || *limit >= least_unlimited) return std::nullopt;
  const std::uint64_t cache = sum_of_lines(group.directory / "memory.stat", files.page_cache);
  const std::uint64_t held = *usage - std::min(*usage, cache);
  return MemoryHeadroom{*limit - std::min(*limit, held) + swap, "its control group of " + mebibytes(*limit)};
}

}  // namespace

std::optional<MemoryHeadroom> memory_headroom(const fs::path& root) {
  std::optional<MemoryHeadroom> least;
  const fs::path machine = root / "proc/meminfo";
  const std::uint64_t swap = sum_of_lines(machine, {"SwapFree"}) * 1024;
  if (const std::uint64_t available = sum_of_lines(machine, {"MemAvailable"}) * 1024; available > 0) {
    least = MemoryHeadroom{available + swap, "the machine"};
  }
  for (const ControlGroup& group : control_groups("memory", root)) {
    const auto headroom = headroom_of(group, swap);
    if (headroom && (!least || headroom->bytes < least->bytes)) least = headroom;
  }
  return least;
}

std::string mebibytes(std::size_t bytes) {
  constexpr std::size_t mebibyte = std::size_t{1} << 20;
  return std::to_string(bytes / mebibyte + (bytes % mebibyte > 0 ? 1 : 0)) + " MiB";
}

}  // namespace bluefog::base
