// Warnings about live but slow peers. In virtual time, so that minutes pass at once.

#include <chrono>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/log.hpp"
#include "multi/job.hpp"

namespace bluefog::test {
namespace {

using namespace std::chrono_literals;

OperationOptions named(const std::string& name, Group group = {}) {
  OperationOptions options = among(std::move(group));
  options.name = name;
  return options;
}

class Stalls : public testing::TestWithParam<Ranks> {
 protected:
  /// Runs `body` on `size` simulated ranks.
  void run(int size, const std::function<void(Context&, Simulation&)>& body) {
    run(simulated(GetParam(), size), body);
  }
  void run(SimulationOptions options, const std::function<void(Context&, Simulation&)>& body) {
    log::configure(log::Level::warning, true, -1);
    options.config.op_timeout = 1h;
    testing::internal::CaptureStderr();
    Simulation simulation(std::move(options));
    const auto ends = simulation.run([&](Context& context) {
      try {
        body(context, simulation);
      } catch (const std::exception& error) {
        ADD_FAILURE() << "rank " << context.rank() << ": " << error.what();
      }
    });
    std::istringstream written(testing::internal::GetCapturedStderr());
    for (std::string line; std::getline(written, line);) {
      // A sanitizer may have something to say too.
      if (line.starts_with("[bluefog")) warnings_.push_back(line);
    }
    for (const auto& end : ends) EXPECT_EQ(end.how, Simulation::End::How::Returned);
  }
  /// The warnings of one call of one rank.
  [[nodiscard]] std::vector<std::string> warnings_about(const std::string& call) const {
    std::vector<std::string> found;
    for (const std::string& line : warnings_) {
      if (line.find("warning: " + call + " has waited ") != std::string::npos) found.push_back(line);
    }
    return found;
  }
  /// What a warning says of a rank's operations; far ones are told of with a word of caution.
  [[nodiscard]] std::string in_flight(int rank, const std::string& what) const {
    const bool is_far = GetParam() == Ranks::SimulatedHosts;
    return "on rank " + std::to_string(rank) + (is_far ? ", as far as it has told: " : ": ") + what;
  }
  std::vector<std::string> warnings_;
};

void expect_part(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "\"" << part << "\" is not in: " << text;
}

TEST_P(Stalls, NameWhatBothSidesAreInTheMiddleOf) {
  run(2, [](Context& context, Simulation& simulation) {
    if (context.rank() == 0) {
      context.barrier(named("first"));
      context.barrier(named("second"));
    } else {
      Handle second = context.barrier_async(named("second"));
      simulation.compute(150s);
      context.barrier(named("first"));
      second.wait();
    }
  });
  const auto first = warnings_about("barrier \"first\" (call 0) on rank 0");
  ASSERT_EQ(first.size(), 2U) << "after one minute and after two";
  expect_part(first[0],
              "; these ranks have not made the call: 1. In flight on rank 0: barrier \"first\" (call 0); " +
                  in_flight(1, "barrier \"second\" (call 0)"));
  const auto second = warnings_about("barrier \"second\" (call 0) on rank 1");
  ASSERT_EQ(second.size(), 2U);
  expect_part(second[0],
              "; these ranks have not made the call: 0. In flight on rank 1: barrier \"second\" (call 0); " +
                  in_flight(0, "barrier \"first\" (call 0)"));
  EXPECT_EQ(warnings_.size(), 4U);
}

TEST_P(Stalls, APeerThatComputesHasNothingInFlight) {
  run(2, [](Context& context, Simulation& simulation) {
    context.barrier();
    if (context.rank() == 1) simulation.compute(100s);
    context.barrier();
  });
  const auto warnings = warnings_about("barrier (call 1) on rank 0");
  ASSERT_EQ(warnings.size(), 1U);
  expect_part(warnings[0], "; " + in_flight(1, "nothing"));
}

TEST_P(Stalls, TellCallsOfOtherGroupsApart) {
  run(3, [](Context& context, Simulation& simulation) {
    if (context.rank() == 2) simulation.compute(100s);
    if (context.rank() > 0) context.barrier(named("", {1, 2}));
    if (context.rank() < 2) context.barrier(named("", {0, 1}));
  });
  const auto warnings = warnings_about("barrier (call 0) on rank 0");
  ASSERT_EQ(warnings.size(), 1U);
  // Ranks of other hosts are not told of calls that do not concern them.
  const bool is_told = GetParam() == Ranks::SimulatedHost;
  expect_part(warnings[0], "In flight on rank 0: barrier (call 0); " +
                               in_flight(1, is_told ? "barrier (call 0) of another group" : "nothing"));
}

TEST_P(Stalls, NameThePeerWhoseDataIsMissing) {
  SimulationOptions options = simulated(GetParam(), 2);
  options.between_hosts = options.inside_host = {1us, 1e6, {}};
  options.byte_scale = 100;
  run(options, [](Context& context, Simulation&) {
    std::vector<float> x(1 << 18, static_cast<float>(context.rank()));
    context.broadcast(std::span(x), 1);
    EXPECT_EQ(x.back(), 1.0F);
  });
  if (GetParam() == Ranks::SimulatedHost) {
    EXPECT_EQ(warnings_.size(), 0U) << "a rank that copies does not wait";
  } else {
    const auto warnings = warnings_about("broadcast (call 0) on rank 0");
    ASSERT_EQ(warnings.size(), 1U);
    expect_part(warnings[0],
                "; these ranks have not sent all their data: 1. In flight on rank 0: broadcast (call 0)");
  }
}

INSTANTIATE_TEST_SUITE_P(Ranks, Stalls, testing::Values(Ranks::SimulatedHost, Ranks::SimulatedHosts),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace bluefog::test
