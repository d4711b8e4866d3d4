// Operations of a rank whose machine has no memory left: they fail, and nothing else does.

#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/error.hpp>

#include "base/memory.hpp"
#include "engine/engine.hpp"
#include "engine/session.hpp"
#include "multi/job.hpp"

namespace bluefog::test {
namespace {

class ShortOfMemory : public testing::Test {
 protected:
  static constexpr int size = 3;
  static constexpr std::size_t plenty = std::size_t{1} << 40;

  ShortOfMemory() {
    std::vector<engine::Interposition> interpositions(size);
    interpositions[0].memory_gauge = [this] {
      return std::optional<base::MemoryHeadroom>({free_bytes_.load(), "this test"});
    };
    sessions_ = engine::Session::in_process(size, test_config(), interpositions);
  }

  /// Takes what rank 0 may take without a further look at the gauge.
  void exhaust() {
    free_bytes_ = 0;
    try {
      while (true) hoard_.push_back(sessions_[0]->transport().allocate(std::size_t{64} << 10));
    } catch (const Error&) {
    }
  }

  void recover() {
    free_bytes_ = plenty;
    hoard_.clear();
  }

  /// The mean of the ranks' numbers over `count` elements; empty, or why a rank has failed.
  std::vector<std::string> average(std::size_t count) {
    std::vector<std::string> failures(size);
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < size; ++rank) {
      threads.emplace_back([&, rank] { failures[static_cast<std::size_t>(rank)] = average_as(rank, count); });
    }
    threads.clear();
    return failures;
  }

  std::vector<std::shared_ptr<engine::Session>> sessions_;

 private:
  std::string average_as(int rank, std::size_t count) {
    engine::Session& session = *sessions_[static_cast<std::size_t>(rank)];
    std::vector<double> x(count, rank);
    try {
      NeighborAllreduceOptions options;
      options.schedule = static_schedule(fully_connected_graph(size));
      auto operation =
          session.engine().submit(session.requests().neighbor_allreduce(
                                      ConstTensor(std::span<const double>(x)), std::span(x), options),
                                  false);
      while (!session.engine().wait(*operation, base::TimePoint::max())) {
      }
      if (operation->error()) std::rethrow_exception(operation->error());
      EXPECT_EQ(x, std::vector<double>(count, 1.0));
    } catch (const std::exception& error) {
      return error.what();
    }
    return {};
  }

  std::atomic<std::size_t> free_bytes_{plenty};
  std::vector<SharedMemory> hoard_;
};

TEST_F(ShortOfMemory, SmallTensorsFailAtOnceAndLargeOnesOnTheWay) {
  exhaust();
  constexpr std::size_t small =
      (std::size_t{64} << 10) / sizeof(double);  // the largest that goes with its call
  for (const std::size_t count : {small, std::size_t{1} << 20}) {
    const std::vector<std::string> failures = average(count);
    EXPECT_NE(failures[0].find("of shared memory"), std::string::npos) << failures[0];
    for (int rank = 1; rank < size; ++rank) {
      const std::string& failure = failures[static_cast<std::size_t>(rank)];
      EXPECT_NE(failure.find("rank 0 gave up this operation"), std::string::npos) << failure;
      EXPECT_NE(failure.find("of shared memory"), std::string::npos) << failure;
    }
  }
  recover();
  for (const std::size_t count : {small, std::size_t{1} << 20}) {
    EXPECT_EQ(average(count), std::vector<std::string>(size));
  }
}

}  // namespace
}  // namespace bluefog::test
