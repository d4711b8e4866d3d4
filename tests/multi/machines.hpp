#pragma once
/// @file machines.hpp  Jobs of several machines, however these and their ranks are connected.

#include <algorithm>
#include <numeric>
#include <ostream>
#include <string>
#include <vector>

#include "multi/job.hpp"
#include "multi/matrix.hpp"

namespace bluefog::test {

/// Ranks in machines of these sizes.
struct MachineJob {
  std::string name;
  Ranks ranks;
  std::vector<int> machines;
  std::string transport = "auto";  ///< of ranks that are not simulated

  [[nodiscard]] int size() const { return std::accumulate(machines.begin(), machines.end(), 0); }
  [[nodiscard]] int count() const { return static_cast<int>(machines.size()); }
  [[nodiscard]] int first_rank(int machine) const {
    return std::accumulate(machines.begin(), machines.begin() + machine, 0);
  }
  [[nodiscard]] int machine_of(int rank) const {
    int machine = 0;
    while (rank >= first_rank(machine + 1)) ++machine;
    return machine;
  }
  [[nodiscard]] bool is_even() const {
    return std::all_of(machines.begin(), machines.end(), [this](int ranks) { return ranks == machines[0]; });
  }
  [[nodiscard]] Config config() const {
    Config config = test_config();
    config.transport = transport;
    if (is_even()) config.nodes_per_machine = machines.front();
    if (!is_even()) config.ranks_of_hosts = machines;
    return config;
  }
};

inline std::ostream& operator<<(std::ostream& out, const MachineJob& job) {
  out << job.name;
  for (const int ranks : job.machines) out << "_" << ranks;
  return out;
}

inline void run_job(const MachineJob& job, const Body& body) {
  run_job(job.ranks, job.size(), body, job.config());
}

/// The hosts of a job that bfrun has started, or the machines that they are to be.
inline std::vector<int> launched_machines() {
  const Config config = Config::from_environment();
  if (!config.nodes_per_machine)
    return config.ranks_of_hosts.empty() ? std::vector<int>{config.size} : config.ranks_of_hosts;
  return std::vector<int>(static_cast<std::size_t>(config.size / *config.nodes_per_machine),
                          *config.nodes_per_machine);
}

/// Machines of two ranks on every transport, unequal ones, and the smallest.
inline std::vector<MachineJob> machine_jobs() {
  if (is_launched()) return {{"Hosts", Ranks::Launched, launched_machines()}};
  std::vector<MachineJob> jobs{
      {"Shm", Ranks::Threads, {2, 2}, "shm"},        {"Auto", Ranks::Threads, {2, 2}},
      {"Tcp", Ranks::Threads, {2, 2}, "tcp"},        {"SimPairs", Ranks::SimulatedPairs, {2, 2}},
      {"SimHost", Ranks::SimulatedHost, {2, 2}},     {"SimHosts", Ranks::SimulatedHosts, {2, 2}},
      {"SimUneven", Ranks::SimulatedUneven, {1, 2}}, {"Auto", Ranks::Threads, {2, 1}},
  };
  if (is_reduced()) return jobs;
  const std::vector<MachineJob> more{
      {"Shm", Ranks::Threads, {1}, "shm"},
      {"Shm", Ranks::Threads, {3}, "shm"},
      {"Shm", Ranks::Threads, {2, 2, 2, 2}, "shm"},
      {"Shm", Ranks::Processes, {2, 2}, "shm"},
      {"Processes", Ranks::Processes, {2, 2}},
      {"Auto", Ranks::Threads, {1, 1, 1}},
      {"Auto", Ranks::Threads, {1, 3}},
      {"Auto", Ranks::Threads, {3, 2}},
      {"Tcp", Ranks::Threads, {3, 2}, "tcp"},
      {"Tcp", Ranks::Threads, {3}, "tcp"},
      {"SimUneven", Ranks::SimulatedUneven, {1, 2, 3}},
      {"SimHosts", Ranks::SimulatedHosts, {3, 3}},
      {"SimHosts", Ranks::SimulatedHosts, {1, 1, 1, 1}},
  };
  jobs.insert(jobs.end(), more.begin(), more.end());
  return jobs;
}

}  // namespace bluefog::test
