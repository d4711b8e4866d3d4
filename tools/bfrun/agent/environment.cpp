#include "agent/environment.hpp"

#include <algorithm>
#include <array>

#include <bluefog/error.hpp>

#include "addresses.hpp"
#include "base/cpu.hpp"
#include "messages/job_description.hpp"

namespace bfrun {
namespace {

constexpr std::array<std::string_view, 8> forwarded_prefixes{"BLUEFOG_", "OMP_",      "KMP_",   "GOMP_",
                                                             "MKL_",     "OPENBLAS_", "PYTHON", "LC_"};
constexpr std::array<std::string_view, 6> forwarded_names{
    "PATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "LANG", "TZ"};

constexpr std::array<const char*, 5> names_of_rank{"BLUEFOG_RANK", "BLUEFOG_LOCAL_RANK", "RANK", "LOCAL_RANK",
                                                   "PMI_RANK"};

bool is_set_by_bfrun(std::string_view name) {
  constexpr std::array<std::string_view, 9> others{
      "BLUEFOG_SIZE", "BLUEFOG_RANKS_OF_HOSTS", "BLUEFOG_LOCAL_SIZE", "WORLD_SIZE", "LOCAL_WORLD_SIZE",
      "PMI_SIZE",     "BLUEFOG_RENDEZVOUS",     "MASTER_ADDR",        "MASTER_PORT"};
  return std::find(others.begin(), others.end(), name) != others.end() ||
         std::find(names_of_rank.begin(), names_of_rank.end(), name) != names_of_rank.end();
}

int threads_per_rank(const JobDescription& job) {
  if (job.bind_to == BindTo::core) return 1;
  return std::max(1, bluefog::base::usable_cpus() / job.ranks);
}

std::string ranks_of_hosts(const JobDescription& job) {
  std::string text;
  for (const HostAddress& host : job.hosts) {
    text.append(text.empty() ? "" : ",").append(std::to_string(host.ranks));
  }
  return text;
}

// The one by which others are meant to reach this host comes first.
std::string listening_addresses(const JobDescription& job) {
  const auto own = std::find_if(job.hosts.begin(), job.hosts.end(),
                                [&](const HostAddress& host) { return host.first_rank == job.first_rank; });
  return addresses_to_listen_at(job.network_interface, own == job.hosts.end() ? "" : own->address);
}

}  // namespace

bool is_forwarded_by_default(std::string_view name) {
  const auto begins = [&](std::string_view prefix) { return name.substr(0, prefix.size()) == prefix; };
  return std::any_of(forwarded_prefixes.begin(), forwarded_prefixes.end(), begins) ||
         std::find(forwarded_names.begin(), forwarded_names.end(), name) != forwarded_names.end();
}

Environment explicit_variables(const Environment& user, const std::vector<std::string>& explicitly) {
  Environment chosen;
  for (const std::string& text : explicitly) {
    const std::size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    const auto own = user.find(name);
    if (name.empty()) throw bluefog::InvalidArgument("-x \"" + text + "\" names no variable");
    if (is_set_by_bfrun(name)) throw bluefog::InvalidArgument("-x " + name + ": bfrun sets this itself");
    if (equals != std::string::npos) {
      chosen[name] = text.substr(equals + 1);
    } else if (own != user.end()) {
      chosen[name] = own->second;
    } else {
      throw bluefog::InvalidArgument("-x " + name +
                                     ": there is no such variable; -x NAME=VALUE gives it one");
    }
  }
  return chosen;
}

Environment forwarded(const Environment& user, const std::vector<std::string>& explicitly) {
  Environment chosen = explicit_variables(user, explicitly);
  for (const auto& [name, value] : user) {
    if (is_forwarded_by_default(name) && !is_set_by_bfrun(name)) chosen.emplace(name, value);
  }
  return chosen;
}

Environment environment_of_host(const JobDescription& job, Environment host, const std::string& rendezvous) {
  Environment environment = std::move(host);
  for (const char* name : {"BLUEFOG_SIZE", "WORLD_SIZE", "PMI_SIZE"}) {
    environment[name] = std::to_string(job.size);
  }
  for (const char* name : {"BLUEFOG_LOCAL_SIZE", "LOCAL_WORLD_SIZE"}) {
    environment[name] = std::to_string(job.ranks);
  }
  environment["BLUEFOG_RENDEZVOUS"] = rendezvous;
  environment.erase("BLUEFOG_RANKS_OF_HOSTS");
  if (job.hosts.size() > 1) {
    environment["BLUEFOG_RANKS_OF_HOSTS"] = ranks_of_hosts(job);
    environment.emplace("BLUEFOG_LISTEN", listening_addresses(job));
  }
  environment["MASTER_ADDR"] = job.master_address;
  environment["MASTER_PORT"] = std::to_string(job.master_port);
  if (!job.network_interface.empty()) {  // for torch.distributed, as MASTER_ADDR is
    environment.emplace("GLOO_SOCKET_IFNAME", job.network_interface);
    environment.emplace("NCCL_SOCKET_IFNAME", job.network_interface);
  }
  // With several spinning OpenMP threads a rank, small loops take a hundred times as long once ranks share
  // CPUs.
  environment.emplace("OMP_NUM_THREADS", std::to_string(threads_per_rank(job)));
  environment.emplace("OMP_WAIT_POLICY", "passive");
  // Python would keep the lines of a rank back until they fill a block, for a pipe is no terminal.
  if (job.collect_output) environment.emplace("PYTHONUNBUFFERED", "1");
  if (job.verbose) environment["BLUEFOG_LOG_LEVEL"] = "debug";
  if (!job.timeline_filename.empty()) environment["BLUEFOG_TIMELINE"] = job.timeline_filename;
  return environment;
}

void set_rank(Environment& environment, int rank, int local_rank) {
  for (const char* name : names_of_rank) {
    const bool local = std::string_view(name).find("LOCAL") != std::string_view::npos;
    environment[name] = std::to_string(local ? local_rank : rank);
  }
}

}  // namespace bfrun
