// Ranks that are killed while they mix over hosts; ranks are processes, connected by TCP between pairs of
// them.

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <bluefog/error.hpp>
#include <bluefog/graphs.hpp>

#include "multi/job.hpp"
#include "multi/matrix.hpp"

namespace bluefog::test {
namespace {

constexpr int size = 4;
constexpr int rounds = 30;
constexpr std::size_t count = 500'000;

using Values = std::array<double, size>;

/// All ranks' values after so many rounds on the one-way ring. Exact: all are multiples of 2^-30.
Values after(int done) {
  Values values{0, 1, 2, 3};
  for (; done > 0; --done) {
    const Values before = values;
    for (std::size_t i = 0; i < size; ++i) values[i] = 0.5 * before[i] + 0.5 * before[(i + size - 1) % size];
  }
  return values;
}

/// @returns how many rounds have succeeded
int mix_until_lost(Context& context, const SharedArray<double>& x, int victim) {
  NeighborAllreduceOptions mix;
  mix.schedule = static_schedule(ring_graph(size, RingStyle::Right));
  mix.meet = true;
  int done = 0;
  try {
    for (; done < rounds; ++done) context.neighbor_allreduce(x.span(), x.span(), mix);
  } catch (const PeerLost& error) {
    EXPECT_EQ(error.peer(), victim) << error.what();
  }
  return done;
}

void be_rank(const Config& config, int victim, std::chrono::microseconds life) {
  Context context(config);
  auto x = context.make_shared<double>(count);
  std::fill(x.begin(), x.end(), static_cast<double>(context.rank()));
  context.barrier();
  std::thread end;
  if (context.rank() == victim) {
    end = std::thread([life] {
      std::this_thread::sleep_for(life);
      ::raise(SIGKILL);
    });
  }
  const int done = mix_until_lost(context, x, victim);
  if (end.joinable()) end.join();  // it does not return
  const double wanted = after(done)[static_cast<std::size_t>(context.rank())];
  EXPECT_TRUE(std::all_of(x.begin(), x.end(), [&](double value) { return value == wanted; }))
      << "torn after " << done << " rounds";
  OperationOptions survivors;
  for (int rank = 0; rank < size; ++rank) {
    if (rank != victim) survivors.group.push_back(rank);
  }
  const std::array<int, 1> own{done};
  const GatheredTensor all = context.allgather(std::span<const int>(own), survivors);
  const int* const of_survivor = reinterpret_cast<const int*>(all.data.get());
  const int pair = victim < 2 ? 1 : 0;  // where the two are whose host has lost nobody
  EXPECT_EQ(of_survivor[pair], of_survivor[pair + 1]) << "ranks of one host disagree";
}

TEST(OverHostsKills, TearNothing) {
  Config config = test_config();
  config.nodes_per_machine = 2;
  config.store = "plain";
  const int kills = is_reduced() ? 4 : 16;
  for (int kill = 0; kill < kills && !HasFailure(); ++kill) {
    const int victim = kill % size;
    const std::chrono::microseconds life(3'000 * kill);
    const auto ends = run_processes(
        size, [&](const Config& own) { be_rank(own, victim, life); }, config);
    for (int rank = 0; rank < size; ++rank) {
      const RankEnd& end = ends[static_cast<std::size_t>(rank)];
      if (rank == victim) {
        EXPECT_EQ(end.signal, SIGKILL) << "the fault did not happen";
      } else {
        EXPECT_TRUE(end.is_clean()) << "rank " << rank << " without " << victim << " after " << life.count()
                                    << " us: " << end.failures;
      }
    }
  }
}

}  // namespace
}  // namespace bluefog::test
