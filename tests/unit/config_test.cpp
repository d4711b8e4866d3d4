#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/config.hpp>
#include <bluefog/error.hpp>

#include "base/environment.hpp"
#include "base/log.hpp"

namespace bluefog {
namespace {

using base::Environment;
using base::read_config;
using namespace std::chrono_literals;

TEST(Config, WithoutVariablesIsAJobOfOne) {
  const Config config = read_config({});
  EXPECT_EQ(config.rank, 0);
  EXPECT_EQ(config.size, 1);
  EXPECT_TRUE(config.rendezvous.empty());
  EXPECT_FALSE(config.nodes_per_machine);
  EXPECT_EQ(config.start_timeout, 120s);
  EXPECT_EQ(config.op_timeout, 30min);
  EXPECT_EQ(config.heartbeat, 1s);
  EXPECT_EQ(config.stall_warning, 60s);
  EXPECT_TRUE(config.undo_log);
}

TEST(Config, ReadsEveryVariable) {
  const Config config = read_config({{"BLUEFOG_RANK", "2"},
                                     {"BLUEFOG_SIZE", "4"},
                                     {"BLUEFOG_RENDEZVOUS", "unix:@x"},
                                     {"BLUEFOG_JOB_ID", "seven"},
                                     {"BLUEFOG_RESTART_COUNT", "3"},
                                     {"BLUEFOG_JOB_KEY_FILE", "/home/me/key"},
                                     {"BLUEFOG_NODES_PER_MACHINE", "2"},
                                     {"BLUEFOG_RANKS_OF_HOSTS", "1,3"},
                                     {"BLUEFOG_START_TIMEOUT", "1.5"},
                                     {"BLUEFOG_OP_TIMEOUT", "90"},
                                     {"BLUEFOG_HEARTBEAT", "0.5"},
                                     {"BLUEFOG_STALL_WARNING", "0.25"},
                                     {"BLUEFOG_UNDO_LOG", "0"},
                                     {"BLUEFOG_ARENA_SIZE", "1048576"},
                                     {"BLUEFOG_TIMELINE", "/tmp/t"},
                                     {"BLUEFOG_LOG_LEVEL", "Debug"},
                                     {"BLUEFOG_LOG_HIDE_TIME", "1"},
                                     {"BLUEFOG_SIGUSR1", "0"},
                                     {"BLUEFOG_TRANSPORT", "tcp"},
                                     {"BLUEFOG_LISTEN", "127.0.0.1,::1"},
                                     {"BLUEFOG_PORT_RANGE", "5000-5100"},
                                     {"BLUEFOG_TCP_CONNECTIONS", "4"},
                                     {"BLUEFOG_TCP_CONGESTION", "reno"},
                                     {"BLUEFOG_TCP_BUFFER", "65536"},
                                     {"BLUEFOG_ENCRYPT", "1"},
                                     {"BLUEFOG_STORE", "plain"},
                                     {"BLUEFOG_BUCKET_SIZE", "4096"},
                                     {"BLUEFOG_FUSION_THRESHOLD", "0"},
                                     {"BLUEFOG_STAGING", "always"}});
  EXPECT_EQ(config.rank, 2);
  EXPECT_EQ(config.size, 4);
  EXPECT_EQ(config.rendezvous, "unix:@x");
  EXPECT_EQ(config.job_id, "seven");
  EXPECT_EQ(config.restart_count, 3);
  EXPECT_EQ(config.job_key_file, "/home/me/key");
  EXPECT_EQ(config.nodes_per_machine, 2);
  EXPECT_EQ(config.ranks_of_hosts, (std::vector{1, 3}));
  EXPECT_EQ(config.start_timeout, 1500ms);
  EXPECT_EQ(config.op_timeout, 90s);
  EXPECT_EQ(config.heartbeat, 500ms);
  EXPECT_EQ(config.stall_warning, 250ms);
  EXPECT_FALSE(config.undo_log);
  EXPECT_EQ(config.fusion_threshold, 0U);
  EXPECT_EQ(config.staging, "always");
  EXPECT_EQ(config.arena_size, 1048576U);
  EXPECT_EQ(config.timeline, "/tmp/t");
  EXPECT_EQ(config.log_level, "Debug");
  EXPECT_TRUE(config.log_hide_time);
  EXPECT_FALSE(config.report_on_sigusr1);
  EXPECT_EQ(config.transport, "tcp");
  EXPECT_EQ(config.listen, "127.0.0.1,::1");
  EXPECT_EQ(config.port_range, "5000-5100");
  EXPECT_EQ(config.tcp_connections, 4);
  EXPECT_EQ(config.tcp_congestion, "reno");
  EXPECT_EQ(config.tcp_buffer, 65536U);
  EXPECT_TRUE(config.encrypt);
  EXPECT_EQ(config.store, "plain");
  EXPECT_EQ(config.bucket_size, 4096U);
}

TEST(Config, MapReadsBackAsTheSameConfig) {
  Config config;
  config.rank = 1;
  config.size = 3;
  config.rendezvous = "10.0.0.1:5000-5007";
  config.job_id = "one two";
  config.restart_count = 2;
  config.op_timeout = 1234567ms;
  config.nodes_per_machine = 3;
  config.ranks_of_hosts = {2, 1};
  const auto map = config.to_map();
  const Config again = read_config(Environment(map.begin(), map.end()));
  EXPECT_EQ(again.op_timeout, config.op_timeout);
  EXPECT_EQ(again.to_map(), map);
}

struct BadValue {
  const char* name;
  const char* value;
};

class ConfigRejects : public ::testing::TestWithParam<BadValue> {};

TEST_P(ConfigRejects, NamingTheVariableAndTheValue) {
  try {
    (void)read_config({{GetParam().name, GetParam().value}});
    FAIL() << "accepted " << GetParam().name << "=" << GetParam().value;
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find(GetParam().name), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find(GetParam().value), std::string::npos) << error.what();
  }
}

INSTANTIATE_TEST_SUITE_P(
    Values, ConfigRejects,
    ::testing::Values(BadValue{"BLUEFOG_SIZE", "0"}, BadValue{"BLUEFOG_SIZE", "four"},
                      BadValue{"BLUEFOG_RANK", "-1"}, BadValue{"BLUEFOG_RANK", "1"},
                      BadValue{"BLUEFOG_NODES_PER_MACHINE", "0"}, BadValue{"BLUEFOG_RANKS_OF_HOSTS", "2"},
                      BadValue{"BLUEFOG_RANKS_OF_HOSTS", "1,1"}, BadValue{"BLUEFOG_RANKS_OF_HOSTS", "x"},
                      BadValue{"BLUEFOG_START_TIMEOUT", "0"}, BadValue{"BLUEFOG_START_TIMEOUT", "10s"},
                      BadValue{"BLUEFOG_OP_TIMEOUT", "nan"}, BadValue{"BLUEFOG_STALL_WARNING", "1e300"},
                      BadValue{"BLUEFOG_ARENA_SIZE", "-1"},
                      BadValue{"BLUEFOG_ARENA_SIZE", "99999999999999999999"},
                      BadValue{"BLUEFOG_LOG_LEVEL", "loud"}, BadValue{"BLUEFOG_LOG_HIDE_TIME", "maybe"},
                      BadValue{"BLUEFOG_TRANSPORT", "pigeon"}, BadValue{"BLUEFOG_TCP_CONNECTIONS", "0"},
                      BadValue{"BLUEFOG_TCP_CONNECTIONS", "65"}, BadValue{"BLUEFOG_TCP_BUFFER", "-1"},
                      BadValue{"BLUEFOG_ENCRYPT", "maybe"}, BadValue{"BLUEFOG_RESTART_COUNT", "-1"},
                      BadValue{"BLUEFOG_STORE", "fast"}, BadValue{"BLUEFOG_BUCKET_SIZE", "0"}));

TEST(Config, SeveralRanksNeedARendezvous) {
  EXPECT_THROW((void)read_config({{"BLUEFOG_RANK", "1"}, {"BLUEFOG_SIZE", "2"}}), InvalidArgument);
}

TEST(Config, TellsOfMisspeltNames) {
  const auto warnings = base::warnings_about_unknown_names(
      {{"BLUEFOG_OP_TIMOUT", "1"}, {"BLUEFOG_OP_TIMEOUT", "1"}, {"BLUEFOH", "1"}, {"OTHER", "1"}});
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_NE(warnings[0].find("BLUEFOG_OP_TIMOUT is unknown"), std::string::npos) << warnings[0];
}

TEST(Config, LeavesOldNamesToPythonThatItAnswers) {
  EXPECT_TRUE(
      base::warnings_about_unknown_names(
          {{"BLUEFOG_CYCLE_TIME", "1"}, {"BLUEFOG_FUSION_THRESHOLD", "1"}, {"BLUEFOG_WITH_NCCL", "1"}})
          .empty());
}

TEST(Config, FromEnvironmentWarnsOnceOfEachName) {
  ::setenv("BLUEFOG_NO_SUCH_NAME", "1", 1);
  ::setenv("BLUEFOG_LOG_HIDE_TIME", "1", 1);  // the warnings heed what it says of the log
  ::testing::internal::CaptureStderr();
  (void)Config::from_environment();
  (void)Config::from_environment();
  const std::string output = ::testing::internal::GetCapturedStderr();
  ::unsetenv("BLUEFOG_NO_SUCH_NAME");
  ::unsetenv("BLUEFOG_LOG_HIDE_TIME");
  EXPECT_EQ(output.rfind("[bluefog rank 0] warning: the environment variable BLUEFOG_NO_SUCH_NAME", 0), 0U)
      << output;
  EXPECT_EQ(output.find("BLUEFOG_NO_SUCH_NAME"), output.rfind("BLUEFOG_NO_SUCH_NAME")) << output;
}

TEST(Log, WritesNothingBelowItsLevel) {
  log::configure(log::Level::error, true, -1);
  ::testing::internal::CaptureStderr();
  log::warning("quiet");
  log::error("loud {}");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "[bluefog] error: loud {}\n");
  EXPECT_FALSE(log::enabled(log::Level::warning));
  EXPECT_TRUE(log::enabled(log::Level::fatal));
}

TEST(Log, WritesWhatTheUserAsksForAtEveryLevel) {
  log::configure(log::Level::fatal, true, 2);
  ::testing::internal::CaptureStderr();
  log::error("quiet");
  log::report("asked for");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "[bluefog rank 2] report: asked for\n");
}

TEST(Log, ShowsTheTimeUnlessHidden) {
  log::configure(log::Level::info, false, 0);
  ::testing::internal::CaptureStderr();
  log::info("now");
  const std::string line = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(line.find("[20"), 0U) << line;
  EXPECT_NE(line.find("] [bluefog rank 0] info: now\n"), std::string::npos) << line;
}

}  // namespace
}  // namespace bluefog
