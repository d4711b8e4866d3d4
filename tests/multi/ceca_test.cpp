// CECA through the operations, as its header shows it.

#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "multi/job.hpp"

namespace bluefog::test {
namespace {

constexpr std::size_t elements = 33;

std::vector<double> values_of(int rank) {
  std::vector<double> values(elements);
  for (std::size_t i = 0; i < elements; ++i) values[i] = std::sin(1.0 + static_cast<double>(i) * (rank + 1));
  return values;
}

void expect_mean_after(Context& context, const CecaSchedule& ceca, std::uint64_t rounds) {
  std::vector<double> x = values_of(context.rank());
  std::vector<double> h = x;
  std::vector<double> received(elements);
  NeighborAllreduceOptions options;
  options.schedule = ceca.deliveries();
  for (options.round = 0; options.round < rounds; ++options.round) {
    const CecaRound round = ceca.round(options.round);
    const std::vector<double>& sent = round.sent == CecaState::X ? x : h;
    context.neighbor_allreduce(std::span<const double>(sent), std::span(received), options);
    round.update(std::span(x), std::span(h), std::span<const double>(received));
  }
  for (std::size_t i = 0; i < elements; ++i) {
    double mean = 0.0;
    for (int rank = 0; rank < context.size(); ++rank) {
      mean += values_of(rank)[i] / context.size();
    }
    EXPECT_NEAR(x[i], mean, 1e-14) << "element " << i;
  }
}

class CecaOverOperations : public ::testing::TestWithParam<Ranks> {};

TEST_P(CecaOverOperations, AllRanksHoldTheMeanAfterEveryCycle) {
  for (const int size : {1, 2, 3, 6, 11}) {
    SCOPED_TRACE(std::to_string(size) + " ranks");
    run_job(GetParam(), size, [](Context& context) {
      const CecaSchedule two_port = CecaSchedule::two_port(context.size());
      expect_mean_after(context, two_port, two_port.period());
      expect_mean_after(context, two_port, 3 * two_port.period());
      if (context.size() % 2 == 0) {
        const CecaSchedule one_port = CecaSchedule::one_port(context.size());
        expect_mean_after(context, one_port, one_port.period());
      }
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Jobs, CecaOverOperations, ::testing::ValuesIn(all_ranks),
                         ::testing::PrintToStringParamName());

}  // namespace
}  // namespace bluefog::test
