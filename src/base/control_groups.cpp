#include "base/control_groups.hpp"

#include <fstream>
#include <string>
#include <system_error>

namespace bluefog::base {
namespace {

namespace fs = std::filesystem;

bool names(std::string_view controllers, std::string_view controller) {
  while (!controllers.empty()) {
    const std::size_t comma = controllers.find(',');
    if (controllers.substr(0, comma) == controller) return true;
    controllers.remove_prefix(comma == std::string_view::npos ? controllers.size() : comma + 1);
  }
  return false;
}

void add_with_parents(std::vector<ControlGroup>& groups, int version, const fs::path& mount,
                      const std::string& group) {
  fs::path relative = fs::path(group).relative_path();
  while (true) {
    groups.push_back({version, mount / relative});
    if (relative.empty()) return;
    relative = relative.parent_path();
  }
}

}  // namespace

std::vector<ControlGroup> control_groups(std::string_view controller, const fs::path& root) {
  std::vector<ControlGroup> groups;
  std::ifstream file(root / "proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {  // hierarchy:controllers:path
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string group = line.substr(second + 1);
    const fs::path top = root / "sys/fs/cgroup";
    if (controllers.empty()) {
      add_with_parents(groups, 2, top, group);
    } else if (names(controllers, controller)) {
      std::error_code error;
      const bool is_mounted_together = fs::exists(top / controllers, error);
      add_with_parents(groups, 1, top / (is_mounted_together ? controllers : std::string(controller)), group);
    }
  }
  return groups;
}

}  // namespace bluefog::base
