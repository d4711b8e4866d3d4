// Ranks that are connected by TCP: who is lost, and who goes on.

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <signal.h>

#include <bluefog/error.hpp>

#include "multi/hosts.hpp"

namespace bluefog::test {
namespace {

using namespace std::chrono_literals;

struct Wait {
  std::string name;
  std::function<void(Context&)> call;
};
std::ostream& operator<<(std::ostream& out, const Wait& wait) {
  return out << wait.name;
}

void mix_with_all(Context& context, std::size_t count, bool meet) {
  std::vector<float> x(count);
  NeighborAllreduceOptions options;
  options.schedule = static_schedule(fully_connected_graph(context.size()));
  options.meet = meet;
  context.neighbor_allreduce(std::span<const float>(x), std::span(x), options);
}

class KillOverTcp : public testing::TestWithParam<Wait> {};

TEST_P(KillOverTcp, SurvivorsLearnWhoDiedAndGoOn) {
  const auto ends = run_processes(
      4,
      [wait = GetParam()](const Config& config) {
        Context context(config);
        context.barrier();
        if (context.rank() == 1) ::raise(SIGKILL);
        try {
          wait.call(context);
          ADD_FAILURE() << "the operation succeeded without rank 1";
        } catch (const PeerLost& error) {
          EXPECT_EQ(error.peer(), 1) << error.what();
          expect_in(error.what(), "on rank " + std::to_string(context.rank()) + " after ");
          expect_in(error.what(), "rank 1 is lost");
        }
        for (int i = 0; i < 10; ++i) context.barrier(among({0, 2, 3}));
      },
      tcp_config());
  EXPECT_EQ(ends[1].signal, SIGKILL) << "the fault did not happen";
  expect_clean(ends, {1});
}

INSTANTIATE_TEST_SUITE_P(
    Operations, KillOverTcp,
    testing::Values(Wait{"Barrier", [](Context& context) { context.barrier(); }},
                    Wait{"Small", [](Context& context) { mix_with_all(context, 100, false); }},
                    Wait{"Large", [](Context& context) { mix_with_all(context, 1'000'000, false); }},
                    Wait{"Meeting", [](Context& context) { mix_with_all(context, 1'000'000, true); }},
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

TEST(LossOverTcp, InTheMiddleOfAStreamHangsNobody) {
  for (int round = 0; round < 6; ++round) {
    const auto ends = run_processes(
        3,
        [round](const Config& config) {
          Context context(config);
          std::vector<float> x(300'000);
          NeighborAllreduceOptions all;
          all.schedule = static_schedule(fully_connected_graph(3));
          for (int i = 0;; ++i) {
            ASSERT_LT(i, 1000);
            try {
              Handle handle = context.neighbor_allreduce_async(std::span<const float>(x), std::span(x), all);
              if (context.rank() == 1 && i == 2 * round) {
                for (int turn = 0; turn < 5 * round && !handle.done(); ++turn) {
                }
                ::raise(SIGKILL);
              }
              handle.wait();
            } catch (const PeerLost& error) {
              EXPECT_EQ(error.peer(), 1) << error.what();
              break;
            }
          }
        },
        tcp_config());
    EXPECT_EQ(ends[1].signal, SIGKILL);
    expect_clean(ends, {1});
  }
}

TEST(LossOverTcp, OfARankThatStandsStill) {
  Config config = tcp_config();
  config.heartbeat = 100ms;
  const auto ends = run_processes(
      3,
      [](const Config& own) {
        Context context(own);
        const std::vector<int> pids = pids_of_all(context);
        if (context.rank() == 1) ::raise(SIGSTOP);
        const std::string text = text_of<PeerLost>([&] { context.barrier(); });
        expect_in(text, "rank 1 is lost");
        context.barrier(among({0, 2}));
        if (context.rank() == 0) ::kill(pids[1], SIGKILL);
      },
      config);
  EXPECT_EQ(ends[1].signal, SIGKILL);
  expect_clean(ends, {1});
}

TEST(LossOverTcp, OfAMachineLeavesOthersWhole) {
  Config config = test_config();
  config.nodes_per_machine = 2;
  const auto ends = run_processes(
      4,
      [](const Config& own) {
        Context context(own);
        context.barrier();
        if (context.rank() >= 2) ::raise(SIGKILL);
        const std::string text = text_of<PeerLost>([&] { mix_with_all(context, 1'000'000, true); });
        expect_in(text, " is lost");
        auto x = context.make_shared<float>(100'000);
        NeighborAllreduceOptions pair;
        pair.group = {0, 1};
        pair.meet = true;
        std::fill(x.begin(), x.end(), static_cast<float>(context.rank()));
        context.neighbor_allreduce(x.span(), x.span(), pair);
        EXPECT_EQ(x[99'999], 0.5F);
      },
      config);
  EXPECT_EQ(ends[2].signal, SIGKILL);
  EXPECT_EQ(ends[3].signal, SIGKILL);
  expect_clean(ends, {2, 3});
}

}  // namespace
}  // namespace bluefog::test
