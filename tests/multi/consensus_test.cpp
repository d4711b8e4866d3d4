// Averaging with neighbours alone, by tens of ranks as threads.

#include "multi/consensus.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "multi/job.hpp"
#include "multi/matrix.hpp"

namespace bluefog::test {
namespace {

std::vector<ConsensusCase> all_cases() {
  std::vector<ConsensusCase> cases;
  for (const int ranks : is_reduced() ? std::vector{16, 25} : std::vector{16, 25, 64}) {
    for (const ConsensusCase& consensus : consensus_cases(ranks)) cases.push_back(consensus);
  }
  return cases;
}

class Consensus : public testing::TestWithParam<ConsensusCase> {};

TEST_P(Consensus, ComesAsFastAsTheGraphAllows) {
  const ConsensusCase& consensus = GetParam();
  const int ranks = consensus.schedule->size();
  const ConsensusStart start(ranks);
  Config config = test_config();
  config.store = "plain";  // the trial for large outputs takes longer, and more memory, than these jobs
  run_job(
      Ranks::Threads, ranks, [&](Context& context) { expect_consensus(context, start, consensus); }, config);
}

INSTANTIATE_TEST_SUITE_P(Threads, Consensus, testing::ValuesIn(all_cases()), [](const auto& info) {
  return info.param.name + std::to_string(info.param.schedule->size());
});

}  // namespace
}  // namespace bluefog::test
