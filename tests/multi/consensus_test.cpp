// Averaging with neighbours alone, by tens of ranks as threads and by a thousand simulated ones.

#include "multi/consensus.hpp"

#include <cstdlib>
#include <string>
#include <string_view>
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
      Ranks::Threads, ranks,
      [&](Context& context) {
        std::vector<double> squares = run_consensus(context, start, consensus);
        context.allreduce(std::span<const double>(squares), std::span<double>(squares));
        expect_marks(squares, start, consensus);
      },
      config);
}

class SimulatedConsensus : public testing::TestWithParam<ConsensusCase> {};

TEST_P(SimulatedConsensus, ComesAsFastAsTheGraphAllows) {
  const ConsensusCase& consensus = GetParam();
  const int ranks = consensus.schedule->size();
  const ConsensusStart start(ranks);
  std::vector<double> squares(consensus.marks.size());
  run_job(Ranks::SimulatedHosts, ranks, [&](Context& context) {
    const std::vector<double> own = run_consensus(context, start, consensus);
    for (std::size_t i = 0; i < own.size(); ++i) squares[i] += own[i] / ranks;
  });
  expect_marks(squares, start, consensus);
}

/// A thousand rounds on a ring take a minute, so the suite goes through its first hundred.
std::vector<ConsensusCase> thousand_ranks() {
  std::vector<ConsensusCase> cases = consensus_cases(is_reduced() ? 64 : 1024);
  const char* const wish = std::getenv("TEST_MATRIX");
  if (wish != nullptr && std::string_view(wish) == "full") return cases;
  for (ConsensusCase& consensus : cases) {
    std::erase_if(consensus.marks, [](const ConsensusMark& mark) { return mark.rounds > 100; });
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Ranks, SimulatedConsensus, testing::ValuesIn(thousand_ranks()),
                         [](const auto& info) {
                           return info.param.name + std::to_string(info.param.schedule->size());
                         });

INSTANTIATE_TEST_SUITE_P(Threads, Consensus, testing::ValuesIn(all_cases()), [](const auto& info) {
  return info.param.name + std::to_string(info.param.schedule->size());
});

}  // namespace
}  // namespace bluefog::test
