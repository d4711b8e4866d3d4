// What bfsim prints: JSON lines with the fields that docs/simulation.md lists, text, and the same for the
// same seed.

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "bfsim_runs.hpp"

namespace bfsim {
namespace {

using Fields = std::vector<std::string>;

void expect_fields(const nlohmann::json& line, Fields wanted) {
  Fields found;
  for (const auto& [name, value] : line.items()) found.push_back(name);
  std::sort(wanted.begin(), wanted.end());
  EXPECT_EQ(found, wanted) << line;
}

TEST(JsonOfARun, HasALineForEachStepAndASummary) {
  const Result result = run_bfsim("run --ranks 8 --steps 5 --warm-up 2 --jitter 0.1 --json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto lines = json_lines(result.out);
  ASSERT_EQ(lines.size(), 6U);
  for (int step = 0; step < 5; ++step) {
    const nlohmann::json& line = lines[static_cast<std::size_t>(step)];
    expect_fields(line, {"kind", "step", "mean_s", "p99_s", "consensus"});
    EXPECT_EQ(line["kind"], "step");
    EXPECT_EQ(line["step"], step + 1);
    EXPECT_GT(line["mean_s"], 0.15);
    EXPECT_GE(line["p99_s"], line["mean_s"]);
  }
  EXPECT_LT(lines[2]["consensus"], 1e-6);  // exact after three rounds
  expect_fields(lines[5], {"kind",          "source",        "schedule",       "over_hosts",
                           "max_degree",    "ranks",         "ranks_per_host", "algorithm",
                           "model_bytes",   "elements",      "steps",          "warm_up",
                           "seed",          "between_hosts", "inside_host",    "hosts_share_port",
                           "compute_s",     "jitter",        "tail",           "hiccup",
                           "hiccup_factor", "slow_rank",     "slow_factor",    "check_topology",
                           "mean_s",        "p50_s",         "p99_s",          "computed_s",
                           "efficiency",    "consensus"});
  EXPECT_EQ(lines[5]["kind"], "summary");
  EXPECT_EQ(lines[5]["source"], "engine");
}

TEST(JsonOfARun, SaysWhatWasRun) {
  const Result result = run_bfsim(
      "run --schedule hierarchical --ranks 8 --ranks-per-host 4 --own-ports --steps 2 --bytes 1MB "
      "--latency 1ms --bandwidth 1Gbps --link-jitter 2us --compute 20ms --seed 3 --json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const nlohmann::json summary = json_lines(result.out).back();
  EXPECT_EQ(summary["schedule"], "hierarchical");
  EXPECT_EQ(summary["ranks"], 8);
  EXPECT_EQ(summary["ranks_per_host"], 4);
  EXPECT_EQ(summary["hosts_share_port"], false);
  EXPECT_EQ(summary["model_bytes"], 1e6);
  EXPECT_EQ(summary["elements"], 16'448);  // the first multiple of 4 x 16 beyond 64 KiB
  EXPECT_EQ(summary["seed"], 3);
  EXPECT_EQ(summary["compute_s"], 0.02);
  EXPECT_EQ(summary["computed_s"], 0.02);
  expect_fields(summary["between_hosts"], {"latency_s", "bytes_per_s", "jitter_s"});
  EXPECT_EQ(summary["between_hosts"]["latency_s"], 1e-3);
  EXPECT_EQ(summary["between_hosts"]["bytes_per_s"], 0.125e9);
  EXPECT_EQ(summary["between_hosts"]["jitter_s"], 2e-6);
  EXPECT_EQ(summary["inside_host"]["bytes_per_s"], 50e9);
}

TEST(JsonOfARun, OfAnAllReduceIsOfTheModel) {
  const Result result = run_bfsim("run --schedule ring-all-reduce --ranks 8 --steps 3 --json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto lines = json_lines(result.out);
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_EQ(lines[3]["source"], "cost model and recursion");
  EXPECT_EQ(lines[3]["consensus"], 0);
  EXPECT_EQ(lines[3]["elements"], 0);
  EXPECT_NEAR(lines[3]["mean_s"], 0.15 + 14 * 20e-6 + 14.0 / 8 * 102e6 / 3.125e9, 1e-8);
}

TEST(JsonOfATable, HasARowForEachWayAndNumberOfRanks) {
  const Result result = run_bfsim("table --ranks 16,32 --json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto lines = json_lines(result.out);
  const Fields of_model{"kind",        "way",        "ranks",      "round_formula_s",
                        "step_mean_s", "step_p50_s", "step_p99_s", "efficiency"};
  Fields of_engine = of_model;
  of_engine.emplace_back("round_engine_s");
  ASSERT_EQ(lines.size() % 2, 0U);
  int engine_rows = 0;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i]["kind"], "row");
    EXPECT_EQ(lines[i]["ranks"], i < lines.size() / 2 ? 16 : 32);
    EXPECT_EQ(lines[i]["way"], lines[(i + lines.size() / 2) % lines.size()]["way"]);
    const bool is_model = lines[i]["way"].get<std::string>().find("(model)") != std::string::npos;
    expect_fields(lines[i], is_model ? of_model : of_engine);
    if (is_model) continue;
    ++engine_rows;
    EXPECT_NEAR(lines[i]["round_engine_s"], lines[i]["round_formula_s"].get<double>(),
                0.05 * lines[i]["round_formula_s"].get<double>())
        << lines[i]["way"];
  }
  EXPECT_EQ(engine_rows, 2 * 4);
}

TEST(JsonOfNoise, HasALineForEachNoiseRanksAndWay) {
  const Fields fields{"kind", "noise", "ranks", "way", "step_mean"};
  const Result recursion = run_bfsim("noise --ranks 4,8 --steps 10 --engine-steps 0 --json");
  const auto lines = json_lines(recursion.out);
  EXPECT_EQ(lines.size(), 4U * 2 * 6);
  for (const auto& line : lines) expect_fields(line, fields);
  for (const auto& line : json_lines(run_bfsim("noise --ranks 8 --steps 10 --engine-steps 2 --json").out)) {
    Fields wanted = fields;
    if (line["way"] != "all-reduce") {
      wanted.insert(wanted.end(), {"first_by_recursion", "first_by_engine"});
      EXPECT_NEAR(line["first_by_engine"], line["first_by_recursion"].get<double>(), 1e-6);
    }
    expect_fields(line, wanted);
  }
}

TEST(Cost, GoesToTheErrorStream) {
  const Result json = run_bfsim("run --ranks 8 --steps 3 --json");
  const auto lines = json_lines(json.err);
  ASSERT_EQ(lines.size(), 1U);
  expect_fields(lines[0], {"kind", "cpu_s", "peak_resident_mb"});
  EXPECT_EQ(lines[0]["kind"], "cost");
  EXPECT_GT(lines[0]["peak_resident_mb"], 1);
  EXPECT_NE(run_bfsim("table --ranks 8").err.find("of CPU time; memory at most"), std::string::npos);
}

TEST(Text, OfARunShowsStepsAndASummary) {
  const Result result = run_bfsim("run --ranks 8 --steps 100");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("8 ranks, 1 on each host; one-peer-exp, atc; a model of 102 MB; by the engine"),
            std::string::npos)
      << result.out;
  EXPECT_NE(result.out.find("\n     100 "), std::string::npos);
  EXPECT_NE(result.out.find("step time: mean 182.66 ms"), std::string::npos) << result.out;
  EXPECT_LT(std::count(result.out.begin(), result.out.end(), '\n'), 30);
}

TEST(Text, OfATableComparesTheEngineWithTheFormula) {
  const Result result = run_bfsim("table --ranks 16");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("hosts of 8 ranks, one port a host, 25 Gb/s"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("computing 150.00 ms, jitter 10 %"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("one-peer exponential-2, AWC"), std::string::npos) << result.out;
}

TEST(Table, ShowsWhatShardsInsideAHostWouldTake) {
  const auto lines = json_lines(run_bfsim("table --ranks 32 --json").out);
  const auto row_of = [&](const std::string& way) {
    return *std::find_if(lines.begin(), lines.end(), [&](const auto& line) { return line["way"] == way; });
  };
  const double across = 20e-6 + 102e6 / 3.125e9;
  const double inside = 102e6 / 50e9;
  const auto sharded = row_of("hierarchical one-peer, sharded (model)");
  EXPECT_NEAR(sharded["round_formula_s"], 14 * 5e-6 + 14.0 / 8 * inside + across, 1e-9);
  EXPECT_NEAR(row_of("hierarchical one-peer, ATC")["round_formula_s"], 5e-6 + 21.0 / 8 * inside + across,
              1e-9);
  EXPECT_GT(sharded["step_mean_s"], 0.15 + sharded["round_formula_s"].get<double>());
}

TEST(Text, OfATableOfOneRankHasNoDifferenceToShow) {
  const Result result = run_bfsim("table --ranks 1 --ranks-per-host 1");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out.find("nan"), std::string::npos) << result.out;
}

class Repetition : public testing::TestWithParam<const char*> {};

TEST_P(Repetition, WithTheSameSeedPrintsTheSame) {
  const std::string line = GetParam();
  const TemporaryFile picture;
  const auto run_with = [&](const char* seed) {
    return run_bfsim(line + " --seed " + seed + " --picture " + picture.path());
  };
  const Result first = run_with("1");
  ASSERT_EQ(first.exit_code, 0) << first.err;
  const std::string drawn = picture.content();
  EXPECT_EQ(run_with("1").out, first.out);
  EXPECT_EQ(picture.content(), drawn);
  EXPECT_NE(run_with("2").out, first.out);
}

INSTANTIATE_TEST_SUITE_P(
    Commands, Repetition,
    testing::Values("run --ranks 16 --ranks-per-host 4 --steps 12 --jitter 0.1 --link-jitter 1ms --json",
                    "run --ranks 16 --steps 12 --tail 0.2 --algorithm awc --schedule random-matching",
                    "run --ranks 16 --ranks-per-host 4 --steps 6 --schedule hierarchical --json",
                    "run --ranks 16 --steps 6 --jitter 0.1 --schedule ring-all-reduce --json",
                    "table --ranks 16 --json", "table --ranks 16",
                    "noise --ranks 8 --steps 20 --engine-steps 5 --json"));

}  // namespace
}  // namespace bfsim
