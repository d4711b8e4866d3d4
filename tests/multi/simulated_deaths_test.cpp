// A rank of another host dies while a large tensor is on its way: who is served, and that nobody waits for
// ever.

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/error.hpp>
#include <bluefog/graphs.hpp>
#include <bluefog/simulation.hpp>

#include "multi/job.hpp"

namespace bluefog::test {
namespace {

using namespace std::chrono_literals;
using How = Simulation::End::How;
using std::chrono::nanoseconds;

/// Many more chunks than a ring holds.
constexpr std::size_t count = 3'000'000;
constexpr nanoseconds kill_times[] = {1us, 500us, 2ms, 5ms, 9ms, 13ms};

/// Every rank on a host of its own.
SimulationOptions hosts_of_one(int size, int victim, nanoseconds at) {
  SimulationOptions options;
  options.size = size;
  options.between_hosts = {50us, 1e9, {}};
  options.config = test_config();
  options.faults.push_back({SimulatedFault::Kind::Kill, at, victim, -1, {}});
  return options;
}

TEST(SimulatedDeath, InTheMiddleOfAMeetingEndsForAllSurvivors) {
  for (const nanoseconds at : kill_times) {
    Simulation simulation(hosts_of_one(3, 2, at));
    std::vector<int> blamed(3, -1);
    const auto ends = simulation.run([&](Context& context) {
      std::vector<float> x(count, 1.0F);
      try {
        context.allreduce(std::span<const float>(x), std::span(x));
      } catch (const PeerLost& error) {
        blamed[static_cast<std::size_t>(context.rank())] = error.peer();
        EXPECT_LT(simulation.now(), at + 1s) << error.what();
      }
    });
    EXPECT_EQ(ends[2].how, How::Killed);
    EXPECT_EQ(blamed, (std::vector<int>{2, 2, -1})) << "killed after " << at.count() << " ns";
  }
}

TEST(SimulatedDeath, OfNobodysSourceLeavesBystandersWhole) {
  // On a ring of five, rank 2 is needed by 1 and 3 only; 0 and 4 need what these have still to send.
  for (const nanoseconds at : kill_times) {
    if (at < 500us) continue;  // 0 and 4 are not in the middle of it yet
    Simulation simulation(hosts_of_one(5, 2, at));
    std::vector<std::string> errors(5);
    const auto ends = simulation.run([&](Context& context) {
      const int rank = context.rank();
      const std::vector<float> x(count, static_cast<float>(rank));
      std::vector<float> y(count);
      NeighborAllreduceOptions options;
      options.schedule = static_schedule(ring_graph(5));
      try {
        context.neighbor_allreduce(std::span<const float>(x), std::span(y), options);
        const float mean = rank == 0 ? 5.0F / 3 : 7.0F / 3;
        EXPECT_NEAR(*std::min_element(y.begin(), y.end()), mean, 1e-5);
        EXPECT_NEAR(*std::max_element(y.begin(), y.end()), mean, 1e-5);
      } catch (const PeerLost& error) {
        errors[static_cast<std::size_t>(rank)] = error.what();
      }
    });
    EXPECT_EQ(ends[2].how, How::Killed);
    for (const std::size_t rank : {0U, 4U}) EXPECT_EQ(errors[rank], "") << "killed after " << at.count();
    for (const std::size_t rank : {1U, 3U}) EXPECT_NE(errors[rank].find("rank 2 is lost"), std::string::npos);
  }
}

}  // namespace
}  // namespace bluefog::test
