#include "agent/descendants.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/unique_fd.hpp"

namespace bfrun {
namespace {

struct Process {
  pid_t pid = 0;
  pid_t parent = 0;
  bool zombie = false;
};

// /proc/<pid>/stat: "pid (name) state ppid ..."; the name may hold spaces and parentheses.
std::optional<Process> read_process(const char* directory) {
  Process process;
  const char* end = directory + std::strlen(directory);
  if (std::from_chars(directory, end, process.pid).ptr != end) return std::nullopt;
  const std::string path = "/proc/" + std::string(directory) + "/stat";
  const bluefog::base::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 512> buffer{};
  const ssize_t length = file.valid() ? ::read(file.get(), buffer.data(), buffer.size()) : -1;
  if (length <= 0) return std::nullopt;
  const std::string_view text(buffer.data(), static_cast<std::size_t>(length));
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos || name_end + 4 >= text.size()) return std::nullopt;
  const char state = text[name_end + 2];
  process.zombie = state == 'Z' || state == 'X';
  std::from_chars(text.data() + name_end + 4, text.data() + text.size(), process.parent);
  return process;
}

std::multimap<pid_t, Process> children_by_parent() {
  std::multimap<pid_t, Process> children;
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
  while (const dirent* entry = proc ? ::readdir(proc.get()) : nullptr) {
    if (const auto process = read_process(entry->d_name)) children.emplace(process->parent, *process);
  }
  return children;
}

void reap_all() {
  while (::waitpid(-1, nullptr, WNOHANG) > 0) {
  }
}

}  // namespace

std::vector<pid_t> descendants() {
  const std::multimap<pid_t, Process> children = children_by_parent();
  std::vector<pid_t> found;
  std::vector<pid_t> open{::getpid()};
  while (!open.empty()) {
    const auto [first, last] = children.equal_range(open.back());
    open.pop_back();
    for (auto child = first; child != last; ++child) {
      open.push_back(child->second.pid);
      if (!child->second.zombie) found.push_back(child->second.pid);
    }
  }
  return found;
}

std::vector<pid_t> end_descendants(const std::set<pid_t>& spare, std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (true) {
    reap_all();
    std::vector<pid_t> left = descendants();
    left.erase(std::remove_if(left.begin(), left.end(), [&](pid_t pid) { return spare.count(pid) > 0; }),
               left.end());
    if (left.empty() || std::chrono::steady_clock::now() >= deadline) return left;
    for (const pid_t pid : left) ::kill(pid, SIGKILL);
    ::poll(nullptr, 0, 2);
  }
}

}  // namespace bfrun
