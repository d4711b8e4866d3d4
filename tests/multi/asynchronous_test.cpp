// Asynchronous algorithms: they find the optimum of the mean, however unequal the ranks' paces are.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "multi/windows.hpp"

namespace bluefog::test {
namespace {

enum class Method { Put, Get, PushSum, Pairwise };

std::ostream& operator<<(std::ostream& out, Method method) {
  constexpr const char* names[] = {"WindowPut", "WindowGet", "PushSum", "Pairwise"};
  return out << names[static_cast<int>(method)];
}

std::unique_ptr<AsynchronousMixing> make(Method method, Context& context,
                                         const std::vector<Tensor>& buckets) {
  switch (method) {
    case Method::Put:
      return std::make_unique<WindowPutMixing>(context, buckets);
    case Method::Get:
      return std::make_unique<WindowGetMixing>(context, buckets);
    case Method::PushSum:
      return std::make_unique<PushSumMixing>(context, buckets);
    case Method::Pairwise:
      return std::make_unique<PairwiseMixing>(context, buckets);
  }
  return nullptr;
}

class AsynchronousTraining : public testing::TestWithParam<std::tuple<Ranks, Method>> {
 protected:
  using Iterate = std::function<void(Context&, AsynchronousMixing&, std::vector<std::vector<double>>&)>;

  /// Two buckets, of which each rank wants its own number in every element.
  static void train(int size, const Topology& topology, const Iterate& iterate) {
    const auto& [ranks, method] = GetParam();
    run_job(ranks, size, [&, method = method](Context& context) {
      context.set_topology(topology);
      std::vector<std::vector<double>> parameters{std::vector<double>(5), std::vector<double>(70000)};
      const auto mixing = make(method, context, {parameters[0], parameters[1]});
      iterate(context, *mixing, parameters);
      mixing->close();
      EXPECT_TRUE(context.window_names().empty());
    });
  }

