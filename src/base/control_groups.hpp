#pragma once
/// @file control_groups.hpp  The control groups that bound this process, cgroups(7).

#include <filesystem>
#include <string_view>
#include <vector>

namespace bluefog::base {

struct ControlGroup {
  int version;                      ///< 1 or 2
  std::filesystem::path directory;  ///< where its limits can be read; may not exist
};

/// The groups whose limits hold for this process, each from its own up to the top that is mounted here.
/// Inside a container the path that /proc tells may not exist below the mount, whose top then is the own
/// group.
/// @param controller  of version 1, "cpu" or "memory"; groups of version 2 are always among them
/// @param root        where /proc and /sys lie
[[nodiscard]] std::vector<ControlGroup> control_groups(std::string_view controller,
                                                       const std::filesystem::path& root);

}  // namespace bluefog::base
