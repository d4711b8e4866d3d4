// Calls in which ranks meet whose components change from one call to the next: who met the last time is
// remembered.

#include <algorithm>
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

/// A meeting with `others`, for their mean and this rank's.
NeighborAllreduceOptions mean_with(const std::vector<int>& others) {
  NeighborAllreduceOptions options;
  options.meet = true;
  const double share = 1.0 / static_cast<double>(others.size() + 1);
  options.self_weight = share;
  options.src_weights.emplace();
  options.dst_weights.emplace();
  for (const int rank : others) {
    options.src_weights->emplace(rank, share);
    options.dst_weights->emplace(rank, 1.0);
  }
  return options;
}

void expect_mean_with(Context& context, const std::vector<int>& others) {
  const double share = 1.0 / static_cast<double>(others.size() + 1);
  double mean = share * context.rank();
  for (const int rank : others) mean += share * rank;
  std::vector<double> x(count, context.rank());
  context.neighbor_allreduce(std::span<const double>(x), std::span(x), mean_with(others));
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
      context.barrier(among({0, 1}));
      expect_mean_with(context, {1 - rank});
      expect_mean_with(context, {1 - rank});
    });
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
      bool is_told = false;
      for (int i = 0; i < 2; ++i) is_told |= is_told_in([&] { context.barrier(); });
      EXPECT_TRUE(is_told);
      return;
    }
    context.barrier();
    EXPECT_THROW(expect_mean_with(context, rank == 0 ? std::vector{1, 2} : std::vector{0}), Mismatch);
    context.barrier();
  });
}

TEST_P(ChangingComponents, ARankThatIsLateIsNotWaitedFor) {
  run_job(GetParam(), 3, [](Context& context) {
    const int rank = context.rank();
    expect_mean_with(context, rank == 0 ? std::vector{1, 2} : std::vector{0});
    if (rank == 2) context.barrier(among({1, 2}));
    expect_mean_with(context, rank == 2 ? std::vector<int>{} : std::vector{1 - rank});
    if (rank == 1) context.barrier(among({1, 2}));
  });
}

/// Ranks 0, 3, 2 and 1 meet as a chain, and 2 leaves. Rank 1 still wants it, which is no matter to 0 and 3.
TEST_P(ChangingComponents, ARankThatGivesUpDisturbsNobodyWhoHasNothingToDoWithIt) {
  run_job(GetParam(), 4, [](Context& context) {
    const int rank = context.rank();
    const std::vector<std::vector<int>> chain{{3}, {2}, {1, 3}, {0, 2}};
    expect_mean_with(context, chain[static_cast<std::size_t>(rank)]);
    if (rank == 2) return;
    if (rank == 3) context.barrier(among({1, 3}));
    if (rank == 1) {
      EXPECT_THROW(expect_mean_with(context, {2}), PeerLost);
    } else {
      expect_mean_with(context, {3 - rank});
    }
    if (rank == 1) context.barrier(among({1, 3}));
  });
}

/// A chain falls into two pairs. Who cancels its call leaves the meeting of its own pair, or is too late; the
/// other pair has met before. On one host a meeting happens for both, or for none.
TEST_P(ChangingComponents, WhoCancelsLeavesItsOwnMeetingOnly) {
  const Ranks ranks = GetParam();
  const bool share_memory =
      ranks == Ranks::Threads || ranks == Ranks::Processes || ranks == Ranks::SimulatedHost;
  run_job(ranks, 4, [share_memory](Context& context) {
    const int rank = context.rank();
    const std::vector<std::vector<int>> chain{{2}, {3}, {0, 3}, {1, 2}};
    expect_mean_with(context, chain[static_cast<std::size_t>(rank)]);
    if (rank % 2 == 0) {
      expect_mean_with(context, {2 - rank});
      if (rank == 0) context.barrier(among({0, 1}));
      return;
    }
    if (rank == 1) context.barrier(among({0, 1}));
    auto x = context.make_shared<double>(count);  // a mixing of shared memory that has begun is completed
    std::ranges::fill(x.span(), rank);
    Handle handle = context.neighbor_allreduce_async(x.span(), x.span(), mean_with({4 - rank}));
    if (rank == 1) handle.cancel();
    double met = 1;
    try {
      handle.wait();
      EXPECT_TRUE(std::ranges::all_of(x.span(), [](double value) { return value == 2.0; }));
    } catch (const Error&) {
      met = 0;
    }
    AllreduceOptions pair;
    pair.group = std::vector{1, 3};
    double of_both = -1;
    context.allreduce(std::span<const double>(&met, 1), std::span(&of_both, 1), pair);
    if (share_memory) {
      EXPECT_EQ(of_both, met) << "one has met, the other has not";
    }
  });
}

TEST_P(ChangingComponents, ANeighborThatGivesUpEndsTheWaitForTheOthers) {
  run_job(GetParam(), 3, [](Context& context) {
    const int rank = context.rank();
    const std::vector<int> others = rank == 0 ? std::vector{1, 2} : std::vector{0};
    expect_mean_with(context, others);
    if (rank == 1) context.barrier(among({0, 1}));
    if (rank == 2) {
      std::vector<double> x(count);
      Handle handle =
          context.neighbor_allreduce_async(std::span<const double>(x), std::span(x), mean_with(others));
      handle.cancel();
      EXPECT_THROW(handle.wait(), Error);
    } else {
      EXPECT_THROW(expect_mean_with(context, others), Mismatch);
    }
    if (rank == 0) context.barrier(among({0, 1}));
  });
}

INSTANTIATE_TEST_SUITE_P(Jobs, ChangingComponents, testing::ValuesIn(all_ranks),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace bluefog::test
