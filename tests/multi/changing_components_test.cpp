// Calls in which ranks meet whose components change from one call to the next: who met the last time is
// remembered.

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/error.hpp>

#include "multi/job.hpp"

namespace bluefog::test {
namespace {

constexpr std::size_t count = 50'000;

/// The mean of this rank's number and those of `others`, all of which meet.
void expect_mean_with(Context& context, const std::vector<int>& others) {
  NeighborAllreduceOptions options;
  options.meet = true;
  const double share = 1.0 / static_cast<double>(others.size() + 1);
  options.self_weight = share;
  options.src_weights.emplace();
  options.dst_weights.emplace();
  double mean = share * context.rank();
  for (const int rank : others) {
    options.src_weights->emplace(rank, share);
    options.dst_weights->emplace(rank, 1.0);
    mean += share * rank;
  }
  std::vector<double> x(count, context.rank());
  context.neighbor_allreduce(std::span<const double>(x), std::span(x), options);
  EXPECT_EQ(x, std::vector<double>(count, mean));
}

class ChangingComponents : public testing::TestWithParam<Ranks> {
 protected:
  /// Ranks 1 and 2 meet by way of rank 0. Then rank 2 goes another way, while 0 and 1 meet again, for whom it
  /// is none of their business; rank 1 has the same weights as before.
  static void part(const std::function<void(Context&)>& other_way) {
    run_job(GetParam(), 3, [&](Context& context) {
      const int rank = context.rank();
      expect_mean_with(context, rank == 0 ? std::vector{1, 2} : std::vector{0});
      if (rank == 2) return other_way(context);
      context.barrier(pair());
      expect_mean_with(context, {1 - rank});
      expect_mean_with(context, {1 - rank});
    });
  }
  static OperationOptions pair() {
    OperationOptions options;
    options.group = std::vector{0, 1};
    return options;
  }
};

TEST_P(ChangingComponents, ARankThatIsThroughWithTheCallIsNotWaitedFor) {
  run_job(GetParam(), 3, [](Context& context) {
    const int rank = context.rank();
    expect_mean_with(context, rank == 0 ? std::vector{1, 2} : std::vector{0});
    if (rank != 2) context.barrier();
    for (int call = 0; call < 3; ++call) {
      expect_mean_with(context, rank == 2 ? std::vector<int>{} : std::vector{1 - rank});
    }
    if (rank == 2) context.barrier();
  });
}

TEST_P(ChangingComponents, ARankThatHasLeftIsNotMissed) {
  part([](Context&) {});
}

TEST_P(ChangingComponents, ARankThatFailsByItselfDisturbsNobody) {
  part([](Context& context) {
    std::vector<double> x(count);
    NeighborAllreduceOptions wrong;
    wrong.meet = true;
    wrong.self_weight = 0.5;
    wrong.src_weights = Weights{{2, 0.5}};
    wrong.dst_weights = Weights{};
    for (int call = 0; call < 2; ++call) {
      EXPECT_THROW(context.neighbor_allreduce(std::span<const double>(x), std::span(x), wrong),
                   InvalidArgument);
    }
  });
}

TEST_P(ChangingComponents, AnEdgeThatOnlyOneEndKnowsIsAMismatchThoughTheOtherIsAhead) {
  run_job(GetParam(), 3, [](Context& context) {
    const int rank = context.rank();
    expect_mean_with(context, rank == 0 ? std::vector{1, 2} : std::vector{0});
    if (rank == 2) {
      expect_mean_with(context, {});
      int told = 0;
      for (int i = 0; i < 2; ++i) {
        try {
          context.barrier();
        } catch (const Mismatch&) {
          ++told;
        }
      }
      EXPECT_GT(told, 0);
      return;
    }
    context.barrier();
    EXPECT_THROW(expect_mean_with(context, rank == 0 ? std::vector{1, 2} : std::vector{0}), Mismatch);
    context.barrier();
  });
}

INSTANTIATE_TEST_SUITE_P(Jobs, ChangingComponents, testing::ValuesIn(all_ranks),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace bluefog::test
