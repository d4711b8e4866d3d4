#pragma once
/// @file descriptors.hpp  What this process holds open.

#include <filesystem>
#include <set>
#include <string>
#include <system_error>

namespace bluefog::test {

/// What a descriptor is, as the kernel names it, by number.
inline std::set<std::string> open_descriptors() {
  std::set<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const auto target = std::filesystem::read_symlink(entry.path(), error);
    if (!error) names.insert(entry.path().filename().string() + " " + target.string());
  }
  return names;
}

}  // namespace bluefog::test
