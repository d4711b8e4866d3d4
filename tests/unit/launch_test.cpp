// Which rank of which job the environment of a launcher makes, and where its ranks meet.

#include "base/launch.hpp"

#include <string>

#include <gtest/gtest.h>

#include <bluefog/config.hpp>
#include <bluefog/error.hpp>

#include "base/environment.hpp"

namespace bluefog {
namespace {

using base::Environment;
using base::read_config;
using base::warnings_about_other_launchers;

/// What torchrun sets.
Environment torchrun() {
  return {{"TORCHELASTIC_RUN_ID", "7f3a"},
          {"TORCHELASTIC_RESTART_COUNT", "2"},
          {"RANK", "3"},
          {"WORLD_SIZE", "4"},
          {"LOCAL_RANK", "1"},
          {"LOCAL_WORLD_SIZE", "2"},
          {"MASTER_ADDR", "10.0.0.1"},
          {"MASTER_PORT", "29500"}};
}

/// What Open MPI sets on one of its hosts.
Environment mpirun() {
  return {{"OMPI_COMM_WORLD_RANK", "1"},
          {"OMPI_COMM_WORLD_SIZE", "2"},
          {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
          {"PMIX_NAMESPACE", "3141592"}};
}

/// What a task of a Slurm step finds.
Environment srun() {
  return {{"SLURM_STEP_ID", "0"},
          {"SLURM_PROCID", "3"},
          {"SLURM_NTASKS", "8"},
          {"SLURM_STEP_NUM_TASKS", "4"},
          {"SLURM_STEP_NUM_NODES", "1"}};
}

Environment with(Environment environment, const Environment& more) {
  for (const auto& [name, value] : more) environment[name] = value;
  return environment;
}

std::string problem_of(const Environment& environment) {
  try {
    (void)read_config(environment);
    return {};
  } catch (const InvalidArgument& error) {
    return error.what();
  }
}

void expect_rank(const Config& config, int rank, int size, const std::string& rendezvous) {
  EXPECT_EQ(config.rank, rank);
  EXPECT_EQ(config.size, size);
  EXPECT_EQ(config.rendezvous, rendezvous);
}

TEST(Launch, TorchrunsRanksMeetBehindItsMasterPort) {
  const Config config = read_config(torchrun());
  expect_rank(config, 3, 4, "10.0.0.1:29501-29508");
  EXPECT_EQ(config.job_id, "torchrun 7f3a");
  EXPECT_EQ(config.restart_count, 2);
}

TEST(Launch, ThereIsRoomBehindEveryMasterPort) {
  expect_rank(read_config(with(torchrun(), {{"MASTER_PORT", "65530"}})), 3, 4, "10.0.0.1:65522-65529");
  expect_rank(read_config(with(torchrun(), {{"MASTER_PORT", "65527"}})), 3, 4, "10.0.0.1:65528-65535");
  expect_rank(read_config(with(torchrun(), {{"MASTER_ADDR", "fd00::1"}})), 3, 4, "[fd00::1]:29501-29508");
  EXPECT_NE(problem_of(with(torchrun(), {{"MASTER_PORT", "x"}})).find("MASTER_PORT is \"x\""),
            std::string::npos);
}

TEST(Launch, MpirunsRanksOfOneHostNeedNoAddress) {
  const Config config = read_config(mpirun());
  expect_rank(config, 1, 2, "");
  EXPECT_EQ(config.job_id, "mpirun 3141592");
}

TEST(Launch, MpirunsRanksOfSeveralHostsNeedAnAddress) {
  const Environment hosts = with(mpirun(), {{"OMPI_COMM_WORLD_SIZE", "4"}});
  EXPECT_NE(problem_of(hosts).find("mpirun has started 4 ranks on several hosts"), std::string::npos)
      << problem_of(hosts);
  expect_rank(read_config(with(hosts, {{"BLUEFOG_RENDEZVOUS", "a:5000"}})), 1, 4, "a:5000");
}

TEST(Launch, AProgramInASlurmAllocationIsAlone) {
  EXPECT_EQ(read_config(srun()).size, 1);
  EXPECT_TRUE(warnings_about_other_launchers(srun()).empty());
}

TEST(Launch, SrunsRanksMeetAtAnAddressOrByPmi) {
  const Environment address{{"MASTER_ADDR", "n1"}, {"MASTER_PORT", "5000"}};
  expect_rank(read_config(with(srun(), address)), 3, 4, "n1:5001-5008");
  const Config by_pmi = read_config(with(srun(), {{"PMIX_NAMESPACE", "slurm.pmix.7.0"}}));
  expect_rank(by_pmi, 3, 4, "");
  EXPECT_EQ(by_pmi.job_id, "srun slurm.pmix.7.0");
  const Environment of_two{{"PMIX_NAMESPACE", "slurm.pmix.7.0"}, {"SLURM_STEP_NUM_NODES", "2"}};
  EXPECT_NE(problem_of(with(srun(), of_two)).find("nothing says where they meet"), std::string::npos);
}

// The batch script has a rank of its own, and a MASTER_ADDR for the steps that it starts.
TEST(Launch, ASlurmBatchScriptIsAlone) {
  EXPECT_EQ(
      read_config(
          {{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}, {"MASTER_ADDR", "n1"}, {"MASTER_PORT", "5000"}})
          .size,
      1);
}

TEST(Launch, OfLaunchersInsideEachOtherTheInnerOneCounts) {
  const Config config = read_config(with(with(torchrun(), mpirun()), srun()));
  expect_rank(config, 3, 4, "10.0.0.1:29501-29508");
  EXPECT_EQ(config.job_id, "torchrun 7f3a");
  expect_rank(
      read_config(with(torchrun(),
                       {{"BLUEFOG_RANK", "0"}, {"BLUEFOG_SIZE", "2"}, {"BLUEFOG_RENDEZVOUS", "unix:@z"}})),
      0, 2, "unix:@z");
}

TEST(Launch, ByHandWithTheNamesOfTorch) {
  const Environment by_hand{
      {"RANK", "1"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "5000"}};
  expect_rank(read_config(by_hand), 1, 2, "a:5001-5008");
  expect_rank(read_config({{"RANK", "1"}, {"WORLD_SIZE", "2"}}), 0, 1, "");
}

TEST(Launch, ByHandWithOurOwnNames) {
  const Environment ranks{{"BLUEFOG_RANK", "1"}, {"BLUEFOG_SIZE", "2"}};
  EXPECT_NE(problem_of(ranks).find("BLUEFOG_SIZE is 2, but nothing says where the ranks meet"),
            std::string::npos);
  expect_rank(read_config(with(ranks, {{"BLUEFOG_RENDEZVOUS", "a:5000"}})), 1, 2, "a:5000");
  expect_rank(read_config(with(ranks, {{"MASTER_ADDR", "a"}, {"MASTER_PORT", "5000"}})), 1, 2, "a:5001-5008");
  const Config here = read_config(with(ranks, {{"BLUEFOG_JOB_ID", "x"}}));
  expect_rank(here, 1, 2, "");
  EXPECT_EQ(here.job_id, "x");
}

TEST(Launch, OneRankNeedsNobody) {
  expect_rank(read_config(with(torchrun(), {{"RANK", "0"}, {"WORLD_SIZE", "1"}})), 0, 1, "");
}

TEST(Launch, SlurmsWordCountsBesideOurRendezvous) {
  const Environment slurm{{"SLURM_PROCID", "3"}, {"SLURM_NTASKS", "4"}, {"BLUEFOG_RENDEZVOUS", "n1:5000"}};
  expect_rank(read_config(slurm), 3, 4, "n1:5000");
  expect_rank(read_config(with(slurm, {{"BLUEFOG_RANK", "0"}, {"BLUEFOG_SIZE", "1"}})), 0, 1, "n1:5000");
}

TEST(Launch, WarnsOfRanksThatCannotMeet) {
  const auto warnings = warnings_about_other_launchers({{"PMI_RANK", "1"}, {"PMI_SIZE", "4"}});
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_NE(warnings[0].find("started by mpiexec (PMI_SIZE is 4)"), std::string::npos) << warnings[0];
  EXPECT_EQ(read_config({{"PMI_RANK", "1"}, {"PMI_SIZE", "4"}}).size, 1);
  EXPECT_TRUE(warnings_about_other_launchers({{"PMI_RANK", "0"}, {"PMI_SIZE", "1"}}).empty());
  EXPECT_TRUE(warnings_about_other_launchers(torchrun()).empty());
  EXPECT_TRUE(warnings_about_other_launchers(mpirun()).empty());
}

}  // namespace
}  // namespace bluefog
