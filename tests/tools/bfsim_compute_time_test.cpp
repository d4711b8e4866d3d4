// The noise that ranks of bfsim compute with: its mean and spread, and that it depends on (seed, rank, step)
// alone.

#include <cmath>

#include <gtest/gtest.h>

#include "compute_time.hpp"
#include "step_times.hpp"

namespace bfsim {
namespace {

constexpr int draws = 40'000;

struct Moments {
  double mean = 0;
  double deviation = 0;
};

Moments moments_of(const ComputeTime& compute) {
  double sum = 0;
  double squares = 0;
  for (int i = 0; i < draws; ++i) {
    const double x = seconds(compute.of(i % 200, static_cast<std::uint64_t>(i / 200)));
    sum += x;
    squares += x * x;
  }
  const double mean = sum / draws;
  return {mean, std::sqrt(squares / draws - mean * mean)};
}

/// Six standard errors of a mean of so many draws.
double tolerance(double deviation) {
  return 6 * deviation / std::sqrt(draws);
}

TEST(ComputeTime, IsTheMeanWithoutNoise) {
  const ComputeTime compute{.mean = 0.15};
  EXPECT_EQ(compute.of(0, 0), std::chrono::milliseconds(150));
  EXPECT_EQ(compute.of(7, 99), std::chrono::milliseconds(150));
}

TEST(ComputeTime, OfNormalJitter) {
  const Moments found = moments_of({.mean = 2, .jitter = 0.1});
  EXPECT_NEAR(found.mean, 2, tolerance(0.2));
  EXPECT_NEAR(found.deviation, 0.2, tolerance(0.2));
}

TEST(ComputeTime, OfAnExponentialTail) {
  const Moments found = moments_of({.mean = 1, .tail = 0.1});
  EXPECT_NEAR(found.mean, 1, tolerance(0.1));
  // The fourth moment of Exp(1) is 9, so its variance is known only to sqrt(8 / draws).
  EXPECT_NEAR(found.deviation, 0.1, 6 * 0.1 * std::sqrt(8.0 / draws) / 2);
}

TEST(ComputeTime, OfHiccupsKeepsTheMean) {
  const double p = 0.01;
  const double factor = 5;
  const Moments found = moments_of({.mean = 1, .hiccup = p, .hiccup_factor = factor});
  const double deviation = std::sqrt(p * (1 - p)) * (factor - 1) / (1 + p * (factor - 1));
  EXPECT_NEAR(found.mean, 1, tolerance(deviation));
  EXPECT_NEAR(found.deviation, deviation, 0.1 * deviation);
}

TEST(ComputeTime, OfTheSlowRank) {
  const ComputeTime compute{.mean = 1, .slow_rank = 3, .slow_factor = 2.5};
  EXPECT_EQ(compute.of(3, 0), std::chrono::milliseconds(2500));
  EXPECT_EQ(compute.of(2, 0), std::chrono::milliseconds(1000));
}

TEST(ComputeTime, IsNeverNegative) {
  const ComputeTime compute{.mean = 1, .jitter = 2};
  int zeros = 0;
  for (int rank = 0; rank < 1000; ++rank) {
    EXPECT_GE(compute.of(rank, 0).count(), 0);
    zeros += compute.of(rank, 0).count() == 0 ? 1 : 0;
  }
  EXPECT_GT(zeros, 200);  // N(1, 2) is below 0 with probability .31
}

TEST(ComputeTime, DependsOnSeedRankAndStepAlone) {
  const ComputeTime compute{.mean = 1, .jitter = 0.1, .seed = 5};
  ComputeTime other = compute;
  EXPECT_EQ(compute.of(3, 4), other.of(3, 4));
  EXPECT_NE(compute.of(3, 4), compute.of(4, 3));
  EXPECT_NE(compute.of(3, 4), compute.of(3, 5));
  other.seed = 6;
  EXPECT_NE(compute.of(3, 4), other.of(3, 4));
}

TEST(ComputeTime, ASettingThatIsZeroLeavesTheOthersNumbers) {
  const ComputeTime jitter{.mean = 1, .jitter = 0.1};
  ComputeTime both = jitter;
  both.tail = 0.1;
  const ComputeTime tail{.mean = 1, .tail = 0.1};
  for (int rank = 0; rank < 20; ++rank) {
    const double sum = seconds(jitter.of(rank, 1)) + seconds(tail.of(rank, 1)) - 1;
    EXPECT_NEAR(seconds(both.of(rank, 1)), sum, 3e-9);
  }
}

TEST(StepTimes, SummarizeRanksAndSteps) {
  using namespace std::chrono_literals;
  StepTimes times(2, 3);
  const std::chrono::seconds ends[3][2] = {{1s, 2s}, {4s, 4s}, {5s, 10s}};
  for (int step = 0; step < 3; ++step) {
    for (int rank = 0; rank < 2; ++rank) {
      times.set_compute(rank, step, 1s);
      times.set_end(rank, step, ends[step][rank]);
    }
  }
  const StepSummary all = times.summary(0);  // 1, 2, 3, 2, 1, 6
  EXPECT_DOUBLE_EQ(all.mean, 2.5);
  EXPECT_DOUBLE_EQ(all.p50, 2);
  EXPECT_DOUBLE_EQ(all.p99, 3);  // the largest but one of six: at .99 of the way from the first to the last
  EXPECT_DOUBLE_EQ(all.compute, 1);
  EXPECT_DOUBLE_EQ(all.efficiency, 0.4);
  const StepSummary last = times.summary(2);
  EXPECT_DOUBLE_EQ(last.mean, 3.5);
  EXPECT_DOUBLE_EQ(times.summary(0, 1).mean, 1.5);
}

}  // namespace
}  // namespace bfsim
