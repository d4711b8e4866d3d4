#pragma once
/// @file descendants.hpp  Finding and ending every process that descends from this one.
///
/// Works because the caller is a child subreaper, prctl(2): whoever loses its parent, also after setsid() or
/// a double fork, becomes the caller's child and is found again.

#include <chrono>
#include <set>
#include <vector>

#include <sys/types.h>

namespace bfrun {

/// All living descendants of this process, zombies left out.
[[nodiscard]] std::vector<pid_t> descendants();

/// Kills (SIGKILL) and reaps all descendants but those to `spare`, again and again until none is left.
/// Returns those that live after `patience`: in a system call that cannot be interrupted, or of another user.
std::vector<pid_t> end_descendants(const std::set<pid_t>& spare, std::chrono::milliseconds patience);

}  // namespace bfrun
