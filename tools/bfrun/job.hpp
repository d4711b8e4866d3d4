#pragma once
/// @file job.hpp  A job over all of its hosts: what becomes of it when ranks end, hosts are lost, or the user
/// wants it to stop.

#include <chrono>
#include <memory>
#include <set>
#include <vector>

#include <sys/types.h>

#include "agent_link.hpp"
#include "hosts.hpp"
#include "messages/job_description.hpp"

namespace bfrun {

class Job {
 public:
  /// @param description    what is the same on all hosts
  /// @param agents         by host
  /// @param start_timeout  until every agent has answered
  /// @param bystanders     children that bfrun had before, which are left alone
  Job(JobDescription description, const std::vector<HostRanks>& hosts, std::vector<AgentProcess> agents,
      std::chrono::milliseconds start_timeout, std::set<pid_t> bystanders);
  ~Job();
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  /// Until every agent has ended; returns bfrun's exit code.
  int run();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bfrun
