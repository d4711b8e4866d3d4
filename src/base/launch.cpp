#include "base/launch.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include <bluefog/error.hpp>

namespace bluefog::base {
namespace {

/// Names of variables; empty where there is none.
struct Launcher {
  const char* name;
  const char* mark;  ///< is set where it has started ranks
  const char* rank;
  const char* size;
  std::array<const char*, 2> job_ids;  ///< which all ranks of a job have in common
  const char* local_size;              ///< ranks of this host
};

// The inner one first: srun and mpirun start torchrun, not the other way. Slurm's rank is that of the batch
// script in programs that the script starts by hand; those have no step.
constexpr std::array<Launcher, 5> launchers{{
    {"torchrun", "TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE", {"TORCHELASTIC_RUN_ID", ""}, ""},
    {"mpirun",
     "OMPI_COMM_WORLD_SIZE",
     "OMPI_COMM_WORLD_RANK",
     "OMPI_COMM_WORLD_SIZE",
     {"PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid"},
     "OMPI_COMM_WORLD_LOCAL_SIZE"},
    {"mpiexec", "PMI_SIZE", "PMI_RANK", "PMI_SIZE", {"PMIX_NAMESPACE", "PMI_JOBID"}, "MPI_LOCALNRANKS"},
    {"the environment", "RANK", "RANK", "WORLD_SIZE", {"", ""}, ""},
    {"srun", "SLURM_STEP_ID", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", {"PMIX_NAMESPACE", "PMI_JOBID"}, ""},
}};
/// As srun, for who says where to meet, and says it for this job alone.
constexpr Launcher slurm{"srun", "SLURM_PROCID", "SLURM_PROCID", "SLURM_NTASKS", {"", ""}, ""};

bool has_started(const Launcher& launcher, const Environment& environment) {
  return find(environment, launcher.mark) != nullptr && find(environment, launcher.rank) != nullptr &&
         find(environment, launcher.size) != nullptr;
}

std::string value_of(const Environment& environment, std::string_view name) {
  const std::string* const value = find(environment, name);
  return value == nullptr ? std::string() : *value;
}

std::string job_id_of(const Launcher& launcher, const Environment& environment) {
  for (const char* name : launcher.job_ids) {
    if (const std::string* id = find(environment, name)) return std::string(launcher.name) + " " + *id;
  }
  return {};
}

std::string behind_master(const Environment& environment) {
  const std::string* const address = find(environment, "MASTER_ADDR");
  const std::string* const port_text = find(environment, "MASTER_PORT");
  if (address == nullptr || port_text == nullptr) return {};
  int port = 0;
  const char* const end = port_text->data() + port_text->size();
  const auto [stop, error] = std::from_chars(port_text->data(), end, port);
  if (error != std::errc() || stop != end || port < 1 || port > 65535) {
    throw InvalidArgument("MASTER_PORT is \"" + *port_text + "\", but must be a port, from 1 to 65535");
  }
  const int first = port + ports_behind_master <= 65535 ? port + 1 : port - ports_behind_master;
  const bool is_v6 = address->find(':') != std::string::npos && address->front() != '[';
  return (is_v6 ? "[" + *address + "]" : *address) + ":" + std::to_string(first) + "-" +
         std::to_string(first + ports_behind_master - 1);
}

bool is_of_several_hosts(const Launcher& launcher, const Environment& environment) {
  const std::string* const here = find(environment, launcher.local_size);
  if (here != nullptr) return *here != *find(environment, launcher.size);
  const std::string* const nodes = find(environment, "SLURM_STEP_NUM_NODES");
  return std::string_view(launcher.name) == "srun" && nodes != nullptr && *nodes != "1";
}

[[noreturn]] void refuse_without_place(const Launcher& launcher, const Environment& environment) {
  throw InvalidArgument(
      std::string(launcher.name) + " has started " + value_of(environment, launcher.size) +
      " ranks on several hosts, but nothing says where they meet: set "
      "BLUEFOG_RENDEZVOUS=host:port, with the host of rank 0, and BLUEFOG_JOB_KEY_FILE, for "
      "all of them (docs/launchers.md)");
}

/// The place where ranks of a job meet that `launcher` has started.
void use(const Launcher& launcher, const Environment& environment, Launch& launch) {
  launch.rank = launcher.rank;
  launch.size = launcher.size;
  if (std::string_view(launcher.name) == "torchrun") launch.restart_count = "TORCHELASTIC_RESTART_COUNT";
  if (launch.job_id.empty()) launch.job_id = job_id_of(launcher, environment);
}

Launch placed(const Environment& environment) {
  Launch launch;
  launch.rendezvous = value_of(environment, "BLUEFOG_RENDEZVOUS");
  launch.job_id = value_of(environment, "BLUEFOG_JOB_ID");
  return launch;
}

}  // namespace

Launch launch_of(const Environment& environment) {
  Launch launch = placed(environment);
  const bool has_address = !launch.rendezvous.empty();
  const bool is_named =
      find(environment, "BLUEFOG_RANK") != nullptr || find(environment, "BLUEFOG_SIZE") != nullptr;
  if (is_named) {
    if (!has_address && value_of(environment, launch.size) != "1") {
      launch.rendezvous = behind_master(environment);
    }
    return launch;
  }
  for (const Launcher& launcher : launchers) {
    if (!has_started(launcher, environment)) continue;
    Launch candidate = launch;
    use(launcher, environment, candidate);
    if (value_of(environment, launcher.size) == "1" && !has_address) {
      candidate.job_id.clear();
      return candidate;
    }
    if (!has_address) candidate.rendezvous = behind_master(environment);
    if (candidate.rendezvous.empty() && !candidate.job_id.empty() &&
        is_of_several_hosts(launcher, environment)) {
      refuse_without_place(launcher, environment);
    }
    if (candidate.has_place()) return candidate;
  }
  if (has_address && has_started(slurm, environment)) use(slurm, environment, launch);
  return launch;
}

std::vector<std::string> warnings_about_other_launchers(const Environment& environment) {
  const Launch launch = launch_of(environment);
  if (launch.has_place() || find(environment, "BLUEFOG_RANK") != nullptr ||
      find(environment, "BLUEFOG_SIZE") != nullptr) {
    return {};
  }
  for (const Launcher& launcher : launchers) {
    // Those start ranks without a word of where they meet, also where no job is meant.
    const bool is_meant =
        std::string_view(launcher.mark) != "RANK" && std::string_view(launcher.name) != "srun";
    const std::string size = value_of(environment, launcher.size);
    if (!is_meant || !has_started(launcher, environment) || size == "1") continue;
    return {std::string("started by ") + launcher.name + " (" + launcher.size + " is " + size +
            "), which does not say where its ranks meet: this process is a job of one; set "
            "BLUEFOG_RENDEZVOUS=host:port, or start with bfrun"};
  }
  return {};
}

}  // namespace bluefog::base
