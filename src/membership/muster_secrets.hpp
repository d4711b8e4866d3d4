#pragma once
/// @file muster_secrets.hpp  What follows from a job's name and key.

#include <cstdint>
#include <string>

#include "base/job_key.hpp"
#include "membership/muster.hpp"

namespace bluefog::membership {

/// Of the leader's UNIX socket, "unix:@bluefog-...". Differs between jobs, restarts, users and keys.
[[nodiscard]] std::string leader_address(const MusterCall& call);
/// For handshakes between the leaders of hosts. Restarts are not told apart: torchrun counts them for each of
/// its agents.
[[nodiscard]] std::uint64_t job_number(const MusterCall& call);
[[nodiscard]] base::JobKey handshake_key(const MusterCall& call);
/// That of the ranks. @param job  random, as rank 0's host has drawn it
[[nodiscard]] base::JobKey rank_key(const MusterCall& call, std::uint64_t job);

}  // namespace bluefog::membership
