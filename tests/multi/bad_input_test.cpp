// What ranks get wrong: a clear error on every rank concerned, and an engine that works afterwards.

#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/error.hpp>

#include "multi/job.hpp"

namespace bluefog::test {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

void expect_usable(Context& context) {
  for (const bool meet : {false, true}) {
    NeighborAllreduceOptions options;
    options.meet = meet;
    options.schedule = static_schedule(fully_connected_graph(context.size()));
    auto x = context.make_shared<double>(10'000);
    std::fill(x.begin(), x.end(), context.rank());
    context.neighbor_allreduce(x.span(), x.span(), options);
    EXPECT_NEAR(x[9'999], static_cast<double>(context.size() - 1) / 2, 1e-12);
  }
  context.barrier();
}

/// `call` must throw an E whose text holds all of `parts`.
template <class E>
void expect_error(const std::function<void()>& call, const std::vector<std::string>& parts) {
  try {
    call();
    ADD_FAILURE() << "no error, but one with \"" << parts.front() << "\" was expected";
  } catch (const E& error) {
    const std::string text = error.what();
    for (const std::string& part : parts)
      EXPECT_NE(text.find(part), std::string::npos) << part << " is not in: " << text;
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another kind of error: " << error.what();
  }
}

std::string rank_text(int rank) {
  return "rank " + std::to_string(rank);
}

/// Without and with a meeting, as threads and as processes.
struct Setting {
  Ranks ranks;
  bool meet;
};
std::ostream& operator<<(std::ostream& out, Setting setting) {
  return out << setting.ranks << (setting.meet ? "WithMeeting" : "WithoutMeeting");
}

class BadInput : public testing::TestWithParam<Setting> {
 protected:
  /// After `body` all ranks must be able to go on.
  void run(int size, const Body& body) {
    run_job(GetParam().ranks, size, [&](Context& context) {
      body(context);
      expect_usable(context);
    });
  }
  [[nodiscard]] NeighborAllreduceOptions options() const {
    NeighborAllreduceOptions options;
    options.meet = GetParam().meet;
    return options;
  }
  [[nodiscard]] NeighborAllreduceOptions dynamic(Weights sources, Weights destinations) const {
    NeighborAllreduceOptions dynamic = options();
    dynamic.self_weight = 0.5;
    dynamic.src_weights = std::move(sources);
    dynamic.dst_weights = std::move(destinations);
    return dynamic;
  }
};

TEST_P(BadInput, CountsThatDiffer) {
  run(2, [&](Context& context) {
    std::vector<float> x(context.rank() == 0 ? 10 : 11);
    expect_error<Mismatch>(
        [&] { context.neighbor_allreduce(std::span<const float>(x), std::span(x), options()); },
        {"neighbor_allreduce", "shape", "rank 0", "rank 1", "[10]", "[11]"});
  });
}

TEST_P(BadInput, ShapesThatDifferWithEqualCounts) {
  run(2, [&](Context& context) {
    std::vector<float> x(100'000);
    const std::int64_t first = context.rank() == 0 ? 100 : 1000;
    const std::int64_t extents[] = {first, 100'000 / first};
    const Tensor tensor(x.data(), DType::Float32, Shape(extents));
    expect_error<Mismatch>([&] { context.neighbor_allreduce(tensor, tensor, options()); },
                           {"neighbor_allreduce", "shape", "rank 0", "rank 1", "[100, 1000]", "[1000, 100]"});
  });
}

TEST_P(BadInput, EmptyOnOneRankOnly) {
  run(2, [&](Context& context) {
    std::vector<float> x(context.rank() == 0 ? 0 : 5);
    expect_error<Mismatch>(
        [&] { context.neighbor_allreduce(std::span<const float>(x), std::span(x), options()); },
        {"neighbor_allreduce", "shape", "rank 0", "rank 1"});
  });
}

TEST_P(BadInput, TypesThatDiffer) {
  run(2, [&](Context& context) {
    std::vector<double> x(50);
    const Tensor tensor(x.data(), context.rank() == 0 ? DType::Float32 : DType::Float64, Shape(50));
    expect_error<Mismatch>([&] { context.neighbor_allreduce(tensor, tensor, options()); },
                           {"neighbor_allreduce", "dtype", "float32", "float64", "rank 0", "rank 1"});
  });
}

TEST_P(BadInput, MemoryKindsMayDiffer) {
  run(2, [&](Context& context) {
    std::vector<float> own(100'000, 1.0F);
    auto shared = context.make_shared<float>(100'000);
    const std::span<float> x = context.rank() == 0 ? std::span(own) : shared.span();
    context.neighbor_allreduce(x, x, options());
    EXPECT_EQ(x[99'999], 0.5F);
  });
}

TEST_P(BadInput, MeetingsThatOnlyOneRankWants) {
  run(2, [&](Context& context) {
    std::vector<float> x(50);
    NeighborAllreduceOptions own = options();
    own.meet = (context.rank() == 0) == GetParam().meet;
    expect_error<Mismatch>([&] { context.neighbor_allreduce(std::span<const float>(x), std::span(x), own); },
                           {"neighbor_allreduce", "meet", "rank 0", "rank 1"});
  });
}

TEST_P(BadInput, AnEdgeOfWhichTheOtherRankKnowsNothing) {
  for (const bool knows_sender : {false, true}) {
    run(2, [&](Context& context) {
      std::vector<float> x(50);
      const auto edge = knows_sender ? dynamic({}, {{0, 1.0}}) : dynamic({{0, 0.5}}, {});
      const auto own = context.rank() == 1 ? edge : dynamic({}, {});
      const auto call = [&] { context.neighbor_allreduce(std::span<const float>(x), std::span(x), own); };
      if (context.rank() == 1) {
        expect_error<Mismatch>(call, {"neighbor_allreduce", "rank 0", "rank 1", "edge"});
        context.barrier();
        return;
      }
      // Rank 0 needs nobody, so it may have finished when rank 1 finds the edge: then its next call tells.
      std::vector<std::string> errors;
      for (const std::function<void()>& step :
           {std::function<void()>(call), std::function<void()>([&] { context.barrier(); })}) {
        try {
          step();
        } catch (const Mismatch& error) {
          errors.emplace_back(error.what());
        }
      }
      ASSERT_EQ(errors.size(), 1U);
      for (const char* part : {"neighbor_allreduce", "rank 0", "rank 1", "edge"}) {
        EXPECT_NE(errors[0].find(part), std::string::npos) << errors[0];
      }
    });
  }
}

TEST_P(BadInput, AnEdgeThatOnlyTheSenderKnows) {
  run(2, [&](Context& context) {
    std::vector<float> x(50);
    const auto own = context.rank() == 0 ? dynamic({{1, 0.5}}, {{1, 1.0}}) : dynamic({}, {{0, 1.0}});
    expect_error<Mismatch>([&] { context.neighbor_allreduce(std::span<const float>(x), std::span(x), own); },
                           {"neighbor_allreduce", "rank 0", "rank 1", "edge"});
  });
}

TEST_P(BadInput, WeightsForRanksThatAreNoNeighbours) {
  run(5, [&](Context& context) {
    std::vector<float> x(50);
    NeighborAllreduceOptions own = options();
    own.self_weight = 0.5;
    // Nobody receives from the rank three behind in the default graph of five.
    own.src_weights = Weights{{(context.rank() + 2) % 5, 0.5}};
    expect_error<InvalidArgument>(
        [&] { context.neighbor_allreduce(std::span<const float>(x), std::span(x), own); },
        {"neighbor_allreduce", rank_text(context.rank()), "no in-neighbour",
         rank_text((context.rank() + 2) % 5)});
  });
}

TEST_P(BadInput, HalfOfTheWeights) {
  run(2, [&](Context& context) {
    std::vector<float> x(50);
    NeighborAllreduceOptions only_self = options();
    only_self.self_weight = 0.5;
    NeighborAllreduceOptions only_sources = options();
    only_sources.src_weights = Weights{{1 - context.rank(), 0.5}};
    NeighborAllreduceOptions only_destinations = options();
    only_destinations.dst_weights = Weights{{1 - context.rank(), 0.5}};
    for (const auto& own : {only_self, only_sources, only_destinations}) {
      expect_error<InvalidArgument>(
          [&] { context.neighbor_allreduce(std::span<const float>(x), std::span(x), own); },
          {"neighbor_allreduce", rank_text(context.rank()), "self_weight", "src_weights"});
    }
  });
}

TEST_P(BadInput, NanOnOneRankOnly) {
  run(3, [&](Context& context) {
    std::vector<float> x(50'000);
    const int next = (context.rank() + 1) % 3;
    const int previous = (context.rank() + 2) % 3;
    const auto call = [&] {
      context.neighbor_allreduce(std::span<const float>(x), std::span(x),
                                 dynamic({{previous, context.rank() == 2 ? nan : 0.5}}, {{next, 1.0}}));
    };
    if (context.rank() == 2) {
      expect_error<InvalidArgument>(call, {"neighbor_allreduce", "rank 2", "rank 1", "finite"});
    } else {
      expect_error<Mismatch>(call, {"neighbor_allreduce", rank_text(context.rank()), "rank 2", "finite"});
    }
    expect_usable(context);
    // Unnamed calls still match.
    std::vector<float> y{static_cast<float>(context.rank())};
    context.neighbor_allreduce(std::span<const float>(y), std::span(y),
                               dynamic({{previous, 0.5}}, {{next, 1.0}}));
    EXPECT_EQ(y[0], 0.5F * static_cast<float>(context.rank() + previous));
  });
}

TEST_P(BadInput, NanOnOneRankOfThoseWhoHaveMetBefore) {
  run(3, [&](Context& context) {
    std::vector<double> x(50'000, 1.0);
    const int next = (context.rank() + 1) % 3;
    const int previous = (context.rank() + 2) % 3;
    const auto average = [&](double weight) {
      context.neighbor_allreduce(std::span<const double>(x), std::span(x),
                                 dynamic({{previous, weight}}, {{next, 1.0}}));
    };
    average(0.5);
    for (int call = 0; call < 2; ++call) {
      if (context.rank() == 2) {
        expect_error<InvalidArgument>([&] { average(nan); }, {"rank 2", "finite"});
      } else {
        expect_error<Mismatch>([&] { average(0.5); }, {rank_text(context.rank()), "rank 2", "finite"});
      }
    }
    expect_usable(context);
  });
}

TEST_P(BadInput, RanksThatDoNotExist) {
  run(2, [&](Context& context) {
    std::vector<float> x(50);
    const int other = 1 - context.rank();
    for (const auto& own : {dynamic({{7, 0.5}}, {{other, 1.0}}), dynamic({{other, 0.5}}, {{-1, 1.0}}),
                            dynamic({{context.rank(), 0.5}}, {{other, 1.0}})}) {
      expect_error<InvalidArgument>(
          [&] { context.neighbor_allreduce(std::span<const float>(x), std::span(x), own); },
          {"neighbor_allreduce", "weights: ", "rank"});
    }
    NeighborAllreduceOptions own = options();
    for (const Group& group : {Group{0, 1, 2}, Group{0, 1, 1}, Group{other}}) {
      own.group = group;
      expect_error<InvalidArgument>(
          [&] { context.neighbor_allreduce(std::span<const float>(x), std::span(x), own); }, {"group: "});
    }
  });
}

TEST_P(BadInput, AScheduleOfAnotherSize) {
  run(2, [&](Context& context) {
    std::vector<float> x(50);
    NeighborAllreduceOptions own = options();
    own.schedule = one_peer_exponential(3);
    expect_error<InvalidArgument>(
        [&] { context.neighbor_allreduce(std::span<const float>(x), std::span(x), own); },
        {"neighbor_allreduce", "schedule", "3"});
  });
}

TEST_P(BadInput, OutputsThatDoNotFit) {
  run(2, [&](Context& context) {
    std::vector<float> x(100);
    const auto call = [&](ConstTensor input, Tensor output) {
      expect_error<InvalidArgument>([&] { context.neighbor_allreduce(input, output, options()); },
                                    {"neighbor_allreduce", "output", rank_text(context.rank())});
    };
    const std::span<float> all(x);
    call(all.first(50), all.subspan(10, 50));
    call(all.first(40), all.last(50));
    call(all.first(50), Tensor(x.data() + 50, DType::Int32, Shape(50)));
  });
}

TEST_P(BadInput, OutputsThatOverlapAnOperationInFlight) {
  run(2, [&](Context& context) {
    std::vector<float> x(100'000, static_cast<float>(context.rank()));
    NeighborAllreduceOptions first = options();
    first.name = "first";
    NeighborAllreduceOptions second = options();
    second.name = "second";
    // Rank 1 holds the first back until both have seen the error of the second, so it is in flight on rank 0.
    Handle handle;
    if (context.rank() == 0)
      handle = context.neighbor_allreduce_async(std::span<const float>(x), std::span(x), first);
    const std::span<float> part = std::span(x).first(10);
    std::vector<float> apart(10);
    const std::span<float> tensor = context.rank() == 0 ? part : std::span(apart);
    const auto call = [&] { context.neighbor_allreduce(tensor, tensor, second); };
    if (context.rank() == 0) {
      expect_error<InvalidArgument>(call, {"\"second\"", "overlap", "\"first\"", "in flight"});
    } else {
      expect_error<Mismatch>(call, {"\"second\"", "rank 0", "overlap"});
      handle = context.neighbor_allreduce_async(std::span<const float>(x), std::span(x), first);
    }
    handle.wait();
    EXPECT_EQ(x[99'999], 0.5F);
  });
}

TEST_P(BadInput, TheSameNameTwiceInFlight) {
  run(2, [&](Context& context) {
    std::vector<float> x(50, static_cast<float>(context.rank()));
    std::vector<float> y(50);
    NeighborAllreduceOptions own = options();
    own.name = "weights";
    if (context.rank() == 0) {
      Handle handle = context.neighbor_allreduce_async(std::span<const float>(x), std::span(x), own);
      expect_error<InvalidArgument>(
          [&] { context.neighbor_allreduce(std::span<const float>(y), std::span(y), own); },
          {"neighbor_allreduce \"weights\"", "in flight", "rank 0"});
      context.barrier();
      handle.wait();
    } else {
      context.barrier();  // so that the first is still in flight on rank 0 when it makes the second call
      context.neighbor_allreduce(std::span<const float>(x), std::span(x), own);
      expect_error<Mismatch>(
          [&] { context.neighbor_allreduce(std::span<const float>(y), std::span(y), own); },
          {"neighbor_allreduce \"weights\"", "in flight", "rank 0", "rank 1"});
    }
    EXPECT_EQ(x[49], 0.5F);
    context.neighbor_allreduce(std::span<const float>(x), std::span(x), own);
    EXPECT_EQ(x[49], 0.5F);
  });
}

TEST_P(BadInput, TypesThatCannotBeAveraged) {
  run(2, [&](Context& context) {
    std::vector<int> x(50);
    expect_error<InvalidArgument>(
        [&] { context.neighbor_allreduce(std::span<const int>(x), std::span(x), options()); },
        {"neighbor_allreduce", "int32", "float32", rank_text(context.rank())});
  });
}

TEST_P(BadInput, TensorsWithoutMemory) {
  run(2, [&](Context& context) {
    std::vector<float> x(50);
    const Tensor none(nullptr, DType::Float32, Shape(50));
    const std::vector<std::string> parts = {"50", "no memory", rank_text(context.rank())};
    expect_error<InvalidArgument>([&] { context.neighbor_allreduce(none, std::span(x), options()); }, parts);
    expect_error<InvalidArgument>(
        [&] { context.neighbor_allreduce(std::span<const float>(x), none, options()); }, parts);
    expect_error<InvalidArgument>([&] { context.allreduce(none, none); }, parts);
    expect_error<InvalidArgument>([&] { static_cast<void>(context.neighbor_allgather(none)); }, parts);
    expect_error<InvalidArgument>([&] { static_cast<void>(context.allgather(none)); }, parts);
    expect_error<InvalidArgument>([&] { context.broadcast(none, 0); }, parts);
    expect_error<InvalidArgument>([&] { context.allreduce(ConstTensor(), Tensor()); }, {"no memory"});
  });
}

TEST_P(BadInput, EmptyTensorsWork) {
  run(3, [&](Context& context) {
    std::vector<float> x;
    for (int i = 0; i < 10; ++i)
      context.neighbor_allreduce(std::span<const float>(x), std::span(x), options());
  });
}

TEST(BadHandle, RefersToNothing) {
  Handle none;
  EXPECT_FALSE(none.valid());
  EXPECT_THROW(none.wait(), InvalidArgument);
  EXPECT_THROW(static_cast<void>(none.wait_for(std::chrono::seconds(0))), InvalidArgument);
  EXPECT_THROW(static_cast<void>(none.done()), InvalidArgument);
  EXPECT_THROW(none.cancel(), InvalidArgument);
  EXPECT_THROW(static_cast<void>(none.gathered()), InvalidArgument);
}

TEST(BadSize, MoreSharedMemoryThanThereIs) {
  Context context;
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  EXPECT_THROW(static_cast<void>(context.allocate_shared(most)), Error);
  EXPECT_THROW(static_cast<void>(context.make_shared<double>(most / 8 + 2)), Error);
  EXPECT_EQ(context.make_shared<double>(3).size(), 3U);
}

INSTANTIATE_TEST_SUITE_P(
    Settings, BadInput,
    testing::Values(Setting{Ranks::Threads, false}, Setting{Ranks::Threads, true},
                    Setting{Ranks::Processes, false}, Setting{Ranks::Processes, true},
                    Setting{Ranks::SimulatedHost, true}, Setting{Ranks::SimulatedPairs, false},
                    Setting{Ranks::SimulatedPairs, true}, Setting{Ranks::SimulatedHosts, false},
                    Setting{Ranks::SimulatedHosts, true}, Setting{Ranks::TcpThreads, false},
                    Setting{Ranks::TcpThreads, true}, Setting{Ranks::TcpProcesses, true}),
    testing::PrintToStringParamName());

}  // namespace
}  // namespace bluefog::test
