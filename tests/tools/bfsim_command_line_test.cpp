// bfsim's command line: what it makes of its arguments, and how it refuses those that are wrong.

#include <ostream>
#include <string>

#include <gtest/gtest.h>

#include "bfsim_runs.hpp"
#include "command_line.hpp"

namespace bfsim {
namespace {

template <class Wanted>
Wanted parsed(const std::vector<std::string>& arguments) {
  std::ostringstream out;
  std::ostringstream err;
  const Command command = parse_command(arguments, out, err);
  const auto* wanted = std::get_if<Wanted>(&command);
  if (wanted == nullptr) throw std::runtime_error("another command than wanted: " + err.str());
  return *wanted;
}

TEST(CommandLine, HasDefaults) {
  const auto run = parsed<RunCommand>({"run"});
  EXPECT_EQ(run.experiment.plan.schedule, "one-peer-exp");
  EXPECT_EQ(run.experiment.plan.ranks, 32);
  EXPECT_EQ(run.experiment.plan.ranks_per_host, 1);
  EXPECT_EQ(run.experiment.algorithm, Algorithm::Atc);
  EXPECT_EQ(run.experiment.network.between_hosts.latency, std::chrono::microseconds(20));
  EXPECT_EQ(run.experiment.network.between_hosts.bandwidth, 3.125e9);
  EXPECT_EQ(run.experiment.network.inside_host.bandwidth, 50e9);
  EXPECT_TRUE(run.experiment.network.hosts_share_port);
  EXPECT_FALSE(run.output.json);
  const auto table = parsed<TableCommand>({"table"});
  EXPECT_EQ(table.ranks, (std::vector<int>{32, 256, 1024, 4096}));
  EXPECT_EQ(table.common.plan.ranks_per_host, 8);
  EXPECT_EQ(table.common.compute.jitter, 0.1);
  EXPECT_EQ(parsed<NoiseCommand>({"noise"}).steps, 600);
}

TEST(CommandLine, TakesNumbersWithUnits) {
  const auto run = parsed<RunCommand>({"run", "--latency", "3 ms", "--bandwidth=10Gbps", "--link-jitter",
                                       "7us", "--inside-latency", "250ns", "--inside-bandwidth", "8GBps",
                                       "--bytes", "123456789B", "--compute", "0.25"});
  const VirtualNetwork& network = run.experiment.network;
  EXPECT_EQ(network.between_hosts.latency, std::chrono::milliseconds(3));
  EXPECT_EQ(network.between_hosts.bandwidth, 1.25e9);
  EXPECT_EQ(network.between_hosts.jitter, std::chrono::microseconds(7));
  EXPECT_EQ(network.inside_host.latency, std::chrono::nanoseconds(250));
  EXPECT_EQ(network.inside_host.bandwidth, 8e9);
  EXPECT_EQ(run.experiment.model_bytes, 123456789);
  EXPECT_EQ(run.experiment.compute.mean, 0.25);
}

TEST(CommandLine, TakesWhatAnExperimentHas) {
  const auto run = parsed<RunCommand>({"run",
                                       "--schedule",
                                       "hierarchical",
                                       "--over-hosts",
                                       "exp2",
                                       "--ranks",
                                       "64",
                                       "--algorithm",
                                       "awc",
                                       "--steps",
                                       "7",
                                       "--warm-up",
                                       "2",
                                       "--own-ports",
                                       "--seed",
                                       "9",
                                       "--jitter",
                                       "0.2",
                                       "--tail",
                                       "0.3",
                                       "--hiccup",
                                       "0.01",
                                       "--slow-rank",
                                       "5",
                                       "--json",
                                       "--elements",
                                       "77",
                                       "--picture",
                                       "a.svg",
                                       "--ranks-per-host",
                                       "4",
                                       "--check-topology"});
  EXPECT_EQ(run.experiment.plan.schedule, "hierarchical");
  EXPECT_EQ(run.experiment.plan.over_hosts, "exp2");
  EXPECT_EQ(run.experiment.plan.ranks, 64);
  EXPECT_EQ(run.experiment.plan.ranks_per_host, 4);
  EXPECT_EQ(run.experiment.plan.seed, 9U);
  EXPECT_EQ(run.experiment.algorithm, Algorithm::Awc);
  EXPECT_EQ(run.experiment.steps, 7);
  EXPECT_EQ(run.warm_up, 2);
  EXPECT_FALSE(run.experiment.network.hosts_share_port);
  EXPECT_EQ(run.experiment.compute.seed, 9U);
  EXPECT_EQ(run.experiment.compute.jitter, 0.2);
  EXPECT_EQ(run.experiment.compute.tail, 0.3);
  EXPECT_EQ(run.experiment.compute.hiccup, 0.01);
  EXPECT_EQ(run.experiment.compute.slow_rank, 5);
  EXPECT_EQ(run.experiment.elements, 77U);
  EXPECT_TRUE(run.experiment.check_topology);
  EXPECT_TRUE(run.output.json);
  EXPECT_EQ(run.output.picture, "a.svg");
  EXPECT_EQ(parsed<TableCommand>({"table", "--ranks", "8,16"}).ranks, (std::vector<int>{8, 16}));
}

TEST(CommandLine, HelpsWithoutAnError) {
  const Result help = run_bfsim("--help");
  EXPECT_EQ(help.exit_code, 0);
  for (const char* command : {"run", "table", "noise"}) EXPECT_NE(help.out.find(command), std::string::npos);
  const Result of_run = run_bfsim("run --help");
  EXPECT_EQ(of_run.exit_code, 0);
  for (const char* part : {"--schedule", "one-peer-exp", "ring-all-reduce", "hierarchical", "Gbps"}) {
    EXPECT_NE(of_run.out.find(part), std::string::npos) << part;
  }
}

/// A command line that is refused, and words that the message must have.
struct Mistake {
  const char* name;
  const char* line;
  std::vector<const char*> words;
};

void PrintTo(const Mistake& mistake, std::ostream* out) {
  *out << mistake.line;
}

class Mistakes : public testing::TestWithParam<Mistake> {};

TEST_P(Mistakes, AreRefusedWithAMessage) {
  const Result result = run_bfsim(GetParam().line);
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.out, "");
  for (const char* word : GetParam().words) {
    EXPECT_NE(result.err.find(word), std::string::npos) << word << " in " << result.err;
  }
}

INSTANTIATE_TEST_SUITE_P(
    CommandLine, Mistakes,
    testing::Values(
        Mistake{"NoCommand", "", {"subcommand"}}, Mistake{"AnotherCommand", "walk", {"subcommand"}},
        Mistake{"AnotherOption", "run --rank 8", {"--rank"}},
        Mistake{"AnotherSchedule", "run --schedule foo", {"--schedule", "foo", "one-peer-exp"}},
        Mistake{"AnotherAlgorithm", "run --algorithm adam", {"--algorithm", "adam", "awc"}},
        Mistake{"HierarchyOverAHierarchy", "run --over-hosts hierarchical", {"--over-hosts", "hierarchical"}},
        Mistake{"HostsNotFull", "run --schedule hierarchical --ranks 12 --ranks-per-host 8", {"12", "8"}},
        Mistake{"HostsNotFullInATable", "table --ranks 16,12", {"12", "8"}},
        Mistake{"SizeOfAHypercube", "run --schedule hypercube --ranks 12", {"12"}},
        Mistake{"WarmUpOfAllSteps", "run --ranks 4 --steps 5 --warm-up 5", {"--warm-up", "5"}},
        Mistake{"NoStep", "run --steps 0", {"--steps"}},
        Mistake{"NegativeRanks", "run --ranks -4", {"--ranks", "-4"}},
        Mistake{"FractionOfARank", "run --ranks 4.5", {"--ranks", "4.5"}},
        Mistake{"TooManyRanks", "run --ranks 99999999999", {"--ranks"}},
        Mistake{"NegativeWarmUp", "run --warm-up -1", {"--warm-up", "-1"}},
        Mistake{"NegativeSeed", "run --seed -1", {"--seed", "-1"}},
        Mistake{"NegativeElements", "run --elements -1", {"--elements", "-1"}},
        Mistake{"NegativeTime", "run --compute -5ms", {"--compute", "-5ms", "negative"}},
        Mistake{"NegativeLatency", "table --latency=-5us", {"--latency", "-5us", "negative"}},
        Mistake{"TimeOfAnotherUnit", "run --compute 5min", {"--compute", "5min", "ms"}},
        Mistake{"TooLong", "run --compute 1e9s", {"--compute", "1e9s", "too much"}},
        Mistake{"RateWithoutANumber", "run --bandwidth fast", {"--bandwidth", "fast", "Gbps"}},
        Mistake{"RateThatIsNoNumber", "run --bandwidth nan", {"--bandwidth", "nan"}},
        Mistake{"NoBytes", "run --bytes 0", {"size"}},
        Mistake{"NoBytesOfAnAllReduce", "run --schedule ring-all-reduce --bytes 0", {"size"}},
        Mistake{"NegativeJitter", "run --jitter -0.1", {"--jitter", "-0.1"}},
        Mistake{"JitterThatIsNoNumber", "table --jitter nan", {"--jitter", "nan"}},
        Mistake{"TailBeyondTheMean", "run --tail 1.5", {"--tail", "1.5"}},
        Mistake{"NothingButHiccupsOfNothing", "run --hiccup 1 --hiccup-factor 0", {"hiccups"}},
        Mistake{"SlowRankThatIsNone", "run --ranks 8 --slow-rank 8", {"slow rank 8", "8"}},
        Mistake{"NegativeSlowRank", "run --slow-rank -2", {"--slow-rank", "-2"}},
        Mistake{"HierarchyThatOverlaps",
                "run --schedule hierarchical --ranks-per-host 8 --algorithm awc",
                {"hierarchical", "overlap"}},
        Mistake{"AllReduceThatOverlaps",
                "run --schedule ring-all-reduce --algorithm awc",
                {"ring-all-reduce", "overlap"}},
        Mistake{"NegativeNoise", "noise --engine-steps -1", {"--engine-steps", "-1"}}),
    [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace bfsim
