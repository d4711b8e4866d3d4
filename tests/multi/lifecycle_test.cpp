// Operations that wait, are given up, or are overtaken by the end of their Context; and many in a row.

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include <bluefog/error.hpp>

#include "multi/job.hpp"
#include "multi/matrix.hpp"

namespace bluefog::test {
namespace {

using namespace std::chrono_literals;

/// A place in a test's program that one thread reaches and others wait for.
class Milestone {
 public:
  void reach() {
    reached_ = true;
    reached_.notify_all();
  }
  void wait() { reached_.wait(false); }

 private:
  std::atomic<bool> reached_{false};
};

NeighborAllreduceOptions meeting(bool meet) {
  NeighborAllreduceOptions options;
  options.meet = meet;
  return options;
}

void expect_usable(Context& context) {
  std::vector<double> x{static_cast<double>(context.rank())};
  context.allreduce(std::span<const double>(x), std::span(x));
  EXPECT_EQ(x[0], static_cast<double>(context.size() - 1) / 2);
}

class Waiting : public testing::TestWithParam<bool> {};  // with or without a meeting

TEST_P(Waiting, ATimeoutLeavesTheOperationInFlight) {
  Milestone timed_out;
  run_job(Ranks::Threads, 2, [&](Context& context) {
    std::vector<float> x(100'000, static_cast<float>(context.rank()));
    if (context.rank() == 1) timed_out.wait();
    Handle handle =
        context.neighbor_allreduce_async(std::span<const float>(x), std::span(x), meeting(GetParam()));
    if (context.rank() == 0) {
      EXPECT_FALSE(handle.wait_for(2ms));
      EXPECT_FALSE(handle.done());
      timed_out.reach();
    }
    handle.wait();
    EXPECT_EQ(x.front(), 0.5F);
    EXPECT_EQ(x.back(), 0.5F);
  });
}

TEST_P(Waiting, AnOperationThatWasGivenUpFailsOnBothRanks) {
  Milestone given_up;
  run_job(Ranks::Threads, 2, [&](Context& context) {
    std::vector<float> x(100'000, static_cast<float>(context.rank()));
    if (context.rank() == 1) given_up.wait();
    Handle handle =
        context.neighbor_allreduce_async(std::span<const float>(x), std::span(x), meeting(GetParam()));
    if (context.rank() == 0) {
      handle.cancel();
      EXPECT_THROW(handle.wait(), Interrupted);
      given_up.reach();
    } else {
      try {
        handle.wait();
        ADD_FAILURE() << "rank 1 succeeded alone";
      } catch (const Mismatch& error) {
        EXPECT_NE(std::string(error.what()).find("rank 0 gave up"), std::string::npos) << error.what();
      }
    }
    EXPECT_EQ(x, std::vector<float>(100'000, static_cast<float>(context.rank())))
        << "written without agreement";
    expect_usable(context);
  });
}

TEST_P(Waiting, ARankThatLeavesFailsWhatWaitsForIt) {
  Milestone started;
  run_job(Ranks::Threads, 2, [&](Context& context) {
    std::vector<float> x(100, 1.0F);
    if (context.rank() == 1) {
      started.wait();
      return context.shutdown();
    }
    Handle handle =
        context.neighbor_allreduce_async(std::span<const float>(x), std::span(x), meeting(GetParam()));
    started.reach();
    try {
      handle.wait();
      ADD_FAILURE() << "the operation succeeded without rank 1";
    } catch (const PeerLost& error) {
      EXPECT_EQ(error.peer(), 1);
      EXPECT_NE(std::string(error.what()).find("neighbor_allreduce"), std::string::npos) << error.what();
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Meet, Waiting, testing::Bool(),
                         [](const auto& info) { return info.param ? "WithMeeting" : "WithoutMeeting"; });

TEST(Cancelling, AMeetingHappensForAllOrForNone) {
  const int rounds = is_reduced() ? 50 : 400;
  run_job(Ranks::Threads, 3, [rounds](Context& context) {
    std::mt19937 random(static_cast<unsigned>(context.rank()));
    auto x = context.make_shared<float>(20'000);
    int mixed = 0;
    for (int round = 0; round < rounds; ++round) {
      std::fill(x.begin(), x.end(), static_cast<float>(context.rank()));
      Handle handle = context.neighbor_allreduce_async(x.span(), x.span(), meeting(true));
      const auto pause = random() % 30;
      if (round % 3 == context.rank()) {
        for (unsigned i = 0; i < pause; ++i) std::this_thread::yield();
        handle.cancel();
      }
      float happened = 1;
      try {
        handle.wait();
      } catch (const Error&) {
        happened = 0;
      }
      EXPECT_EQ(x[19'999], happened > 0 ? 1.0F : static_cast<float>(context.rank()));
      std::vector<float> sum{happened};
      context.allreduce(std::span<const float>(sum), std::span(sum));
      EXPECT_EQ(sum[0], happened) << "the ranks disagree about round " << round;
      mixed += happened > 0 ? 1 : 0;
    }
    RecordProperty("mixed_rounds_of_rank_" + std::to_string(context.rank()), mixed);
  });
}

TEST(ShuttingDown, FailsWhatIsInFlight) {
  // Each rank waits for a call that the other never makes, so both run out of patience.
  run_job(Ranks::Threads, 2, [](Context& context) {
    std::vector<float> x(100, 1.0F);
    NeighborAllreduceOptions options;
    options.name = "only on rank " + std::to_string(context.rank());
    Handle handle = context.neighbor_allreduce_async(std::span<const float>(x), std::span(x), options);
    context.shutdown();
    EXPECT_TRUE(context.is_shut_down());
    EXPECT_TRUE(handle.done());
    EXPECT_THROW(handle.wait(), Error);
    EXPECT_THROW(context.barrier(), Shutdown);
  });
}

TEST(ShuttingDown, WaitsForWhatTheOthersStillNeed) {
  for (int round = 0; round < 20; ++round) {
    run_job(Ranks::Threads, 3, [](Context& context) {
      // The source of the others leaves at once; they must get its tensor all the same.
      auto x = context.make_shared<float>(100'000);
      std::fill(x.begin(), x.end(), static_cast<float>(context.rank()));
      if (context.rank() == 0) {
        Handle handle = context.broadcast_async(Tensor(x.span()), 0);
        return context.shutdown();
      }
      context.broadcast(Tensor(x.span()), 0);
      EXPECT_EQ(x[99'999], 0.0F);
    });
  }
}

TEST(ShuttingDown, EveryOperationAfterwardsSaysSo) {
  run_job(Ranks::Threads, 2, [](Context& context) {
    context.barrier();
    context.shutdown();
    std::vector<float> x(4);
    const std::span<const float> input(x);
    EXPECT_THROW(context.neighbor_allreduce(input, std::span(x)), Shutdown);
    EXPECT_THROW(context.allreduce(input, std::span(x)), Shutdown);
    EXPECT_THROW(static_cast<void>(context.allgather(input)), Shutdown);
    EXPECT_THROW(static_cast<void>(context.neighbor_allgather(input)), Shutdown);
    EXPECT_THROW(context.broadcast(std::span(x), 0), Shutdown);
    EXPECT_THROW(context.barrier(), Shutdown);
    EXPECT_THROW(context.set_topology(context.topology()), Shutdown);
    EXPECT_NO_THROW(context.shutdown());
  });
}

TEST(Generations, RanksMayJoinAgainAfterAShutdown) {
  const auto ends = run_processes(3, [](const Config& config) {
    for (int generation = 0; generation < 4; ++generation) {
      Context context(config);
      auto x = context.make_shared<double>(30'000);
      std::fill(x.begin(), x.end(), context.rank() + 10.0 * generation);
      NeighborAllreduceOptions options;
      options.meet = true;
      context.neighbor_allreduce(x.span(), x.span(), options);
      EXPECT_EQ(x[29'999], 1 + 10.0 * generation);
      context.barrier();
      if (generation % 2 == 0) context.shutdown();  // else the destructor does
    }
  });
  for (const RankEnd& end : ends) EXPECT_TRUE(end.is_clean()) << end.failures;
}

TEST(Generations, SharedMemoryOutlivesItsContext) {
  SharedArray<int> x;
  run_job(Ranks::Threads, 1, [&](Context& context) {
    x = context.make_shared<int>(1000);
    x[999] = 42;
  });
  EXPECT_EQ(x[999], 42);
}

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t total = 0;
  std::size_t resident = 0;
  file >> total >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

std::size_t open_descriptors() {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

TEST(ManyOperations, LeaveMemoryAndDescriptorsAsTheyWere) {
  // Sanitizers keep histories of their own, so there memory may grow.
  const std::size_t allowance = std::size_t{is_sanitized ? 256U : 2U} << 20;
  const int operations = is_reduced() ? 1'000 : 10'000;
  const auto ends = run_processes(2, [=](const Config& config) {
    Context context(config);
    std::vector<float> x(1024, static_cast<float>(context.rank()));
    auto shared = context.make_shared<float>(1024);
    const auto run = [&](int times) {
      for (int i = 0; i < times; ++i) {
        context.neighbor_allreduce(std::span<const float>(x), std::span(x));
        if (i % 4 == 0) context.neighbor_allreduce(shared.span(), shared.span(), meeting(true));
        if (i % 8 == 0) static_cast<void>(context.allgather(std::span<const float>(x)));
        if (i % 8 == 1) context.neighbor_allreduce_async(std::span<const float>(x), std::span(x)).wait();
      }
    };
    run(operations / 5);
    const std::size_t memory = resident_bytes();
    const std::size_t descriptors = open_descriptors();
    run(operations);
    EXPECT_LE(resident_bytes(), memory + allowance);
    EXPECT_EQ(open_descriptors(), descriptors);
  });
  for (const RankEnd& end : ends) EXPECT_TRUE(end.is_clean()) << end.failures;
}

}  // namespace
}  // namespace bluefog::test
