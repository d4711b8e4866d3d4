#pragma once
/// @file times.hpp  How long bfrun and its agents wait, and for what.

#include <chrono>

namespace bfrun {

// A job ends within a second of its first death: the ranks' time to end by themselves, then that of helpers
// which clean up when their rank is gone (Python's resource tracker, for instance), and some for the kernel.
inline constexpr std::chrono::milliseconds grace_after_death{500};
inline constexpr std::chrono::milliseconds grace_after_order{600};
inline constexpr std::chrono::milliseconds linger_of_stopped_job{300};
inline constexpr std::chrono::milliseconds linger_of_finished_job{500};
// Only a system call that no signal ends makes it last so long.
inline constexpr std::chrono::milliseconds patience_with_killed_processes{30'000};

// Agents end everything at once when told so, unless they are stuck themselves.
inline constexpr std::chrono::milliseconds patience_with_orders{2000};
// What another host needs to stop, and a slow network on top.
inline constexpr std::chrono::milliseconds patience_with_stopping_hosts{10'000};
// After Ctrl-C, output that nobody reads is given up.
inline constexpr std::chrono::milliseconds patience_with_reader{300};
// Somebody else may hold an agent's stream open when its process has ended.
inline constexpr std::chrono::milliseconds patience_with_open_stream{5000};

// Agents of other hosts give a sign of life every so many heartbeats (BLUEFOG_HEARTBEAT), and are given up
// after so many that did not come. ssh notices a cut line earlier (default_ssh_command); this is for frozen
// hosts, and for other commands.
inline constexpr int heartbeats_per_sign_of_life = 2;
inline constexpr int silent_ticks_until_lost = 15;

}  // namespace bfrun
