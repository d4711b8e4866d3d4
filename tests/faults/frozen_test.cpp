// Ranks that stop for a while: frozen from outside, or busy with something else.
//
//   BUSY_SECONDS=120 frozen_test      busy for so long, with the heartbeat that users have

#include <chrono>
#include <cstdlib>
#include <numeric>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "faults/mortal.hpp"
#include "faults/slice_job.hpp"
#include "multi/job.hpp"

namespace bluefog::test {
namespace {

using namespace std::chrono_literals;

Group everybody(int size) {
  Group group(static_cast<std::size_t>(size));
  std::iota(group.begin(), group.end(), 0);
  return group;
}

TEST(Frozen, RankIsDeadBeforeItsWorkIsTakenOver) {
  constexpr int size = 3;
  constexpr int frozen = 1;
  constexpr std::uint64_t in_its_first_slice = 60;
  const History expected = undisturbed(size, Layout::InPlace);
  const auto ends = run_processes(
      size,
      [&](const Config& config) {
        Fate fate;
        if (config.rank == frozen) fate = Fate(in_its_first_slice, [] { ::raise(SIGSTOP); });
        MortalStores stores(fate);
        const auto session = engine::Session::join(config, mortal(fate, stores));
        const std::vector<int> pids = gather(*session, everybody(size), ::getpid());
        SliceRank rank(*session, Layout::InPlace);
        const Course course = mix_until_lost(rank, {frozen}, fate);
        EXPECT_TRUE(course.lost) << "nobody has given up the frozen rank";
        EXPECT_GE(course.completed, 1) << "it was not frozen in the middle of a slice";
        expect_whole(rank, course, expected);
        // If it were only frozen, it would go on to write now.
        ::kill(pids[frozen], SIGCONT);
        expect_agreement(*session, course, {frozen});
        expect_whole(rank, course, expected);
      },
      slice_config());
  EXPECT_EQ(ends[frozen].signal, SIGKILL);
  EXPECT_TRUE(ends[0].is_clean()) << ends[0].failures;
  EXPECT_TRUE(ends[2].is_clean()) << ends[2].failures;
}

TEST(Busy, RankThatDoesSomethingElseForLongIsNotGivenUp) {
  Config config = slice_config();
  std::chrono::milliseconds busy = 2 * config.heartbeat * membership::Liveness::ticks_until_lost + 1s;
  if (const char* wish = std::getenv("BUSY_SECONDS"); wish != nullptr) {
    config = Config();
    busy = std::chrono::seconds(std::atoi(wish));
  }
  run_job(
      Ranks::Processes, 3,
      [busy](Context& context) {
        std::vector<double> x{1.0 + context.rank()};
        context.allreduce(std::span<const double>(x), std::span(x));
        // It saves a checkpoint, say, and makes no call meanwhile.
        if (context.rank() == 1) std::this_thread::sleep_for(busy);
        context.allreduce(std::span<const double>(x), std::span(x));
        EXPECT_EQ(x[0], 2.0);
      },
      config);
}

}  // namespace
}  // namespace bluefog::test