  static void step(AsynchronousMixing& mixing, std::vector<std::vector<double>>& parameters, double wanted,
                   double rate) {
    mixing.begin_exchange();
    std::vector<double> gradients;
    for (const auto& bucket : parameters) gradients.push_back(bucket[0] - wanted);
    mixing.end_exchange();
    mixing.begin_step();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      for (double& value : parameters[i]) value -= rate * gradients[i];
    }
    mixing.end_step();
  }
};

TEST_P(AsynchronousTraining, FindsTheOptimumOfTheMean) {
  train(4, exponential_graph(4), [](Context& context, AsynchronousMixing& mixing, auto& parameters) {
    double rate = 0.2;
    for (int iteration = 0; iteration < 160; ++iteration) {
      if (iteration % 40 == 39) rate /= 4;
      step(mixing, parameters, context.rank(), rate);
      // Nobody runs away: with all ranks in one thread, or two on a core, that would be a few long turns.
      if (iteration % 4 == 3) context.barrier();
    }
    // Puts and gets let who comes more often count for more; push-sum and pairs keep the mean.
    const Method method = std::get<1>(GetParam());
    const double tolerance = method == Method::Put || method == Method::Get ? 0.4 : 0.15;
    for (const auto& bucket : parameters) {
      EXPECT_NEAR(bucket.front(), 1.5, tolerance) << "rank " << context.rank();
      EXPECT_EQ(bucket.front(), bucket.back());
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, AsynchronousTraining,
                         testing::Combine(testing::Values(Ranks::Threads, Ranks::Processes,
                                                          Ranks::SimulatedPairs, Ranks::TcpThreads),
                                          testing::Values(Method::Put, Method::Get, Method::PushSum,
                                                          Method::Pairwise)),
                         [](const auto& info) {
                           return testing::PrintToString(std::get<0>(info.param)) +
                                  testing::PrintToString(std::get<1>(info.param));
                         });

TEST(PushSum, KeepsItsParametersWhileAllItGivesStaysWithARankThatRests) {
  run_job(Ranks::Threads, 3, [](Context& context) {
    context.set_topology(fully_connected_graph(3));
    std::vector<float> parameters(5, static_cast<float>(context.rank() + 1));
    PushSumMixing mixing(context, {parameters});
    const auto exchange = [&](int times) {
      for (int i = 0; i < times; ++i) {
        mixing.begin_exchange();
        mixing.end_exchange();
      }
    };
    context.barrier();
    if (context.rank() != 2) exchange(2000);
    EXPECT_GT(mixing.weight(), 0);
    EXPECT_NEAR(parameters[0], 2, 1.01);
    context.barrier();
    for (int round = 0; round < 300; ++round) {
      exchange(1);
      context.barrier();
    }
    EXPECT_NEAR(parameters[0], 2, 1e-3);  // float32 rounds thousands of times
    mixing.close();
    EXPECT_THROW(static_cast<void>(mixing.weight()), InvalidArgument);
  });
}

TEST(PushSum, KeepsItsParametersWhenItHasGivenAllAway) {
  run_job(Ranks::Threads, 2, [](Context& context) {
    context.set_topology(fully_connected_graph(2));
    std::vector<double> parameters(5, context.rank() + 1);
    PushSumMixing mixing(context, {parameters});
    const auto exchange = [&mixing] {
      mixing.begin_exchange();
      mixing.end_exchange();
    };
    context.barrier();
    if (context.rank() == 0) {
      mixing.weights.self_weight = 0;
      mixing.weights.dst_weights = Weights{{1, 1.0}};
      exchange();
      EXPECT_EQ(mixing.weight(), 0);
      EXPECT_EQ(parameters, std::vector<double>(5, 1));
      mixing.weights = {};
    }
    context.barrier();
    if (context.rank() == 1) exchange();  // gives half of its own, before it takes
    context.barrier();
    if (context.rank() == 0) {
      exchange();
      EXPECT_EQ(mixing.weight(), .5);
      EXPECT_EQ(parameters, std::vector<double>(5, 2));
    }
    context.barrier();
    mixing.close();
  });
}

TEST(WindowsOfAnAlgorithm, AreFreedWhenOneOfThemCannotBeOpened) {
  run_job(Ranks::Threads, 2, [](Context& context) {
    using namespace std::chrono_literals;
    std::vector<double> taken(3);
    std::vector<double> first(3);
    std::vector<double> second(3);
    Window window = context.create_window("asynchronous.1", taken);
    EXPECT_THROW(WindowPutMixing(context, {first, second}), InvalidArgument);
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (context.window_names().size() > 1 && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::yield();
    }
    EXPECT_EQ(context.window_names(), std::vector<std::string>{"asynchronous.1"});
    window.free();
  });
}

TEST(WindowsOfAnAlgorithm, AreFreedThoughAnExchangeHasFailed) {
  run_job(Ranks::Threads, 2, [](Context& context) {
    std::vector<double> first(3);
    std::vector<double> second(3);
    WindowPutMixing mixing(context, {first, second});
    if (context.rank() == 1) return;
    const auto has_failed = [&mixing] {
      mixing.begin_exchange();
      try {
        mixing.end_exchange();
      } catch (const PeerLost&) {
        return true;
      }
      return false;
    };
    while (!has_failed()) std::this_thread::yield();
    mixing.begin_exchange();
    EXPECT_THROW(mixing.close(), PeerLost);
    EXPECT_TRUE(context.window_names().empty());
  });
}

class Pairwise : public testing::TestWithParam<Ranks> {};

TEST_P(Pairwise, MixesWithWhatARankHasLeftUntilItIsClosedToo) {
  run_job(GetParam(), 2, [](Context& context) {
    context.set_topology(fully_connected_graph(2));
    constexpr std::size_t elements = 70000;
    std::vector<double> parameters(elements, 2.0 * context.rank());
    auto mixing = std::make_unique<PairwiseMixing>(context, std::vector<Tensor>{parameters});
    context.barrier();
    if (context.rank() == 1) {
      mixing.reset();
      // Whatever is free now belongs to somebody else.
      const std::vector<std::vector<double>> others(8, std::vector<double>(elements, 1e6));
      context.barrier();
      context.barrier();
      for (const auto& other : others) EXPECT_EQ(other, others.front());
      EXPECT_EQ(others.front(), std::vector<double>(elements, 1e6));
      return;
    }
    context.barrier();
    for (int exchange = 0; exchange < 2; ++exchange) {  // the second brings what the first has mixed
      mixing->begin_exchange();
      mixing->end_exchange();
    }
    EXPECT_EQ(parameters, std::vector<double>(elements, 1.0));
    context.barrier();
    mixing->close();
  });
}

/// With whom a rank averages in each of so many exchanges: the k-th of all others.
std::vector<std::int64_t> choices(Context& context, std::size_t exchanges) {
  std::vector<double> parameters(3);
  PairwiseMixing mixing(context, {parameters});
  std::map<int, std::uint64_t> sent;
  const auto take_who_got_more = [&] {
    std::vector<int> ranks;
    for (const PeerStats& peer : context.stats().peers) {
      if (std::exchange(sent[peer.rank], peer.bytes_sent) != peer.bytes_sent) ranks.push_back(peer.rank);
    }
    return ranks;
  };
  take_who_got_more();
  std::vector<std::int64_t> chosen;
  for (std::size_t exchange = 0; exchange < exchanges; ++exchange) {
    mixing.begin_exchange();
    mixing.end_exchange();
    for (const int rank : take_who_got_more()) chosen.push_back(rank < context.rank() ? rank : rank - 1);
  }
  mixing.close();
  EXPECT_EQ(chosen.size(), exchanges);
  chosen.resize(exchanges);
  return chosen;
}

TEST(PairwiseChoices, AreNotThoseOfAnotherRankLater) {
  run_job(Ranks::Threads, 4, [](Context& context) {
    context.set_topology(fully_connected_graph(4));
    constexpr std::size_t exchanges = 64;
    const std::vector<std::int64_t> own = choices(context, exchanges);
    const GatheredTensor all = context.allgather(own);
    const auto* const first = reinterpret_cast<const std::int64_t*>(all.data.get());
    for (int rank = 1; rank < context.size(); ++rank) {
      const std::span<const std::int64_t> of_rank(first + static_cast<std::size_t>(rank) * exchanges,
                                                  exchanges);
      for (std::size_t shift = 0; shift < 8; ++shift) {
        const std::span<const std::int64_t> of_first(first, exchanges);
        EXPECT_FALSE(std::ranges::equal(of_rank.first(exchanges - shift), of_first.subspan(shift)))
            << "rank " << rank << " chooses as rank 0 does " << shift << " exchanges later";
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, Pairwise, testing::Values(Ranks::Threads, Ranks::TcpThreads),
                         [](const auto& info) { return testing::PrintToString(info.param); });

}  // namespace
}  // namespace bluefog::test
