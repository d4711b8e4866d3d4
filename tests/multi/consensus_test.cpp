// Averaging with neighbours alone: tens of ranks as threads, a thousand in the simulator.

#include "multi/consensus.hpp"

#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "multi/job.hpp"
#include "multi/matrix.hpp"

namespace bluefog::test {
namespace {

struct Setting {
  JobSize job;
  ConsensusCase consensus;
};
std::ostream& operator<<(std::ostream& out, const Setting& setting) {
  return out << setting.job << ' ' << setting.consensus;
}

/// Each rank of a thousand on a virtual host of its own, but for graphs with so many messages that the test
/// would take half a minute: one host for all.
Ranks carrier_of_a_thousand(const ConsensusCase& consensus) {
  return consensus.schedule->round(0).max_out_degree() > 4 ? Ranks::SimulatedHost : Ranks::SimulatedHosts;
}

std::vector<Setting> all_settings() {
  std::vector<JobSize> jobs{{Ranks::Threads, 16},
                            {Ranks::Threads, 25},
                            {Ranks::SimulatedHost, 16},
                            {Ranks::SimulatedPairs, 16},
                            {Ranks::SimulatedHosts, 25}};
  if (!is_reduced()) jobs.push_back({Ranks::Threads, 64});
  std::vector<Setting> settings;
  for (const JobSize& job : jobs) {
    for (const ConsensusCase& consensus : consensus_cases(job.size)) settings.push_back({job, consensus});
  }
  if (is_reduced()) return settings;
  for (const ConsensusCase& consensus : consensus_cases(1024))
    settings.push_back({{carrier_of_a_thousand(consensus), 1024}, consensus});
  return settings;
}

class Consensus : public testing::TestWithParam<Setting> {};

TEST_P(Consensus, ComesAsFastAsTheGraphAllows) {
  const auto& [job, consensus] = GetParam();
  ConsensusRun run(consensus);
  Config config = test_config();
  config.store = "plain";  // the trial for large outputs takes longer, and more memory, than these jobs
  run_job(
      job.ranks, job.size, [&run](Context& context) { run.be_rank(context); }, config);
  run.expect_marks();
}

INSTANTIATE_TEST_SUITE_P(Jobs, Consensus, testing::ValuesIn(all_settings()), [](const auto& info) {
  return info.param.consensus.name + "On" + testing::PrintToString(info.param.job);
});

}  // namespace
}  // namespace bluefog::test
