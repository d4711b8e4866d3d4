// A rank is killed at virtual times all through mixings over hosts. No tensor is torn, the survivors of a
// host have all gone equally far, and who is lost is named.

#include <algorithm>
#include <cstring>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/error.hpp>
#include <bluefog/graphs.hpp>
#include <bluefog/simulation.hpp>

#include "multi/job.hpp"
#include "multi/matrix.hpp"

namespace bluefog::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

constexpr std::size_t elements = 400'037;  // several chunks for each carrier, several steps for each slice
constexpr int mixings = 3;

struct Sweep {
  std::string name;
  std::vector<int> hosts;
  int victim;
  SimulatedFault::Kind kind = SimulatedFault::Kind::Kill;
  bool is_private = false;  ///< the tensors of every second rank
};
std::ostream& operator<<(std::ostream& out, const Sweep& sweep) {
  return out << sweep.name << "Without" << sweep.victim;
}

using Values = std::vector<float>;

struct Course {
  int completed = 0;
  bool lost = false;
  Values values;
  std::vector<Values> history;  ///< before each mixing, and after the last
};

struct Job {
  std::vector<Course> courses;
  std::vector<Simulation::End> ends;
  nanoseconds end{};
};

void mix(Context& context, const Sweep& sweep, Course& course) {
  auto shared = context.make_shared<float>(elements);
  Values own(elements);
  const bool is_private = sweep.is_private && context.rank() % 2 == 0;
  const std::span<float> x = is_private ? std::span(own) : shared.span();
  for (std::size_t i = 0; i < elements; ++i) {
    x[i] = static_cast<float>(context.rank() + 1) + static_cast<float>(i % 1000) / 7;
  }
  NeighborAllreduceOptions mixing;
  mixing.schedule = static_schedule(exponential_two_graph(context.size()));
  mixing.meet = true;
  try {
    for (; course.completed < mixings; ++course.completed) {
      course.history.emplace_back(x.begin(), x.end());
      context.neighbor_allreduce(std::span<const float>(x), x, mixing);
    }
  } catch (const PeerLost& error) {
    course.lost = true;
    const bool is_victim = context.rank() == sweep.victim;  // it thaws among those that have given it up
    EXPECT_TRUE(is_victim || error.peer() == sweep.victim) << error.what();
  }
  course.values.assign(x.begin(), x.end());
  course.history.push_back(course.values);
  OperationOptions survivors;
  for (int rank = 0; rank < context.size(); ++rank) {
    if (rank != sweep.victim) survivors.group.push_back(rank);
  }
  if (context.rank() != sweep.victim) context.barrier(survivors);  // nobody leaves before all have ended
}

Job play(const Sweep& sweep, std::vector<SimulatedFault> faults) {
  SimulationOptions options = simulated(Ranks::SimulatedHosts, static_cast<int>(sweep.hosts.size()));
  options.hosts = sweep.hosts;
  options.between_hosts = {20us, 4e9, 5us};
  options.inside_host = {1us, 1e9, {}};  // slow: mixing takes about as long as what comes before it
  options.step_time = 500ns;
  options.faults = std::move(faults);
  Job job;
  job.courses.resize(sweep.hosts.size());
  Simulation simulation(options);
  job.ends = simulation.run([&](Context& context) {
    mix(context, sweep, job.courses[static_cast<std::size_t>(context.rank())]);
    job.end = std::max(job.end, simulation.now());
  });
  return job;
}

class OverHostsDeaths : public testing::TestWithParam<Sweep> {
 protected:
  struct Losses {
    int seen = 0;      ///< runs in which a survivor was told of a loss
    int finished = 0;  ///< in which the victim's host finished a mixing in its name
  };
  void check(const Job& job, Losses& losses) {
    const Sweep& sweep = GetParam();
    std::vector<int> completed(sweep.hosts.size(), -1);  // by host
    bool lost = false;
    for (std::size_t rank = 0; rank < job.courses.size(); ++rank) {
      const Course& course = job.courses[rank];
      if (static_cast<int>(rank) == sweep.victim) continue;
      EXPECT_EQ(job.ends[rank].how, Simulation::End::How::Returned) << "rank " << rank;
      if (course.values.size() != elements) continue;
      lost = lost || course.lost;
      const Values& right = undisturbed_.courses[rank].history[static_cast<std::size_t>(course.completed)];
      EXPECT_EQ(std::memcmp(course.values.data(), right.data(), elements * sizeof(float)), 0)
          << "after " << course.completed << " mixings the tensor of rank " << rank << " is torn";
      int& of_host = completed[static_cast<std::size_t>(sweep.hosts[rank])];
      EXPECT_TRUE(of_host == -1 || of_host == course.completed)
          << "the survivors of rank " << rank << "'s host disagree";
      of_host = course.completed;
    }
    losses.seen += lost ? 1 : 0;
    const int of_host =
        completed[static_cast<std::size_t>(sweep.hosts[static_cast<std::size_t>(sweep.victim)])];
    losses.finished += of_host > job.courses[static_cast<std::size_t>(sweep.victim)].completed ? 1 : 0;
  }

  Job undisturbed_ = play(GetParam(), {});
};

TEST_P(OverHostsDeaths, TearNothing) {
  const int steps = is_reduced() ? 20 : 60;
  Losses losses;
  for (int step = 0; step < steps && !HasFailure(); ++step) {
    const nanoseconds at = undisturbed_.end * step / steps;
    check(play(GetParam(), {{GetParam().kind, at, GetParam().victim, -1, 60s}}), losses);
    EXPECT_FALSE(HasFailure()) << "after the fault at " << at.count() << " ns";
  }
  EXPECT_GT(losses.seen, steps / 2) << "too few losses to say anything";
  const auto& hosts = GetParam().hosts;
  const int host = hosts[static_cast<std::size_t>(GetParam().victim)];
  if (std::count(hosts.begin(), hosts.end(), host) > 1) {
    EXPECT_GT(losses.finished, 0) << "nobody died in the middle of a slice";
  }
}

const std::vector<int> pairs{0, 0, 1, 1};
const std::vector<int> uneven{0, 1, 1, 1, 2, 2};

INSTANTIATE_TEST_SUITE_P(Killed, OverHostsDeaths,
                         testing::Values(Sweep{"Pairs", pairs, 0}, Sweep{"Pairs", pairs, 3},
                                         Sweep{"Uneven", uneven, 0}, Sweep{"Uneven", uneven, 1},
                                         Sweep{"Uneven", uneven, 3}, Sweep{"Uneven", uneven, 4}),
                         testing::PrintToStringParamName());
INSTANTIATE_TEST_SUITE_P(Private, OverHostsDeaths,
                         testing::Values(Sweep{"Pairs", pairs, 0, SimulatedFault::Kind::Kill, true},
                                         Sweep{"Uneven", uneven, 2, SimulatedFault::Kind::Kill, true}),
                         testing::PrintToStringParamName());
INSTANTIATE_TEST_SUITE_P(Frozen, OverHostsDeaths,
                         testing::Values(Sweep{"Pairs", pairs, 1, SimulatedFault::Kind::Freeze},
                                         Sweep{"Uneven", uneven, 0, SimulatedFault::Kind::Freeze}),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace bluefog::test
