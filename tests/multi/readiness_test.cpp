// Operations on tensors that something else still writes: they start when a word says so.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "multi/job.hpp"

namespace bluefog::test {
namespace {

/// Threads, so that one can set a word while another waits in the engine.
class Readiness : public testing::TestWithParam<Ranks> {};

using Word = std::atomic<std::uint32_t>;

NeighborAllreduceOptions when_set(const Word& word) {
  NeighborAllreduceOptions options;
  options.ready = &word;
  return options;
}

TEST_P(Readiness, AnOperationStartsWhenItsWordIsSet) {
  for (const bool attended : {false, true}) {
    for (const std::size_t count : {std::size_t{16}, std::size_t{50'000}}) {
      run_job(GetParam(), 2, [=](Context& context) {
        Word word{0};
        std::vector<float> x(count, -1.0F);
        NeighborAllreduceOptions options = when_set(word);
        options.attended = attended;
        Handle handle = context.neighbor_allreduce_async(std::span<const float>(x), std::span(x), options);
        EXPECT_FALSE(handle.done());
        std::atomic<bool> waits{false};
        const std::jthread writer([&] {
          waits.wait(false);
          std::fill(x.begin(), x.end(), static_cast<float>(context.rank()));
          word.store(1, std::memory_order_release);
        });
        waits = true;
        waits.notify_all();
        handle.wait();
        EXPECT_EQ(x, std::vector<float>(count, 0.5F));
      });
    }
  }
}

TEST_P(Readiness, AnOperationStartsThoughNobodyWaitsForIt) {
  std::atomic<bool> has_ended{false};
  run_job(GetParam(), 2, [&has_ended](Context& context) {
    Word word{0};
    std::vector<float> x(16, static_cast<float>(context.rank()));
    if (context.rank() == 0) {
      Handle handle =
          context.neighbor_allreduce_async(std::span<const float>(x), std::span(x), when_set(word));
      word = 1;
      has_ended.wait(false);
      handle.wait();
    } else {
      context.neighbor_allreduce(std::span<const float>(x), std::span(x));
      has_ended = true;
      has_ended.notify_all();
    }
    EXPECT_EQ(x, std::vector<float>(16, 0.5F));
  });
}

TEST_P(Readiness, LaterOperationsWaitBehindOneThatIsNotReady) {
  run_job(GetParam(), 2, [](Context& context) {
    Word word{0};
    std::vector<float> x(16, static_cast<float>(context.rank()));
    std::vector<float> y(16, static_cast<float>(2 * context.rank()));
    Handle first = context.neighbor_allreduce_async(std::span<const float>(x), std::span(x), when_set(word));
    Handle second = context.neighbor_allreduce_async(std::span<const float>(y), std::span(y));
    EXPECT_FALSE(second.wait_for(std::chrono::milliseconds(5)));
    word = 1;
    second.wait();
    first.wait();
    EXPECT_EQ(x, std::vector<float>(16, 0.5F));
    EXPECT_EQ(y, std::vector<float>(16, 1.0F));
  });
}

/// What rank 0 gets that has given up an operation whose word is never set. Rank 1 hears of it.
template <class Wanted, class Wait>
void expect_given_up(Ranks ranks, const Config& config, Wait wait) {
  const auto body = [wait](Context& context) {
    Word word{0};
    std::vector<float> x(16, static_cast<float>(context.rank()));
    if (context.rank() == 0) {
      Handle handle =
          context.neighbor_allreduce_async(std::span<const float>(x), std::span(x), when_set(word));
      EXPECT_THROW(wait(context, handle), Wanted);
    } else {
      EXPECT_THROW(context.neighbor_allreduce(std::span<const float>(x), std::span(x)), Error);
    }
    EXPECT_EQ(x, std::vector<float>(16, static_cast<float>(context.rank())));
  };
  run_job(ranks, 2, body, config);
}

TEST_P(Readiness, OneThatIsNeverReadyCanBeCancelled) {
  expect_given_up<Interrupted>(GetParam(), test_config(), [](Context& /*context*/, Handle& handle) {
    handle.cancel();
    handle.wait();
  });
}

TEST_P(Readiness, OneThatIsNeverReadyEndsInTime) {
  Config config = test_config();
  config.op_timeout = std::chrono::milliseconds(200);
  expect_given_up<Timeout>(GetParam(), config, [](Context& /*context*/, Handle& handle) {
    try {
      handle.wait();
    } catch (const Timeout& error) {
      EXPECT_NE(std::string(error.what()).find("not ready"), std::string::npos) << error.what();
      throw;
    }
  });
}

TEST_P(Readiness, OneThatIsNeverReadyEndsWithTheContext) {
  expect_given_up<Shutdown>(GetParam(), test_config(), [](Context& context, Handle& handle) {
    context.shutdown();
    handle.wait();
  });
}

INSTANTIATE_TEST_SUITE_P(Threads, Readiness, testing::Values(Ranks::Threads, Ranks::TcpThreads),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace bluefog::test
