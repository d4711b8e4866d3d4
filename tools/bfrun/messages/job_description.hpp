#pragma once
/// @file job_description.hpp  What bfrun tells the agent of a host: which ranks to start, and how.
///
/// On the way it is a magic number, a length and JSON. It comes by the agent's order stream alone, for it
/// holds the job's key.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <bluefog/error.hpp>

#include "agent/environment.hpp"
#include "base/job_key.hpp"
#include "hosts.hpp"
#include "options.hpp"

namespace bfrun {

/// Tells this job from others; no secret.
[[nodiscard]] std::uint64_t random_job_id();

/// One host of the job, as the ranks of others reach it.
struct HostAddress {
  std::string name;
  std::string address;  ///< empty: nothing but this host's own ranks needs one
  int first_rank = 0;
  int ranks = 0;
};

struct JobDescription {
  std::uint64_t job_id = 0;
  bluefog::base::JobKey key;       ///< in no command line or environment
  int size = 0;                    ///< ranks of the job
  int first_rank = 0;              ///< of this host
  int ranks = 0;                   ///< of this host
  std::vector<HostAddress> hosts;  ///< all, in the order of their ranks
  std::vector<std::string> command;
  Environment environment;  ///< is laid over the host's own
  std::string directory;    ///< where ranks start; empty: where the agent is
  std::string master_address;
  int master_port = 0;
  std::string network_interface;  ///< that ranks of different hosts are to use; empty: any
  std::string timeline_filename;
  OnRankDeath on_rank_death = OnRankDeath::stop;
  BindTo bind_to = BindTo::none;
  bool verbose = false;
  bool tag_output = false;
  bool collect_output = false;  ///< what ranks write goes to bfrun by the agent, not straight to its terminal
  bool standard_input = false;  ///< rank 0 reads what the agent could
  int sign_of_life_ms = 0;      ///< bfrun expects one every so many milliseconds; 0: none
};

/// The bytes that read_job_description() reads.
/// @throws InvalidArgument  if it is larger than any agent would take
[[nodiscard]] std::string encode(const JobDescription& job);

/// What each host gets: the description of the job, with what is its own.
/// @param addresses    by host
/// @param master_port  a port of the first host
[[nodiscard]] std::vector<std::string> descriptions(JobDescription job, const std::vector<HostRanks>& hosts,
                                                    const std::vector<std::string>& addresses,
                                                    int master_port);

/// The stream ended before the description did: bfrun has died, or has given the job up.
class EndOfOrders : public bluefog::Error {
 public:
  EndOfOrders() : Error("bfrun has gone before it said what to do") {}
};

/// Reads no byte more than the description.
/// @throws EndOfOrders
/// @throws InvalidArgument  what comes is no description for this version of BlueFog
[[nodiscard]] JobDescription read_job_description(int fd);

// The two halves of read_job_description(), which must stand any bytes.
inline constexpr std::size_t description_header_bytes = 12;
inline constexpr std::size_t most_description_bytes = std::size_t{8} << 20;
/// The length of what follows the header. @throws InvalidArgument
[[nodiscard]] std::size_t parse_description_header(std::string_view header);
/// @throws InvalidArgument
[[nodiscard]] JobDescription parse_description(std::string_view json);

}  // namespace bfrun
