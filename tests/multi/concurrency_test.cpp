// Many operations at once: orders that differ between ranks, several threads a rank, more operations than
// slots.

#include <algorithm>
#include <atomic>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "multi/job.hpp"
#include "multi/matrix.hpp"
#include "multi/paths.hpp"
#include "multi/reductions.hpp"

namespace bluefog::test {
namespace {

Expectation mean_over_sources(int rank, int size) {
  Expectation wanted{Form::Mean, {{rank, 1.0}}, rank};
  for (const int source : exponential_sources(rank, size)) wanted.terms.push_back({source, 1.0});
  std::sort(wanted.terms.begin(), wanted.terms.end(),
            [](const Term& a, const Term& b) { return a.rank < b.rank; });
  return wanted;
}

/// A neighbor_allreduce of its own path and size, by its number.
class NumberedMean {
 public:
  NumberedMean(Context& context, std::uint64_t number)
      : number_(number),
        path_(all_paths[number % std::size(all_paths)]),
        count_(number % 10 == 3 ? 50'003 : 1 + number % 700),
        buffers_(context, path_, DType::Float32, Shape(count_)),
        wanted_(mean_over_sources(context.rank(), context.size())) {
    fill(buffers_.writable_input.data, DType::Float32, count_, context.rank(), number);
  }
  [[nodiscard]] NeighborAllreduceOptions options(const std::string& name) const {
    NeighborAllreduceOptions options;
    options.name = name;
    options.meet = meets(path_);
    return options;
  }
  void start(Context& context, const std::string& name) {
    handle_ = context.neighbor_allreduce_async(buffers_.input, buffers_.output, options(name));
  }
  void run(Context& context, const std::string& name) {
    context.neighbor_allreduce(buffers_.input, buffers_.output, options(name));
  }
  [[nodiscard]] Handle& handle() { return handle_; }
  void expect_right() const {
    EXPECT_EQ(first_difference(wanted_, buffers_.output.data, DType::Float32, count_, number_), -1)
        << "operation " << number_ << " on rank " << wanted_.self;
  }

 private:
  std::uint64_t number_;
  Path path_;
  std::size_t count_;
  Buffers buffers_;
  Expectation wanted_;
  Handle handle_;
};

std::vector<std::size_t> shuffled(std::size_t count, unsigned seed) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::shuffle(order.begin(), order.end(), std::mt19937(seed));
  return order;
}

class Concurrency : public testing::TestWithParam<JobSize> {};
/// Of ranks with several threads, which simulated ones cannot have.
class ThreadedConcurrency : public Concurrency {};

TEST_P(Concurrency, NamedOperationsMayStartAndEndInAnyOrder) {
  const std::size_t operations = is_reduced() ? 60 : 300;
  run_job(GetParam().ranks, GetParam().size, [operations](Context& context) {
    std::vector<NumberedMean> means;
    means.reserve(operations);
    for (std::size_t i = 0; i < operations; ++i) means.emplace_back(context, i);
    const auto seed = static_cast<unsigned>(context.rank());
    for (const std::size_t i : shuffled(operations, seed))
      means[i].start(context, "operation " + std::to_string(i));
    for (const std::size_t i : shuffled(operations, seed + 100)) {
      means[i].handle().wait();
      means[i].expect_right();
    }
  });
}

TEST_P(Concurrency, UnnamedOperationsMatchByTheirOrder) {
  const std::size_t operations = is_reduced() ? 60 : 300;
  run_job(GetParam().ranks, GetParam().size, [operations](Context& context) {
    std::vector<NumberedMean> means;
    means.reserve(operations);
    for (std::size_t i = 0; i < operations; ++i) {
      means.emplace_back(context, i);
      // Which calls block differs from rank to rank.
      if (i % 7 == static_cast<std::size_t>(context.rank())) {
        means[i].run(context, "");
      } else {
        means[i].start(context, "");
      }
    }
    for (NumberedMean& mean : means) {
      if (mean.handle().valid()) mean.handle().wait();
      mean.expect_right();
    }
  });
}

TEST_P(ThreadedConcurrency, ThreadsOfOneRankUseNames) {
  const std::size_t rounds = is_reduced() ? 20 : 100;
  run_job(GetParam().ranks, GetParam().size, [rounds](Context& context) {
    std::vector<std::jthread> threads;
    for (std::size_t thread = 0; thread < 3; ++thread) {
      threads.emplace_back([&context, thread, rounds] {
        const std::string name = "thread " + std::to_string(thread);
        for (std::size_t round = 0; round < rounds; ++round) {
          NumberedMean mean(context, 1000 * thread + round);
          if ((round + thread + static_cast<std::size_t>(context.rank())) % 2 == 0) {
            mean.run(context, name);
          } else {
            mean.start(context, name);
            while (!mean.handle().done()) std::this_thread::yield();
            mean.handle().wait();
          }
          mean.expect_right();
        }
      });
    }
  });
}

TEST_P(Concurrency, MoreOperationsThanSlotsMayBeInFlight) {
  const std::size_t operations = is_reduced() || is_simulated(GetParam().ranks) ? 1'100 : 2'500;
  run_job(GetParam().ranks, GetParam().size, [operations](Context& context) {
    std::vector<std::vector<float>> tensors(operations,
                                            std::vector<float>(16, static_cast<float>(context.rank())));
    std::vector<Handle> handles;
    for (auto& x : tensors)
      handles.push_back(context.allreduce_async(std::span<const float>(x), std::span(x)));
    for (Handle& handle : handles) handle.wait();
    const float mean = static_cast<float>(context.size() - 1) / 2;
    for (const auto& x : tensors) ASSERT_EQ(x, std::vector<float>(16, mean));
  });
}

TEST_P(Concurrency, MixingMayGoOnWhileTheCallerComputes) {
  // Adapt with combine: the next mixed value is made out of place while the present one is read.
  const int steps = is_reduced() ? 10 : 60;
  constexpr std::size_t count = 70'001;
  run_job(GetParam().ranks, GetParam().size, [steps](Context& context) {
    const int size = context.size();
    auto x = context.make_shared<double>(count);
    auto mixed = context.make_shared<double>(count);
    std::fill(x.begin(), x.end(), context.rank());
    std::vector<double> simulated(static_cast<std::size_t>(size));
    std::iota(simulated.begin(), simulated.end(), 0.0);
    NeighborAllreduceOptions options;
    options.meet = true;
    options.schedule = one_peer_exponential(size);
    for (int step = 0; step < steps; ++step) {
      options.round = static_cast<std::uint64_t>(step);
      Handle handle = context.neighbor_allreduce_async(x.span(), mixed.span(), options);
      double gradient = 0;
      for (const double value : x) gradient += value;  // forward and backward read the parameters
      gradient = gradient / static_cast<double>(count) - 1;
      handle.wait();
      for (std::size_t i = 0; i < count; ++i) x[i] = mixed[i] - 0.125 * gradient;

      const Topology round = options.schedule->round(options.round);
      std::vector<double> next(simulated.size());
      for (int rank = 0; rank < size; ++rank) {
        const auto at = static_cast<std::size_t>(rank);
        next[at] = round.self_weight(rank) * simulated[at];
        for (const auto& [source, weight] : round.in_neighbors(rank)) {
          next[at] += weight * simulated[static_cast<std::size_t>(source)];
        }
        next[at] -= 0.125 * (simulated[at] - 1);
      }
      simulated = next;
    }
    for (const double value : x)
      ASSERT_NEAR(value, simulated[static_cast<std::size_t>(context.rank())], 1e-9);
  });
}

TEST_P(Concurrency, AHandleMayBeDropped) {
  run_job(GetParam().ranks, GetParam().size, [](Context& context) {
    std::vector<std::unique_ptr<NumberedMean>> means;
    for (std::uint64_t i = 0; i < 50; ++i) {
      means.push_back(std::make_unique<NumberedMean>(context, i));
      means.back()->start(context, "");
      means.back()->handle() = Handle();
    }
    context.shutdown();  // waits for what is in flight
    for (const auto& mean : means) mean->expect_right();
  });
}

/// Threads, so that one can wait for another without the engine.
class Gathering : public testing::TestWithParam<Ranks> {};

TEST_P(Gathering, ASmallOperationHappensThoughItsCallerDoesNotWait) {
  std::atomic<bool> has_ended{false};
  run_job(GetParam(), 2, [&has_ended](Context& context) {
    std::vector<float> x(16, static_cast<float>(context.rank()));
    if (context.rank() == 0) {
      Handle handle = context.neighbor_allreduce_async(std::span<const float>(x), std::span(x));
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

TEST_P(Gathering, EndsAtTheThresholdOrAtOnceWithoutOne) {
  for (const std::size_t threshold : {std::size_t{0}, std::size_t{100}}) {
    Config config = test_config();
    config.fusion_threshold = threshold;
    const auto body = [](Context& context) {
      std::vector<std::vector<float>> tensors(20, std::vector<float>(16, static_cast<float>(context.rank())));
      std::vector<Handle> handles;
      for (auto& x : tensors)
        handles.push_back(context.neighbor_allreduce_async(std::span<const float>(x), std::span(x)));
      for (Handle& handle : handles) handle.wait();
      for (const auto& x : tensors) EXPECT_EQ(x, std::vector<float>(16, 0.5F));
    };
    run_job(GetParam(), 2, body, config);
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, Gathering, testing::Values(Ranks::Threads, Ranks::TcpThreads),
                         testing::PrintToStringParamName());

std::vector<JobSize> crowded_jobs() {
  if (is_reduced()) {
    return {{Ranks::Threads, 3},    {Ranks::Processes, 2}, {Ranks::SimulatedPairs, 3},
            {Ranks::TcpThreads, 3}, {Ranks::TcpPairs, 4},  {Ranks::EncryptedThreads, 2}};
  }
  return {{Ranks::Threads, 2},        {Ranks::Threads, 4},         {Ranks::Threads, 7},
          {Ranks::Processes, 4},      {Ranks::SimulatedHost, 3},   {Ranks::SimulatedPairs, 3},
          {Ranks::SimulatedHosts, 3}, {Ranks::TcpThreads, 3},      {Ranks::TcpPairs, 4},
          {Ranks::TcpProcesses, 3},   {Ranks::EncryptedThreads, 3}};
}

std::vector<JobSize> crowded_jobs_with_threads() {
  std::vector<JobSize> jobs = crowded_jobs();
  std::erase_if(jobs, [](const JobSize& job) { return is_simulated(job.ranks); });
  return jobs;
}

INSTANTIATE_TEST_SUITE_P(Matrix, Concurrency, testing::ValuesIn(crowded_jobs()),
                         testing::PrintToStringParamName());
INSTANTIATE_TEST_SUITE_P(Matrix, ThreadedConcurrency, testing::ValuesIn(crowded_jobs_with_threads()),
                         testing::PrintToStringParamName());

TEST(Slots, ARankMayRunAheadByMoreOperationsThanItHasSlots) {
  constexpr std::size_t operations = 1'500;
  std::atomic<bool> all_submitted{false};
  run_job(Ranks::Threads, 2, [&](Context& context) {
    std::vector<std::vector<float>> tensors(operations,
                                            std::vector<float>(4, static_cast<float>(context.rank())));
    std::vector<Handle> handles;
    if (context.rank() == 1) all_submitted.wait(false);
    for (auto& x : tensors)
      handles.push_back(context.neighbor_allreduce_async(std::span<const float>(x), std::span(x)));
    if (context.rank() == 0) {
      all_submitted = true;
      all_submitted.notify_all();
    }
    for (Handle& handle : handles) handle.wait();
    for (const auto& x : tensors) ASSERT_EQ(x[3], 0.5F);
  });
}

}  // namespace
}  // namespace bluefog::test
