#include "launcher.hpp"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "agent/descendants.hpp"
#include "agent/environment.hpp"
#include "agent_link.hpp"
#include "hosts.hpp"
#include "job.hpp"
#include "messages/job_description.hpp"
#include "times.hpp"

namespace bfrun {
namespace {

std::vector<HostRanks> hosts_of(const Options& options) {
  if (options.hosts.empty()) return {{"localhost", true, 0, options.num_proc}};
  return place_ranks(options.hosts, options.num_proc, options.oversubscribe);
}

// A rank has a session of its own, so the kernel would let it read from the terminal even while bfrun is in
// background; the shell would lose its input.
bool may_read_standard_input() {
  return ::tcgetpgrp(STDIN_FILENO) == ::getpgrp() || ::isatty(STDIN_FILENO) == 0;
}

JobDescription describe(const Options& options, const std::vector<HostRanks>& hosts,
                        const Environment& environment, const bluefog::Config& settings) {
  const bool only_here = hosts.size() == 1 && hosts.front().local;
  std::vector<std::string> variables = options.forwarded_variables;
  if (options.encrypt) variables.emplace_back("BLUEFOG_ENCRYPT=1");
  JobDescription job;
  job.key = bluefog::base::JobKey::random();
  job.job_id = random_job_id();
  job.size = options.num_proc;
  job.command = options.command;
  job.environment =
      only_here ? explicit_variables(environment, variables) : forwarded(environment, variables);
  if (!only_here && options.in_this_directory) job.directory = std::filesystem::current_path();
  job.network_interface = options.network_interface;
  job.timeline_filename = options.timeline_filename;
  job.on_rank_death = options.on_rank_death;
  job.bind_to = options.bind_to;
  job.verbose = options.verbose;
  job.tag_output = options.tag_output;
  job.collect_output = options.tag_output || !only_here;
  job.standard_input = hosts.front().local && may_read_standard_input();
  if (!only_here)
    job.sign_of_life_ms = static_cast<int>(std::min<std::int64_t>(
        settings.heartbeat.count() * heartbeats_per_sign_of_life, std::numeric_limits<int>::max()));
  return job;
}

}  // namespace

bluefog::Config read_settings(Environment environment) {
  for (const char* name : {"BLUEFOG_RANKS_OF_HOSTS", "BLUEFOG_RENDEZVOUS"}) environment.erase(name);
  // Also where another launcher has started bfrun itself.
  environment["BLUEFOG_RANK"] = "0";
  environment["BLUEFOG_SIZE"] = "1";
  return bluefog::base::read_config(environment);
}

std::vector<AgentProcess> start_agents(const Options& options, const std::vector<HostRanks>& hosts) {
  std::vector<AgentProcess> agents(hosts.size());
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    if (hosts[i].local) agents[i] = start_local_agent();
  }
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    if (!hosts[i].local) agents[i] = start_remote_agent(options.remote, hosts[i].name);
  }
  return agents;
}

int launch(const Options& options) {
  const Environment environment = bluefog::base::current_environment();
  const bluefog::Config settings = read_settings(environment);
  const std::vector<HostRanks> hosts = hosts_of(options);
  const JobDescription description = describe(options, hosts, environment, settings);

  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  // A shell that replaces itself by bfrun leaves it children that are none of the job, `bfrun > >(tee log)`.
  const std::vector<pid_t> before = descendants();
  const std::set<pid_t> bystanders(before.begin(), before.end());
  int exit_code = 0;
  try {
    std::vector<AgentProcess> agents = start_agents(options, hosts);
    ::signal(SIGPIPE, SIG_IGN);
    exit_code = Job(description, hosts, std::move(agents), settings.start_timeout, bystanders).run();
  } catch (...) {
    end_descendants(bystanders, patience_with_killed_processes);
    throw;
  }
  end_descendants(bystanders, patience_with_killed_processes);
  return exit_code;
}

}  // namespace bfrun
