#pragma once
/// @file hosts.hpp  Where the ranks of a job run: -H, host files, and which host gets which ranks.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bfrun {

/// A host as the user wrote it down.
struct HostSlots {
  std::string name;              ///< as ssh takes it; may hold a user's name, user@host
  int slots = 1;                 ///< ranks that it is meant for
  std::optional<int> max_slots;  ///< ranks that even --oversubscribe may not exceed
};

/// A host of the job, with consecutive ranks.
struct HostRanks {
  std::string name;
  bool local = false;  ///< this machine: no ssh
  int first_rank = 0;
  int ranks = 0;
};

/// "host1:4,host2:4,host3": so many slots, 1 if it is not said.
/// @throws InvalidArgument  naming the part that cannot be read
[[nodiscard]] std::vector<HostSlots> parse_host_list(std::string_view text);

/// Lines "host", "host:4", "host slots=4" or "host slots=4 max_slots=8"; empty lines; comments after #.
/// @param file  for messages
/// @throws InvalidArgument  naming file and line
[[nodiscard]] std::vector<HostSlots> parse_hostfile(std::string_view text, const std::string& file);

/// @throws InvalidArgument  also when the file cannot be read
[[nodiscard]] std::vector<HostSlots> read_hostfile(const std::string& file);

/// Whether a name means this machine: localhost, a loopback address, or its own host name.
[[nodiscard]] bool is_this_machine(std::string_view name);

/// Numbers the ranks host by host in the order of the list, filling each host's slots before the next gets
/// any. A host that is listed twice, this machine also by different names, is one host with the slots of
/// both.
/// @throws InvalidArgument  if there are more ranks than slots, and no oversubscription (or max_slots
/// forbids)
[[nodiscard]] std::vector<HostRanks> place_ranks(const std::vector<HostSlots>& hosts, int num_proc,
                                                 bool oversubscribe);

/// "rank 4" or "ranks 4-7".
[[nodiscard]] std::string describe_ranks(const HostRanks& host);

}  // namespace bfrun
