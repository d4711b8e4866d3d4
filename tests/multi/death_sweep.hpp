#pragma once
/// @file death_sweep.hpp  A rank is killed or frozen at virtual times all through mixings of several hosts.
/// No tensor is torn, the survivors of a host have all gone equally far, and who is lost is named.

#include <algorithm>
#include <cstring>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/error.hpp>
#include <bluefog/simulation.hpp>

#include "multi/job.hpp"
#include "multi/matrix.hpp"

namespace bluefog::test {

struct Sweep {
  std::string name;
  std::vector<int> hosts;  ///< of each rank
  int victim;
  SimulatedFault::Kind kind = SimulatedFault::Kind::Kill;
  bool is_private = false;    ///< the tensors of every second rank
  int ranks_per_machine = 0;  ///< 0: hosts are the machines
};
inline std::ostream& operator<<(std::ostream& out, const Sweep& sweep) {
  return out << sweep.name << "Without" << sweep.victim;
}

class DeathSweep : public testing::TestWithParam<Sweep> {
 protected:
  using Values = std::vector<float>;

  /// One mixing, in place, for which all ranks need each other.
  virtual void mix(Context& context, std::span<float> x) = 0;

  void SetUp() override { undisturbed_ = play({}); }

  void expect_nothing_torn() {
    const int steps = is_reduced() ? 20 : 60;
    for (int step = 0; step < steps && !HasFailure(); ++step) {
      const std::chrono::nanoseconds at = undisturbed_.end * step / steps;
      check(play({{GetParam().kind, at, GetParam().victim, -1, std::chrono::seconds(60)}}));
      EXPECT_FALSE(HasFailure()) << "after the fault at " << at.count() << " ns";
    }
    EXPECT_GT(losses_, steps / 2) << "too few losses to say anything";
    const auto& hosts = GetParam().hosts;
    if (std::count(hosts.begin(), hosts.end(), host_of_victim()) > 1) {
      EXPECT_GT(finished_, 0) << "nobody died in the middle of a slice";
    }
  }

 private:
  static constexpr std::size_t elements = 400'037;  // several chunks for each slice
  static constexpr int mixings = 3;

  struct Course {
    int completed = 0;
    bool lost = false;
    Values values;
    std::vector<Values> history;  ///< before each mixing, and after the last
  };
  struct Job {
    std::vector<Course> courses;
    std::vector<Simulation::End> ends;
    std::chrono::nanoseconds end{};
  };

  [[nodiscard]] static int host_of_victim() {
    return GetParam().hosts[static_cast<std::size_t>(GetParam().victim)];
  }

  void be_rank(Context& context, Course& course) {
    const Sweep& sweep = GetParam();
    auto shared = context.make_shared<float>(elements);
    Values own(elements);
    const bool is_private = sweep.is_private && context.rank() % 2 == 0;
    const std::span<float> x = is_private ? std::span(own) : shared.span();
    for (std::size_t i = 0; i < elements; ++i) {
      x[i] = static_cast<float>(context.rank() + 1) + static_cast<float>(i % 1000) / 7;
    }
    for (int call = 0; call < mixings; ++call) {
      course.history.emplace_back(x.begin(), x.end());
      try {
        mix(context, x);
        EXPECT_FALSE(course.lost) << "all ranks need the one that is lost";
        ++course.completed;
      } catch (const PeerLost& error) {
        course.lost = true;
        const bool is_victim = context.rank() == sweep.victim;  // it thaws among those that have given it up
        EXPECT_TRUE(is_victim || error.peer() == sweep.victim) << error.what();
      }
    }
    course.values.assign(x.begin(), x.end());
    course.history.push_back(course.values);
    OperationOptions survivors;
    for (int rank = 0; rank < context.size(); ++rank) {
      if (rank != sweep.victim) survivors.group.push_back(rank);
    }
    if (context.rank() != sweep.victim) context.barrier(survivors);  // nobody leaves before all have ended
  }

  Job play(std::vector<SimulatedFault> faults) {
    using namespace std::chrono_literals;
    const Sweep& sweep = GetParam();
    SimulationOptions options = simulated(Ranks::SimulatedHosts, static_cast<int>(sweep.hosts.size()));
    options.hosts = sweep.hosts;
    if (sweep.ranks_per_machine > 0) options.config.nodes_per_machine = sweep.ranks_per_machine;
    options.between_hosts = {20us, 4e9, 5us};
    options.inside_host = {1us, 1e9, {}};  // slow: mixing takes about as long as what comes before it
    options.step_time = 500ns;
    options.faults = std::move(faults);
    Job run;
    run.courses.resize(sweep.hosts.size());
    Simulation simulation(options);
    run.ends = simulation.run([&](Context& context) {
      be_rank(context, run.courses[static_cast<std::size_t>(context.rank())]);
      run.end = std::max(run.end, simulation.now());
    });
    return run;
  }

  [[nodiscard]] static std::string text_of(const std::exception_ptr& error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const std::exception& exception) {
      return exception.what();
    }
    return "no error";
  }

  void check(const Job& run) {
    const Sweep& sweep = GetParam();
    std::vector<int> completed(sweep.hosts.size(), -1);  // by host
    bool lost = false;
    for (std::size_t rank = 0; rank < run.courses.size(); ++rank) {
      const Course& course = run.courses[rank];
      if (static_cast<int>(rank) == sweep.victim) continue;
      EXPECT_EQ(run.ends[rank].how, Simulation::End::How::Returned)
          << "rank " << rank << ": " << text_of(run.ends[rank].error);
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
    losses_ += lost ? 1 : 0;
    const int of_host = completed[static_cast<std::size_t>(host_of_victim())];
    finished_ += of_host > run.courses[static_cast<std::size_t>(sweep.victim)].completed ? 1 : 0;
  }

  Job undisturbed_;
  int losses_ = 0;    ///< runs in which a survivor was told of a loss
  int finished_ = 0;  ///< in which the victim's host finished a mixing in its name
};

}  // namespace bluefog::test
