#pragma once
/// @file job_gatherer.hpp  Gathers the ranks of a job without bfrun: first who is of which host, then, for
/// each generation, who waits. Does no input or output.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "membership/gathering.hpp"
#include "membership/host_messages.hpp"

namespace bluefog::membership {

class JobGatherer {
 public:
  /// @param job   a random number
  /// @param send  an order to the leader of a host; must not call back
  JobGatherer(int size, std::uint64_t job, std::function<void(int host, const HostOrder& order)> send);

  /// A leader has come. @param name  for messages
  [[nodiscard]] int add_host(const std::string& name);
  void take(int host, const HostReport& report);
  /// The leader is gone, and with it all that its ranks have said.
  void end_host(int host);
  [[nodiscard]] bool is_placed() const noexcept { return !host_of_rank_.empty(); }

 private:
  struct Host {
    std::string name;
    bool is_introduced = false;
    int first_rank = 0;  ///< once all are placed
    int ranks = 0;       ///< 0: it has none of the job
  };
  void on(int host, const Introduction& report);
  void on(int host, const RankCame& report);
  void on(int host, const RankWent& report);
  void on(int host, const WhoIsMissing& report);
  void on(int host, const RankWaits& report);
  void on(int host, const RankLeft& report);
  void place_all();
  /// @returns what is wrong, empty if nothing is
  [[nodiscard]] std::string place_hosts();
  [[nodiscard]] bool has(int host, int rank) const;
  [[nodiscard]] MissingRanks missing() const;

  int size_;
  std::uint64_t job_;
  std::function<void(int, const HostOrder&)> send_;
  std::map<int, Host> hosts_;  ///< by the order in which they came
  int next_host_ = 0;
  std::vector<int> seen_on_;         ///< by rank: the host on which it was seen; -1: none yet
  std::vector<int> host_of_rank_;    ///< the same when all have been placed
  std::vector<int> ranks_of_hosts_;  ///< by the order of ranks
  Gathering gathering_;
};

}  // namespace bluefog::membership
