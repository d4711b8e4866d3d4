#pragma once
/// @file muster.hpp  How the ranks of a job that no bfrun started learn who shares a host with them.
///
/// The first rank of a host that asks leads it, on a thread of its own (host_leader.hpp). It listens at an
/// abstract UNIX socket whose name follows from job, user and key: who comes there shares a host with it. The
/// leader of rank 0's host also listens for those of other hosts, by TCP, and gathers the job. Once all ranks
/// have come, each leader serves a rendezvous (rendezvous.hpp), at which they meet as under bfrun.

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/fork_guard.hpp"
#include "base/job_key.hpp"
#include "transport/tcp/endpoint.hpp"
#include "transport/tcp/socket.hpp"

namespace bluefog::membership {

/// Where the leaders of other hosts reach that of rank 0's.
struct MeetingPoint {
  std::string host;  ///< a name, or an address
  transport::tcp::PortRange ports;
};
/// "host:port", "host:first-last", "[::1]:port". @throws InvalidArgument, naming BLUEFOG_RENDEZVOUS
[[nodiscard]] MeetingPoint parse_meeting_point(const std::string& text);

/// What a rank knows before it has met anybody.
struct MusterCall {
  int rank = 0;
  int size = 1;
  std::string job_id;
  int restart_count = 0;
  std::optional<MeetingPoint> point;  ///< none: all ranks are of this host
  base::JobKey key;                   ///< none: likewise
  transport::tcp::SocketOptions sockets;
  std::chrono::milliseconds timeout = std::chrono::seconds(120);
  std::string host;  ///< tells hosts apart that are only pretended, in tests
};

/// What it knows then.
struct Placement {
  std::string rendezvous;           ///< address of this host's
  std::vector<int> ranks_of_hosts;  ///< by the order of ranks
  std::string listen;               ///< addresses at which other hosts may reach this one
};

class HostLeader;

/// The hosts that this process leads; they outlive the ranks that ask, for ranks may meet again.
class HostLeaders {
 public:
  HostLeaders();
  /// Ends when all that ranks are to be told has been sent, or soon after.
  ~HostLeaders();
  HostLeaders(const HostLeaders&) = delete;
  HostLeaders& operator=(const HostLeaders&) = delete;
  /// Lasts until the process ends.
  [[nodiscard]] static HostLeaders& of_this_process();

  /// Leads the host unless another process does. @throws std::system_error
  void lead(const MusterCall& call, const std::string& address);

 private:
  void forget_those_of_the_parent();

  base::HomeProcess home_;
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<HostLeader>> leaders_;  ///< by address
};

/// Waits until all ranks of the job have come.
/// @throws InvalidArgument  this one has no place in the job
/// @throws Timeout          names those that are missing
/// @throws Error            this host has no room for a socket
[[nodiscard]] Placement muster(const MusterCall& call, HostLeaders& leaders = HostLeaders::of_this_process());

}  // namespace bluefog::membership
