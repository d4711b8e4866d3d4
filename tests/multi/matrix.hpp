#pragma once
/// @file matrix.hpp  How much of the matrix (ranks, sizes) the suites go through in this build.

#include <cstdlib>
#include <string_view>
#include <vector>

#include "multi/job.hpp"
#include "sanitizers.hpp"

namespace bluefog::test {

/// Sanitized builds are 5 to 20 times slower, so they go through less. TEST_MATRIX=full or =reduced
/// overrides.
inline bool is_reduced() {
  const char* const wish = std::getenv("TEST_MATRIX");
  if (wish != nullptr && std::string_view(wish) == "full") return false;
  return is_sanitized || (wish != nullptr && std::string_view(wish) == "reduced");
}

struct JobSize {
  Ranks ranks;
  int size;
};

inline std::ostream& operator<<(std::ostream& out, JobSize job) {
  return out << job.size << job.ranks;
}

inline std::vector<JobSize> job_sizes() {
  if (is_launched()) return {{Ranks::Launched, Config::from_environment().size}};
  if (is_reduced())
    return {{Ranks::Threads, 2},        {Ranks::Threads, 3},         {Ranks::Threads, 5},
            {Ranks::Processes, 3},      {Ranks::SimulatedHost, 3},   {Ranks::SimulatedPairs, 3},
            {Ranks::SimulatedHosts, 3}, {Ranks::SimulatedUneven, 4}, {Ranks::TcpThreads, 3},
            {Ranks::TcpPairs, 4},       {Ranks::EncryptedThreads, 2}};
  std::vector<JobSize> jobs;
  for (const int size : {1, 2, 3, 4, 5, 7}) jobs.push_back({Ranks::Threads, size});
  for (const int size : {1, 2, 3, 5}) jobs.push_back({Ranks::Processes, size});
  for (const Ranks ranks : {Ranks::SimulatedHost, Ranks::SimulatedPairs, Ranks::SimulatedHosts}) {
    for (const int size : {2, 3, 5}) jobs.push_back({ranks, size});
  }
  for (const int size : {4, 6}) jobs.push_back({Ranks::SimulatedUneven, size});
  for (const JobSize job : {JobSize{Ranks::TcpThreads, 3},
                            {Ranks::TcpPairs, 4},
                            {Ranks::TcpProcesses, 2},
                            {Ranks::EncryptedThreads, 3},
                            {Ranks::EncryptedPairs, 4}}) {
    jobs.push_back(job);
  }
  return jobs;
}

}  // namespace bluefog::test
