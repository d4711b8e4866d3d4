#pragma once
/// @file quiet_fork.hpp  Forks a process that has several threads, also under AddressSanitizer.

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include <unistd.h>

#include "sanitizers.hpp"

namespace bluefog::test {

/// Whether every thread of this process but the caller's waits for something.
inline bool do_other_threads_sleep() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return std::all_of(begin(tasks), end(tasks), [](const std::filesystem::directory_entry& task) {
    if (task.path().filename() == std::to_string(::gettid())) return true;
    std::string line;
    std::getline(std::ifstream(task.path() / "stat"), line);
    const std::size_t end_of_name = line.rfind(')');
    return end_of_name == std::string::npos || line[end_of_name + 2] == 'S';
  });
}

/// fork() of a process with threads. What AddressSanitizer has locked for one of them at that instant is
/// never unlocked in the child, unless it is a recent one; so it is given an instant at which they sleep.
inline pid_t quiet_fork() {
  using namespace std::chrono_literals;
  if constexpr (is_address_sanitized) {
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (!do_other_threads_sleep() && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(1ms);
    }
  }
  return ::fork();
}

}  // namespace bluefog::test
