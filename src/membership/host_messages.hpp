#pragma once
/// @file host_messages.hpp  What the hosts of a job without bfrun say to each other over TCP.
///
/// On each host one rank leads (host_leader.hpp). Leaders report to the one of rank 0's host, where the job
/// is gathered (job_gatherer.hpp), and get orders from there. Numbers are little-endian; nothing is believed.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "membership/rendezvous.hpp"

namespace bluefog::membership {

// --- reports of a leader

/// The first one.
struct Introduction {
  std::string version;
};
/// A rank of this host wants to know who shares it; or it does no longer.
struct RankCame {
  int rank = -1;
};
struct RankWent {
  int rank = -1;
};
/// Some rank has waited too long.
struct WhoIsMissing {};
/// As to an Upstream.
struct RankWaits {
  Seat seat;
};
struct RankLeft {
  int rank = -1;
  std::uint64_t ticket = 0;
};
using HostReport = std::variant<Introduction, RankCame, RankWent, WhoIsMissing, RankWaits, RankLeft>;

// --- orders to a leader

/// All ranks have come: which are of which host.
struct Placed {
  std::uint64_t job = 0;  ///< random, differs from job to job
  std::vector<int> ranks_of_hosts;
  int host = 0;  ///< the leader's own, among these

  [[nodiscard]] int first_rank() const;
  [[nodiscard]] int ranks() const { return ranks_of_hosts[static_cast<std::size_t>(host)]; }
};
/// A rank has no place in the job.
struct TurnedAway {
  int rank = -1;          ///< -1: all of the host
  bool for_good = false;  ///< also those that come later, and wherever else they ask
  std::string why;
};
/// The answer to WhoIsMissing.
struct StillMissing {
  MissingRanks missing;
};
/// The answer to RankLeft.
struct LeaveConfirmed {
  int rank = -1;
  std::uint64_t ticket = 0;
  MissingRanks missing;
};
using HostOrder = std::variant<Placed, TurnedAway, StillMissing, LeaveConfirmed, Generation>;

inline constexpr std::size_t longest_host_text = 1000;
/// Of a job of so many ranks.
[[nodiscard]] constexpr std::size_t longest_host_message(int size) {
  return 4 * longest_host_text + 256 * static_cast<std::size_t>(size);
}

[[nodiscard]] std::vector<std::byte> encode(const HostReport& report);
[[nodiscard]] std::vector<std::byte> encode(const HostOrder& order);
/// @returns nothing for what no leader of a job of that size says
[[nodiscard]] std::optional<HostReport> decode_report(std::span<const std::byte> bytes, int size);
[[nodiscard]] std::optional<HostOrder> decode_order(std::span<const std::byte> bytes, int size);

}  // namespace bluefog::membership
