// Operations as awaitables: bluefog/coroutine.hpp.

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/coroutine.hpp>
#include <bluefog/error.hpp>

#include "multi/job.hpp"

namespace bluefog::test {
namespace {

class Coroutines : public testing::TestWithParam<Ranks> {};

NeighborAllreduceOptions called(const std::string& name) {
  NeighborAllreduceOptions options;
  options.name = name;
  return options;
}

Task<double> mean_of_all(Context& context, double value) {
  AllreduceOptions options;
  options.name = "mean";
  std::array<double, 1> x{value};
  co_await context.allreduce_async(x, x, options);
  co_return x[0];
}

TEST_P(Coroutines, GiveTheValueOfATask) {
  run_job(GetParam(), 3, [](Context& context) { EXPECT_EQ(run(mean_of_all(context, context.rank())), 1.0); });
}

Task<> twice(Context& context, std::vector<double>& means) {
  means.push_back(co_await mean_of_all(context, context.rank()));
  means.push_back(co_await mean_of_all(context, 2 * context.rank()));
}

TEST_P(Coroutines, AwaitOneAnother) {
  run_job(GetParam(), 3, [](Context& context) {
    std::vector<double> means;
    run(twice(context, means));
    EXPECT_EQ(means, (std::vector{1.0, 2.0}));
  });
}

TEST_P(Coroutines, TakeWhatWasGathered) {
  run_job(GetParam(), 3, [](Context& context) {
    const auto gather = [](Context& job) -> Task<std::int64_t> {
      const std::array<std::int32_t, 1> own{job.rank()};
      const Handle gathering = co_await job.allgather_async(own);
      co_return gathering.gathered().shape[0];
    };
    EXPECT_EQ(run(gather(context)), 3);
  });
}

Task<> average_often(Context& context, std::string name, std::vector<double>& x, int& running, int& most) {
  for (int k = 0; k < 20; ++k) {
    most = std::max(most, ++running);
    Handle handle = context.neighbor_allreduce_async(x, x, called(name));
    co_await handle;
    --running;
  }
}

TEST_P(Coroutines, TasksGoOnWhileOthersWait) {
  run_job(GetParam(), 4, [](Context& context) {
    std::vector<std::vector<double>> vectors(3, std::vector<double>(50'000, context.rank()));
    int running = 0;
    int most = 0;
    std::vector<Task<>> tasks;
    for (std::size_t i = 0; i < vectors.size(); ++i) {
      // In another order on each rank.
      const std::size_t which = (i + static_cast<std::size_t>(context.rank())) % vectors.size();
      tasks.push_back(average_often(context, std::to_string(which), vectors[which], running, most));
    }
    run(when_all(std::move(tasks)));
    EXPECT_EQ(running, 0);
    EXPECT_GT(most, 1) << "one task waited for another to end";
    for (const auto& vector : vectors) EXPECT_NEAR(vector.back(), 1.5, 1e-6);
  });
}

Task<> wrong(Context& context) {
  std::vector<double> x(3);
  std::vector<double> longer(4);
  co_await context.neighbor_allreduce_async(x, longer, called("wrong"));
}

TEST_P(Coroutines, ErrorsOfOperationsAreThrownWhereTheyAreAwaited) {
  run_job(GetParam(), 2, [](Context& context) {
    EXPECT_THROW(run(wrong(context)), InvalidArgument);
    EXPECT_EQ(run(mean_of_all(context, context.rank())), 0.5) << "and the engine is usable";
  });
}

TEST_P(Coroutines, AllTasksEndThoughOneFails) {
  run_job(GetParam(), 2, [](Context& context) {
    std::vector<double> means;
    const auto fails = []() -> Task<> {
      throw std::domain_error("of the task");
      co_return;
    };
    std::vector<Task<>> tasks;
    tasks.push_back(fails());
    tasks.push_back(twice(context, means));
    EXPECT_THROW(run(when_all(std::move(tasks))), std::domain_error);
    EXPECT_EQ(means, (std::vector{0.5, 1.0}));
  });
}

/// A coroutine of somebody else's kind.
struct Foreign {
  struct promise_type {
    Foreign get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { std::terminate(); }
  };
};

TEST_P(Coroutines, OutsideOfRunTheThreadWaits) {
  run_job(GetParam(), 2, [](Context& context) {
    std::array<double, 1> x{static_cast<double>(context.rank())};
    const auto average = [&](std::array<double, 1>& place) -> Foreign {
      co_await context.allreduce_async(place, place);
    };
    average(x);
    EXPECT_EQ(x[0], 0.5);
  });
}

/// Goes on in a thread of its own.
struct Elsewhere {
  std::jthread& thread;
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiting) const {
    std::jthread& other = thread;  // this goes with the coroutine
    other = std::jthread([waiting] { waiting.resume(); });
  }
  void await_resume() const noexcept {}
};

TEST_P(Coroutines, ATaskMayEndInAnotherThread) {
  run_job(GetParam(), 2, [](Context& context) {
    std::jthread thread;
    const auto hop = [&thread](Context& job) -> Task<double> {
      const double mean = co_await mean_of_all(job, job.rank());
      co_await Elsewhere{thread};
      co_return mean;
    };
    EXPECT_EQ(run(hop(context)), 0.5);
  });
}

TEST(CoroutinesInASimulation, WaitWhereTheyAre) {
  run_job(Ranks::SimulatedPairs, 4, [](Context& context) {
    std::vector<double> means;
    if (context.rank() % 2 == 0) {
      run(twice(context, means));
      run(twice(context, means));
    } else {  // while the others end a loop and begin another
      std::vector<Task<>> tasks;
      tasks.push_back(twice(context, means));
      tasks.push_back(twice(context, means));
      run(when_all(std::move(tasks)));
    }
    EXPECT_EQ(means, (std::vector{1.5, 3.0, 1.5, 3.0}));
    Handle handle = context.barrier_async();
    EXPECT_THROW(handle.when_closed([] {}), InvalidArgument);
    handle.wait();
  });
  EXPECT_TRUE(coroutine::current_queue().expired());
}

TEST_P(Coroutines, ARunInsideARunHasTasksOfItsOwn) {
  run_job(GetParam(), 2, [](Context& context) {
    const auto outer = [](Context& job) -> Task<double> {
      const double inner = run(mean_of_all(job, job.rank()));
      co_return inner + co_await mean_of_all(job, job.rank());
    };
    EXPECT_EQ(run(outer(context)), 1.0);
  });
}

TEST_P(Coroutines, AWatcherIsToldOnceWheneverItComes) {
  run_job(GetParam(), 2, [](Context& context) {
    OperationOptions named;
    named.name = "watched";
    std::atomic<int> told{0};
    if (context.rank() == 0) {
      Handle handle = context.barrier_async(named);
      handle.when_closed([&told] { ++told; });
      handle.when_closed([&told] { ++told; });
      EXPECT_EQ(told, 0) << "the other has not come";
      context.barrier();
      handle.wait();
      while (told < 2) std::this_thread::yield();
      handle.when_closed([&told] { ++told; });
      EXPECT_EQ(told, 3);
    } else {
      context.barrier();
      context.barrier(named);
    }
    context.barrier();
    EXPECT_THROW(Handle().when_closed([] {}), InvalidArgument);
  });
}

TEST_P(Coroutines, ADeadPeerEndsTheWait) {
  run_job(GetParam(), 2, [](Context& context) {
    if (context.rank() == 1) return;  // leaves
    const auto wait = [](Context& job) -> Task<> { co_await job.barrier_async(); };
    try {
      run(wait(context));
      ADD_FAILURE() << "no error";
    } catch (const PeerLost& error) {
      EXPECT_NE(std::string(error.what()).find("rank 1"), std::string::npos) << error.what();
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Threads, Coroutines, testing::Values(Ranks::Threads, Ranks::TcpThreads),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace bluefog::test
