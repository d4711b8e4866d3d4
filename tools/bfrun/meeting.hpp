#pragma once
/// @file meeting.hpp  Lets the ranks of all hosts meet: who waits in init(), when all do, and who is lost.

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "hosts.hpp"
#include "membership/gathering.hpp"
#include "messages/roster_messages.hpp"

namespace bfrun {

class Meeting {
 public:
  /// @param hosts  of the job, in the order of their ranks
  /// @param send   orders for the agent of the i-th
  Meeting(std::vector<HostRanks> hosts, std::function<void(std::size_t host, const std::string& order)> send);

  // What the agent of a host says. That a rank of another host waits or leaves, is not for it to say.
  void on_waiting(const HostRanks& host, const RankWaits& waiting);
  void on_left(const HostRanks& host, const RankLeft& left);
  /// The agent has ended, and none of its ranks waits any longer.
  void on_end(const HostRanks& host) { gathering_.leave_all(host.first_rank, host.ranks); }
  /// Tells the ranks of all other hosts; those of its own see it themselves.
  void tell_loss(const HostRanks& host, int rank, const std::string& why) const;

 private:
  [[nodiscard]] bluefog::membership::MissingRanks missing_ranks(const HostRanks& asking) const;
  void send_to_all(const std::string& order) const;

  std::vector<HostRanks> hosts_;
  std::function<void(std::size_t, const std::string&)> send_;
  bluefog::membership::Gathering gathering_;
};

}  // namespace bfrun
