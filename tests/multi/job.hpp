#pragma once
/// @file job.hpp  Runs one body on every rank of a job, whatever carries the ranks.

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include <bluefog/bluefog.hpp>
#include <bluefog/simulation.hpp>

namespace bluefog::test {

/// What the ranks of a job are. Another transport joins the suites by an entry of its own here.
enum class Ranks {
  Threads,
  Processes,
  SimulatedHost,    ///< all on one virtual host
  SimulatedPairs,   ///< two on each virtual host
  SimulatedHosts,   ///< each on a virtual host of its own
  SimulatedUneven,  ///< one on the first virtual host, two on the second, three on the third, ...
  TcpThreads,       ///< connected by TCP
  TcpPairs,  ///< threads of which two each share memory, if their number is even; TCP between the pairs
  TcpProcesses,
  EncryptedThreads,  ///< connected by TCP, all of it encrypted
  EncryptedPairs,
  Launched,  ///< processes that bfrun has started: each runs the tests in the same order, and is one rank
};

inline constexpr Ranks all_ranks[] = {Ranks::Threads,        Ranks::Processes,       Ranks::SimulatedHost,
                                      Ranks::SimulatedPairs, Ranks::SimulatedHosts,  Ranks::TcpThreads,
                                      Ranks::TcpProcesses,   Ranks::EncryptedThreads};

std::ostream& operator<<(std::ostream& out, Ranks ranks);

/// Whether bfrun has started this process as a rank of a job.
[[nodiscard]] bool is_launched();

/// Settings that do not let a test hang for long.
[[nodiscard]] Config test_config();

[[nodiscard]] constexpr bool is_simulated(Ranks ranks) {
  return ranks == Ranks::SimulatedHost || ranks == Ranks::SimulatedPairs || ranks == Ranks::SimulatedHosts ||
         ranks == Ranks::SimulatedUneven;
}
[[nodiscard]] constexpr bool are_processes(Ranks ranks) {
  return ranks == Ranks::Processes || ranks == Ranks::TcpProcesses;
}
/// Whether no two ranks share memory.
[[nodiscard]] constexpr bool are_all_far(Ranks ranks) {
  return ranks == Ranks::SimulatedHosts || ranks == Ranks::TcpThreads || ranks == Ranks::TcpProcesses ||
         ranks == Ranks::EncryptedThreads;
}
/// The same settings with the transport of those ranks.
[[nodiscard]] Config with_transport_of(Ranks ranks, int size, Config config);

/// The virtual network of a simulated job.
[[nodiscard]] SimulationOptions simulated(Ranks ranks, int size, const Config& config = test_config());

/// How the process of a rank ended.
struct RankEnd {
  std::string failures;  ///< failed expectations and exceptions, one a line
  int exit_code = 0;
  int signal = 0;
  [[nodiscard]] bool is_clean() const { return failures.empty() && exit_code == 0 && signal == 0; }
};

using Body = std::function<void(Context&)>;
using ProcessBody = std::function<void(const Config&)>;

/// Forks `size` ranks, hosts their rendezvous, and waits for their ends. The caller's process must have one
/// thread only. A body that throws or fails an expectation shows in the end of its rank.
[[nodiscard]] std::vector<RankEnd> run_processes(int size, const ProcessBody& body,
                                                 const Config& config = test_config());

/// Every rank's body must end without an exception and without a failed expectation.
void run_job(Ranks ranks, int size, const Body& body, const Config& config = test_config());

/// For an operation of the ranks `group` alone.
[[nodiscard]] OperationOptions among(Group group);

/// Makes a call. @returns whether this rank was told of a mistake meanwhile
[[nodiscard]] bool is_told_in(const std::function<void()>& call);

}  // namespace bluefog::test
