// Where a step's rounds average exactly, neighbour averaging trains like all-reduce.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>

#include <gtest/gtest.h>

#include "multi/learner.hpp"
#include "multi/methods.hpp"

namespace bluefog::test {
namespace {

struct Rounds {
  const char* name;
  SchedulePtr schedule;
};
std::ostream& operator<<(std::ostream& out, const Rounds& rounds) {
  return out << rounds.name;
}

class ExactRounds : public testing::TestWithParam<Rounds> {};

TEST_P(ExactRounds, TrainLikeAllReduce) {
  run_learners({GetParam().schedule},
               [period = GetParam().schedule->period()](const Learner<double>& learner) {
                 constexpr double step = .1;
                 auto descend = centralized_descent(learner, step);
                 VectorOf<double> by_allreduce{};
                 VectorOf<double> by_rounds{};
                 double largest = 0;
                 for (int k = 0; k < 300; ++k) {
                   by_allreduce = descend(by_allreduce, 0);
                   by_rounds = by_rounds - step * learner.gradient(by_rounds);
                   for (std::uint64_t round = 0; round < period; ++round)
                     by_rounds = learner.mix(by_rounds, round);
                   for (const double difference : by_rounds - by_allreduce)
                     largest = std::max(largest, std::abs(difference));
                 }
                 EXPECT_LT(largest, 1e-12);
               });
}

INSTANTIATE_TEST_SUITE_P(Sixteen, ExactRounds,
                         testing::Values(Rounds{"OnePeerExponential", one_peer_exponential(16)},
                                         Rounds{"OnePeerHypercube", one_peer_hypercube(16)}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace bluefog::test
