// Ranks that die, leave, or never come, as the others see it; collective calls that differ between ranks.

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bluefog/error.hpp>

#include "multi/job.hpp"

namespace bluefog::test {
namespace {

using namespace std::chrono_literals;

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

void expect_usable(Context& context) {
  std::vector<double> x{static_cast<double>(context.rank())};
  context.allreduce(std::span<const double>(x), std::span(x));
  EXPECT_EQ(x[0], static_cast<double>(context.size() - 1) / 2);
}

/// What the survivors of a kill were doing.
struct Wait {
  std::string name;
  std::function<void(Context&)> call;
};
std::ostream& operator<<(std::ostream& out, const Wait& wait) {
  return out << wait.name;
}

NeighborAllreduceOptions everybody(bool meet) {
  NeighborAllreduceOptions options;
  options.schedule = static_schedule(fully_connected_graph(3));
  options.meet = meet;
  return options;
}

void mix(Context& context, std::size_t count, bool meet, bool shared) {
  std::vector<float> own(count);
  auto arena = context.make_shared<float>(count);
  const std::span<float> x = shared ? arena.span() : std::span(own);
  context.neighbor_allreduce(x, x, everybody(meet));
}

class Kill : public testing::TestWithParam<Wait> {};

TEST_P(Kill, SurvivorsLearnWhoDied) {
  const auto ends = run_processes(3, [wait = GetParam()](const Config& config) {
    Context context(config);
    context.barrier();
    if (context.rank() == 1) ::raise(SIGKILL);
    const auto begin = std::chrono::steady_clock::now();
    try {
      wait.call(context);
      ADD_FAILURE() << "the operation succeeded without rank 1";
    } catch (const PeerLost& error) {
      EXPECT_EQ(error.peer(), 1) << error.what();
      const std::string place = "on rank " + std::to_string(context.rank()) + " after ";
      for (const std::string& part :
           std::vector<std::string>{"(call ", place, "rank 1 has died", "restart the job"}) {
        EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
      }
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 20s);  // long before any deadline of an operation
    // The two that are left still work.
    for (int i = 0; i < 10; ++i) context.barrier(among({0, 2}));
  });
  EXPECT_EQ(ends[1].signal, SIGKILL) << "the fault did not happen";
  EXPECT_TRUE(ends[0].is_clean()) << ends[0].failures;
  EXPECT_TRUE(ends[2].is_clean()) << ends[2].failures;
}

INSTANTIATE_TEST_SUITE_P(
    Operations, Kill,
    testing::Values(Wait{"Barrier", [](Context& context) { context.barrier(); }},
                    Wait{"SmallRing", [](Context& context) { mix(context, 100, false, false); }},
                    Wait{"Ring", [](Context& context) { mix(context, 1'000'000, false, false); }},
                    Wait{"ZeroCopy", [](Context& context) { mix(context, 1'000'000, false, true); }},
                    Wait{"SmallMeeting", [](Context& context) { mix(context, 100, true, true); }},
                    Wait{"Slices", [](Context& context) { mix(context, 1'000'000, true, true); }},
                    Wait{"Allgather",
                         [](Context& context) {
                           std::vector<int> x(100);
                           static_cast<void>(context.allgather(std::span<const int>(x)));
                         }},
                    Wait{"Broadcast",
                         [](Context& context) {
                           std::vector<float> x(100'000);
                           context.broadcast(std::span(x), 1);
                         }}),
    testing::PrintToStringParamName());

TEST(Leaving, IsNoDeathThoughTheProcessEnds) {
  const auto ends = run_processes(2, [](const Config& config) {
    Context context(config);
    const std::vector<int> own{::getpid()};
    const GatheredTensor pids = context.allgather(std::span<const int>(own));
    if (context.rank() == 1) return;
    const int pidfd =
        static_cast<int>(::syscall(SYS_pidfd_open, reinterpret_cast<const int*>(pids.data.get())[1], 0));
    pollfd end{pidfd, POLLIN, 0};
    ASSERT_EQ(::poll(&end, 1, 20'000), 1) << "rank 1 did not end";
    for (int i = 0; i < 50; ++i) {  // before and after this rank's watch has seen it
      expect_error<PeerLost>([&] { context.barrier(); }, {"rank 1 has left the job"});
      std::this_thread::sleep_for(2ms);
    }
    ::close(pidfd);
  });
  for (const RankEnd& end : ends) EXPECT_TRUE(end.is_clean()) << end.failures;
}

TEST(Settings, ThatMakeNoSenseAreRefused) {
  Config config = test_config();
  config.heartbeat = 0ms;
  expect_error<InvalidArgument>([&] { static_cast<void>(Context::in_process(2, config)); },
                                {"BLUEFOG_HEARTBEAT"});
  config = test_config();
  config.ranks_of_hosts = {2, 1};
  expect_error<InvalidArgument>([&] { static_cast<void>(Context::in_process(2, config)); },
                                {"BLUEFOG_RANKS_OF_HOSTS", "sum is 2"});
}

TEST(KillInTheMiddle, NobodyHangs) {
  // Rank 1 dies at some instant of a stream of operations; where, differs from round to round.
  for (int round = 0; round < 10; ++round) {
    const auto ends = run_processes(3, [round](const Config& config) {
      Context context(config);
      auto shared = context.make_shared<float>(200'000);
      std::vector<float> own(200'000);
      for (int i = 0;; ++i) {
        const std::span<float> x = i % 2 == 0 ? shared.span() : std::span(own);
        try {
          Handle handle = context.neighbor_allreduce_async(x, x, everybody(i % 4 < 2));
          if (context.rank() == 1 && i == 3 * round) {
            for (int turn = 0; turn < 5 * round && !handle.done(); ++turn) {
            }
            ::raise(SIGKILL);
          }
          handle.wait();
        } catch (const Error&) {
          break;
        }
        ASSERT_LT(i, 1000);
      }
    });
    EXPECT_EQ(ends[1].signal, SIGKILL) << "the fault did not happen";
    EXPECT_TRUE(ends[0].is_clean()) << ends[0].failures;
    EXPECT_TRUE(ends[2].is_clean()) << ends[2].failures;
  }
}

TEST(Deadline, NamesTheRanksThatHaveNotCome) {
  for (const bool meet : {false, true}) {
    Config config = test_config();
    config.op_timeout = 100ms;
    std::atomic<int> waiting{2};
    const auto late = [&](Context& context) {
      std::vector<float> x(10, 1.0F);
      NeighborAllreduceOptions options = everybody(meet);
      options.name = "late";
      context.neighbor_allreduce(std::span<const float>(x), std::span(x), options);
    };
    run_job(
        Ranks::Threads, 3,
        [&](Context& context) {
          if (context.rank() == 2) {
            for (int left = waiting; left > 0; left = waiting) waiting.wait(left);
            return expect_error<Mismatch>([&] { late(context); },
                                          {"neighbor_allreduce \"late\"", "gave up", "rank 2"});
          }
          try {
            late(context);
            ADD_FAILURE() << "the operation succeeded without rank 2";
          } catch (const Mismatch& error) {  // the other one was faster to give up
            EXPECT_NE(std::string(error.what()).find("not made the call: 2"), std::string::npos)
                << error.what();
          } catch (const Timeout& error) {
            for (const char* part :
                 {"neighbor_allreduce \"late\"", "not made the call: 2", "BLUEFOG_OP_TIMEOUT"}) {
              EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
            }
          }
          --waiting;
          waiting.notify_all();
        },
        config);
  }
}

TEST(Collective, RootsThatDiffer) {
  // Between hosts a rank that agrees with the root may have got its data before the root learns of the
  // quarrel.
  for (const Ranks ranks : {Ranks::Threads, Ranks::Processes, Ranks::SimulatedHost}) {
    run_job(ranks, 3, [](Context& context) {
      std::vector<float> x(1000);
      expect_error<Mismatch>([&] { context.broadcast(std::span(x), context.rank() == 2 ? 1 : 0); },
                             {"broadcast", "root", "rank 2"});
      expect_error<InvalidArgument>([&] { context.broadcast(std::span(x), 3); },
                                    {"broadcast", "root_rank", "no rank 3"});
      expect_usable(context);
    });
  }
}

TEST(Collective, ReductionsThatDiffer) {
  run_job(Ranks::Threads, 2, [](Context& context) {
    std::vector<float> x(1000);
    AllreduceOptions options;
    options.reduction = context.rank() == 0 ? Reduction::Sum : Reduction::Mean;
    expect_error<Mismatch>([&] { context.allreduce(std::span<const float>(x), std::span(x), options); },
                           {"allreduce", "rank 0", "rank 1"});
    expect_usable(context);
  });
}

TEST(Collective, TopologiesThatDiffer) {
  for (const Ranks ranks : all_ranks) {
    run_job(ranks, 3, [](Context& context) {
      const Topology before = context.topology();
      expect_error<Mismatch>(
          [&] { context.set_topology(context.rank() == 1 ? ring_graph(3) : star_graph(3)); },
          {"set_topology", "topology", "rank 1"});
      expect_error<Mismatch>([&] { context.set_topology(star_graph(3), context.rank() == 1); },
                             {"set_topology", "topology", "rank 1"});
      EXPECT_EQ(context.topology(), before);
      expect_usable(context);
    });
  }
}

TEST(Collective, TopologiesOfTheWrongSize) {
  run_job(Ranks::Threads, 3, [](Context& context) {
    const Topology before = context.topology();
    expect_error<InvalidArgument>([&] { context.set_topology(ring_graph(4)); }, {"set_topology", "4", "3"});
    // On one rank only.
    const auto call = [&] { context.set_topology(ring_graph(context.rank() == 1 ? 2 : 3)); };
    if (context.rank() == 1) {
      expect_error<InvalidArgument>(call, {"set_topology", "2", "3"});
    } else {
      expect_error<Mismatch>(call, {"set_topology", "rank 1", "2 nodes"});
    }
    EXPECT_EQ(context.topology(), before);
    expect_usable(context);
  });
}

TEST(Collective, GathersOfShapesThatDoNotFit) {
  for (const Ranks ranks : all_ranks) {
    run_job(ranks, 2, [](Context& context) {
      std::vector<float> x(60);
      const std::int64_t extents[] = {context.rank() == 0 ? 20 : 15, context.rank() == 0 ? 3 : 4};
      const ConstTensor tensor(x.data(), DType::Float32, Shape(extents));
      expect_error<Mismatch>([&] { static_cast<void>(context.allgather(tensor)); },
                             {"allgather", "shape", "[20, 3]", "[15, 4]", "rank 0", "rank 1"});
      expect_error<Mismatch>([&] { static_cast<void>(context.neighbor_allgather(tensor)); },
                             {"neighbor_allgather", "shape", "[20, 3]", "[15, 4]", "rank 0", "rank 1"});
      const ConstTensor scalar(x.data(), DType::Float32, Shape(std::span<const std::int64_t>()));
      expect_error<InvalidArgument>([&] { static_cast<void>(context.allgather(scalar)); },
                                    {"allgather", "scalar"});
      expect_usable(context);
    });
  }
}

TEST(Collective, RanksOfAGatherGivenTwiceOrHalf) {
  run_job(Ranks::Threads, 3, [](Context& context) {
    std::vector<float> x(3);
    const int next = (context.rank() + 1) % 3;
    NeighborAllgatherOptions twice;
    twice.src_ranks = {next, next};
    twice.dst_ranks = {next};
    NeighborAllgatherOptions half;
    half.src_ranks = {next};
    for (const auto& options : {twice, half}) {
      expect_error<InvalidArgument>(
          [&] { static_cast<void>(context.neighbor_allgather(std::span<const float>(x), options)); },
          {"neighbor_allgather", "src_ranks", "rank " + std::to_string(context.rank())});
    }
    expect_usable(context);
  });
}

TEST(Collective, AnEdgeOfAGatherThatOnlyOneEndKnows) {
  for (const Ranks ranks : all_ranks) {
    run_job(ranks, 2, [](Context& context) {
      std::vector<float> x(3);
      NeighborAllgatherOptions options;
      options.src_ranks = context.rank() == 0 ? std::vector<int>{1} : std::vector<int>{};
      options.dst_ranks = std::vector<int>{1 - context.rank()};
      expect_error<Mismatch>(
          [&] { static_cast<void>(context.neighbor_allgather(std::span<const float>(x), options)); },
          {"neighbor_allgather", "rank 0 sends to rank 1", "edge"});
      expect_usable(context);
    });
  }
}

}  // namespace
}  // namespace bluefog::test
