#include "check/check.hpp"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <signal.h>

#include "check/plan.hpp"
#include "check/roll_call.hpp"
#include "exit_codes.hpp"
#include "launcher.hpp"
#include "report.hpp"

namespace bfrun {
namespace {

using namespace std::chrono_literals;

// Shorter than those of a job, which may be started while hosts still boot.
constexpr std::chrono::milliseconds patience_with_bfrun = 30s;
constexpr const char* patience_with_peers = "BLUEFOG_START_TIMEOUT=10";

std::vector<HostRanks> hosts_of(const Options& options) {
  const int slots = std::accumulate(options.hosts.begin(), options.hosts.end(), 0,
                                    [](int sum, const HostSlots& host) { return sum + host.slots; });
  return place_ranks(options.hosts, options.num_proc > 0 ? options.num_proc : slots, options.oversubscribe);
}

// `python train.py --data images`: train.py and images.
std::vector<std::string> files_in(const std::vector<std::string>& command) {
  std::vector<std::string> files;
  std::error_code error;
  std::copy_if(command.begin(), command.end(), std::back_inserter(files), [&](const std::string& word) {
    return &word != &command.front() && std::filesystem::exists(word, error);
  });
  return files;
}

std::vector<HostRanks> those_that_answer(const Options& options, const std::vector<HostRanks>& hosts,
                                         std::chrono::milliseconds patience) {
  std::vector<AgentProcess> agents = start_agents(options, hosts);
  ::signal(SIGPIPE, SIG_IGN);
  const std::vector<std::string> problems = call_roll(hosts, std::move(agents), patience);
  ::signal(SIGPIPE, SIG_DFL);
  std::vector<HostRanks> answering;
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    if (problems[i].empty()) {
      answering.push_back(hosts[i]);
    } else {
      report(hosts[i].name + ": " + problems[i]);
    }
  }
  return answering;
}

CheckPlan plan_without_hosts(const std::vector<std::string>& command) {
  return {{}, std::filesystem::current_path(), files_in(command), command};
}

// One rank on each host, which is bfrun itself.
Options job_of_check(const Options& options, const std::vector<HostRanks>& hosts, CheckPlan plan) {
  Options job = options;
  job.hosts.clear();
  for (const HostRanks& host : hosts) {
    plan.hosts.push_back({host.name, host.ranks});
    job.hosts.push_back({host.name, 1, {}});
  }
  job.num_proc = static_cast<int>(hosts.size());
  job.oversubscribe = false;
  job.on_rank_death = OnRankDeath::tell;
  job.bind_to = BindTo::none;
  job.tag_output = false;
  job.timeline_filename.clear();
  job.in_this_directory = false;
  job.command = {"/proc/self/exe", "--check-rank", encode(plan)};
  return job;
}

}  // namespace

int check_hosts(const Options& options) {
  const bluefog::base::Environment environment = bluefog::base::current_environment();
  const bool has_patience = bluefog::base::find(environment, "BLUEFOG_START_TIMEOUT") != nullptr;
  const std::chrono::milliseconds patience =
      has_patience ? read_settings(environment).start_timeout : patience_with_bfrun;
  const std::vector<HostRanks> hosts = hosts_of(options);
  CheckPlan plan = plan_without_hosts(options.command);
  const std::vector<HostRanks> answering = those_that_answer(options, hosts, patience);
  int exit_code = answering.size() == hosts.size() ? 0 : exit_code_of_failures;
  if (!answering.empty()) {
    Options job = job_of_check(options, answering, std::move(plan));
    // First, for a later -x of the user's goes before it.
    if (!has_patience) job.forwarded_variables.insert(job.forwarded_variables.begin(), patience_with_peers);
    exit_code = std::max(exit_code, launch(job));
  }
  report(exit_code == 0 ? "the check has found nothing in the way of a job"
                        : "the check has found problems; the lines above say which");
  return exit_code;
}

}  // namespace bfrun
