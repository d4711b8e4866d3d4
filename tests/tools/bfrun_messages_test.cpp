// What bfrun and its agents say to each other: it must stand any bytes.
#include <algorithm>
#include <array>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include <bluefog/error.hpp>
#include <bluefog/version.hpp>

#include "base/unique_fd.hpp"
#include "messages/events.hpp"
#include "messages/job_description.hpp"

namespace bfrun {
namespace {

using bluefog::InvalidArgument;

JobDescription example() {
  JobDescription job;
  job.job_id = 0xf123456789abcdef;
  job.key = bluefog::base::JobKey::random();
  job.size = 6;
  job.first_rank = 4;
  job.ranks = 2;
  job.hosts = {{"a", "10.0.0.1", 0, 4}, {"b", "fe80::1", 4, 2}};
  job.command = {"python3", "a  b", "", "\xff\xfe\x80", "\xc3\xa9\"\\\n"};
  job.environment = {{"PATH", "/bin"}, {"BYTES", "\x80\xff=\x7f"}, {"EMPTY", ""}};
  job.directory = "/work \xff";
  job.master_address = "10.0.0.1";
  job.master_port = 65535;
  job.network_interface = "eth0";
  job.timeline_filename = "/tmp/t_";
  job.on_rank_death = OnRankDeath::keep;
  job.bind_to = BindTo::numa;
  job.verbose = true;
  job.collect_output = true;
  job.sign_of_life_ms = 2000;
  return job;
}

/// Reads the bytes as an agent does; what follows them is left in the pipe.
JobDescription read_from_pipe(const std::string& bytes, std::string* left = nullptr) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe(ends.data()), 0);
  const bluefog::base::UniqueFd read_end(ends[0]);
  std::thread writer([&] {
    const bluefog::base::UniqueFd write_end(ends[1]);
    EXPECT_EQ(::write(write_end.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  });
  struct Joined {
    std::thread& thread;
    ~Joined() { thread.join(); }
  } joined{writer};
  JobDescription job = read_job_description(read_end.get());
  if (left != nullptr) {
    std::array<char, 100> buffer{};
    left->assign(buffer.data(),
                 static_cast<std::size_t>(::read(read_end.get(), buffer.data(), buffer.size())));
  }
  return job;
}

std::string body_of(const JobDescription& job) {
  return encode(job).substr(description_header_bytes);
}

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  const std::size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return text.replace(at, what.size(), with);
}

std::string complaint(const std::string& body) {
  try {
    (void)parse_description(body);
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "no complaint";
}

TEST(JobDescription, ArrivesAsItWasSent) {
  const JobDescription sent = example();
  std::string left;
  const JobDescription job = read_from_pipe(encode(sent) + "\x0f\x02", &left);
  EXPECT_EQ(left, "\x0f\x02");  // the first orders
  EXPECT_EQ(job.job_id, sent.job_id);
  EXPECT_TRUE(std::ranges::equal(job.key.reveal(), sent.key.reveal()));
  EXPECT_EQ(job.size, 6);
  EXPECT_EQ(job.first_rank, 4);
  EXPECT_EQ(job.ranks, 2);
  ASSERT_EQ(job.hosts.size(), 2U);
  EXPECT_EQ(job.hosts[1].address, "fe80::1");
  EXPECT_EQ(job.hosts[1].first_rank, 4);
  EXPECT_EQ(job.command, sent.command);
  EXPECT_EQ(job.environment, sent.environment);
  EXPECT_EQ(job.directory, sent.directory);
  EXPECT_EQ(job.master_address, sent.master_address);
  EXPECT_EQ(job.master_port, sent.master_port);
  EXPECT_EQ(job.network_interface, sent.network_interface);
  EXPECT_EQ(job.timeline_filename, sent.timeline_filename);
  EXPECT_EQ(job.on_rank_death, OnRankDeath::keep);
  EXPECT_EQ(job.bind_to, BindTo::numa);
  EXPECT_TRUE(job.verbose && job.collect_output);
  EXPECT_FALSE(job.tag_output || job.standard_input);
  EXPECT_EQ(job.sign_of_life_ms, 2000);
}

TEST(JobDescription, EachJobHasAnIdOfItsOwn) {
  EXPECT_NE(random_job_id(), random_job_id());
}

TEST(JobDescription, AnyTruncationIsAnEnd) {
  const std::string bytes = encode(example());
  for (std::size_t length = 0; length < bytes.size(); length += length < 40 ? 1 : 37) {
    EXPECT_THROW((void)read_from_pipe(bytes.substr(0, length)), EndOfOrders) << length;
  }
}

TEST(JobDescription, TooLargeIsRefusedBeforeItIsRead) {
  std::string header = encode(example()).substr(0, description_header_bytes);
  header.replace(8, 4, std::string("\xff\xff\xff\xff"));
  EXPECT_THROW((void)parse_description_header(header), InvalidArgument);
  header.replace(8, 4, std::string("\x01\x00\x80\x00", 4));  // one byte more than is allowed
  EXPECT_THROW((void)parse_description_header(header), InvalidArgument);
  header.replace(8, 4, std::string("\x00\x00\x80\x00", 4));
  EXPECT_EQ(parse_description_header(header), most_description_bytes);

  JobDescription job = example();
  job.command.emplace_back(most_description_bytes, 'x');
  EXPECT_THROW((void)encode(job), InvalidArgument);
}

TEST(JobDescription, OtherHeadersAreRefused) {
  EXPECT_THROW((void)parse_description_header("BFRUNJO"), InvalidArgument);
  EXPECT_THROW((void)parse_description_header("ls -l; exit\n"), InvalidArgument);
}

TEST(JobDescription, OtherVersionsAreNamed) {
  const std::string body = replaced(body_of(example()), BLUEFOG_VERSION, "0.9.7");
  EXPECT_EQ(complaint(body), "the job is started by BlueFog 0.9.7, this is " BLUEFOG_VERSION);
  EXPECT_EQ(complaint(R"({"version": "2.0"})"),
            "the job is started by BlueFog 2.0, this is " BLUEFOG_VERSION);
}

TEST(JobDescription, MembersAreChecked) {
  const std::string body = body_of(example());
  const std::vector<std::pair<std::string, std::string>> changes{
      {"\"size\":6", "\"size\":5"},  // the hosts have 6
      {"\"size\":6", "\"size\":0"},
      {"\"size\":6", "\"size\":6.5"},
      {"\"size\":6", "\"size\":\"6\""},
      {"\"size\":6", "\"size\":18446744073709551615"},
      {"\"size\":6", "\"size\":null"},
      {"\"ranks\":2,\"sign", "\"ranks\":3,\"sign"},  // ranks 4 to 6
      {"\"first_rank\":4,\"hosts\"", "\"first_rank\":5,\"hosts\""},
      {"\"master_port\":65535", "\"master_port\":65536"},
      {"\"bind_to\":2", "\"bind_to\":3"},
      {"\"verbose\":true", "\"verbose\":1"},
      {"\"PATH\"", "\"PA=TH\""},
      {"\"PATH\"", "\"\""},
      {"\"python3\"", "7"},
      {"\"python3\"", "\"\\u0100\""},  // stands for no byte
      {"\"key\":\"", "\"key\":\"0"},
      {"\"key\"", "\"kee\""},
      {"\"name\":\"b\"", "\"name\":[[\"b\"]]"},
  };
  ASSERT_EQ(complaint(body), "no complaint");
  for (const auto& [what, with] : changes) {
    EXPECT_NE(complaint(replaced(body, what, with)), "no complaint") << what << " -> " << with;
  }
}

TEST(JobDescription, DeepNestingTakesNoMemory) {
  EXPECT_EQ(complaint(std::string(most_description_bytes, '[')), "the JSON is nested too deeply");
}

TEST(JobDescription, GarbageIsRefused) {
  const std::string body = body_of(example());
  std::mt19937 random(4711);
  int refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = body;
    const int changes = 1 + static_cast<int>(random() % 4);
    for (int change = 0; change < changes; ++change) {
      const std::size_t at = random() % bytes.size();
      if (random() % 3 == 0) {
        bytes.erase(at, random() % 20);
      } else {
        bytes[at] = static_cast<char>(random());
      }
    }
    try {
      (void)parse_description(bytes);
    } catch (const InvalidArgument&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 10'000);  // some changes hit a text, and make another one
}

std::string stream_of(const std::vector<std::pair<FrameKind, std::string>>& frames) {
  std::string bytes = "Welcome!\n" + std::string(mark_of_agent);
  for (const auto& [kind, payload] : frames) bytes += encode_frame(kind, payload);
  return bytes;
}

TEST(Frames, ArriveInPiecesOfAnySize) {
  const std::string bytes = stream_of({{FrameKind::output, "a line\n"},
                                       {FrameKind::alive, ""},
                                       {FrameKind::error, std::string(1000, 'x') + "\n"}});
  for (const std::size_t piece : {1U, 2U, 7U, 4096U}) {
    FrameParser parser;
    std::vector<Frame> frames;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      parser.take(std::string_view(bytes).substr(at, piece));
      while (auto frame = parser.next()) frames.push_back(*std::move(frame));
    }
    ASSERT_EQ(frames.size(), 3U) << piece;
    EXPECT_EQ(frames[0].payload, "a line\n");
    EXPECT_EQ(frames[1].kind, FrameKind::alive);
    EXPECT_EQ(frames[2].payload.size(), 1001U);
  }
}

TEST(Frames, StrangersAreRecognized) {
  FrameParser silent;
  silent.take(std::string(1 << 20, 'y'));
  EXPECT_THROW((void)silent.next(), InvalidArgument);
  for (const char* header : {"\0\0\0\0\0", "\5\0\0\0\0", "\1\xff\xff\xff\xff"}) {
    FrameParser parser;
    parser.take(std::string(mark_of_agent) + std::string(header, 5));
    EXPECT_THROW((void)parser.next(), InvalidArgument);
  }
}

Event round_trip(const Event& event) {
  FrameParser parser;
  parser.take(std::string(mark_of_agent) + encode_event(event));
  return parse_event(parser.next().value().payload);
}

TEST(Events, ArriveAsTheyWereSent) {
  const auto greeting = std::get<Greeting>(
      round_trip(Greeting{"1.0", {{"eth0", "10.0.0.2"}}, {"eth0", "lo"}, "10.0.0.2", "10.0.0.1", 4711}));
  EXPECT_EQ(greeting.version, "1.0");
  EXPECT_EQ(greeting.addresses.at(0).address, "10.0.0.2");
  EXPECT_EQ(greeting.interfaces.size(), 2U);
  EXPECT_EQ(greeting.reached_at, "10.0.0.2");
  EXPECT_EQ(greeting.reached_from, "10.0.0.1");
  EXPECT_EQ(greeting.free_port, 4711);
  const auto end = std::get<RankEnded>(round_trip(RankEnded{3, 1234, 256}));
  EXPECT_EQ(end.rank, 3);
  EXPECT_EQ(end.pid, 1234);
  EXPECT_EQ(end.wait_status, 256);
  EXPECT_EQ(std::get<StartFailed>(round_trip(StartFailed{127, "no \xff"})).reason, "no \xff");
  EXPECT_EQ(std::get<Note>(round_trip(Note{"text"})).text, "text");
  EXPECT_TRUE(std::holds_alternative<HostFinished>(round_trip(HostFinished{})));
}

TEST(Events, GarbageIsRefused) {
  for (const char* text : {"", "{", "[]", "7", "{}", R"({"event": "party"})", R"({"event": "rank_ended"})",
                           R"({"event": "rank_ended", "rank": -1, "pid": 1, "wait_status": 0})",
                           R"({"event": "start_failed", "exit_code": 0, "reason": ""})"}) {
    EXPECT_THROW((void)parse_event(text), InvalidArgument) << text;
  }
}

}  // namespace
}  // namespace bfrun
