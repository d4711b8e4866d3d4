// Messages over TCP between ranks that are objects of one process.

#include "transport/tcp/tcp_wire.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <bluefog/error.hpp>

#include "transport/tcp/connection.hpp"
#include "transport/tcp/frame.hpp"
#include "transport/tcp/link.hpp"
#include "unit/wires.hpp"

namespace bluefog::transport::tcp {
namespace {

using namespace std::chrono_literals;
using test::Station;
using test::Stations;

remote::Message chunk(std::uint64_t number, std::size_t bytes) {
  remote::Message message;
  message.kind = remote::Message::Kind::Chunk;
  message.key = {bytes, number};
  message.payload = remote::Payload(bytes);
  for (std::size_t i = 0; i < bytes; ++i) message.payload.data()[i] = static_cast<std::byte>(number + i);
  return message;
}

bool is_whole(const remote::Message& message) {
  for (std::size_t i = 0; i < message.payload.size(); ++i) {
    if (message.payload.data()[i] != static_cast<std::byte>(message.key.count + i)) return false;
  }
  return message.payload.size() == message.key.stream;
}

void expect_in_order(const std::vector<TcpWire::News>& news) {
  for (std::size_t i = 0; i < news.size(); ++i) {
    ASSERT_TRUE(news[i].message) << news[i].loss;
    EXPECT_EQ(news[i].message->key.count, i);
    EXPECT_TRUE(is_whole(*news[i].message)) << i;
  }
}

struct Connections {
  std::size_t for_data;
  bool are_encrypted;
};

class Order : public testing::TestWithParam<Connections> {};

TEST_P(Order, IsKeptOverAllConnections) {
  Stations stations(2, [](WireOptions& options) {
    options.data_connections = GetParam().for_data;
    options.encrypts = GetParam().are_encrypted;
  });
  constexpr std::uint64_t count = 600;
  const auto talk = [](Station& from, int to) {
    for (std::uint64_t i = 0; i < count; ++i) {
      if (i % 20 == 0) from.wire->begin_batch();
      from.wire->send(to, chunk(i, i % 3 == 0 ? 1 + i : 20'000 + 100 * i));
      if (i % 20 == 15) from.wire->end_batch();
    }
  };
  std::thread other([&] { talk(stations[1], 0); });  // so both may dial
  talk(stations[0], 1);
  other.join();
  expect_in_order(stations[1].wait_for(count));
  expect_in_order(stations[0].wait_for(count));
}

INSTANTIATE_TEST_SUITE_P(All, Order,
                         testing::Values(Connections{1, false}, Connections{2, false}, Connections{5, false},
                                         Connections{1, true}, Connections{5, true}),
                         [](const auto& info) {
                           return std::to_string(info.param.for_data) +
                                  (info.param.are_encrypted ? "Encrypted" : "Plain");
                         });

/// A connection whose other end tells system calls apart.
class Calls : public testing::Test {
 protected:
  Calls() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends.data()), 0);
    other_ = base::UniqueFd(ends[1]);
    Opened opened{std::make_shared<Socket>(io_, base::UniqueFd(ends[0])), nullptr};
    connection_.emplace(std::move(opened), PeerFacts{1, 2}, Role::Control);
  }
  /// Bytes of the next system call; -1 if there was none.
  ssize_t next_call() {
    std::array<std::byte, 2 * most_held_bytes> bytes;
    return ::recv(other_.get(), bytes.data(), bytes.size(), 0);
  }

  asio::io_context io_;
  base::UniqueFd other_;
  std::optional<Connection> connection_;
  const std::vector<std::byte> head_ = std::vector<std::byte>(30);
};

TEST_F(Calls, HeldMessagesAreWrittenByOne) {
  for (int i = 0; i < 10; ++i) connection_->hold(head_, remote::Payload(70));
  EXPECT_EQ(next_call(), -1);
  EXPECT_EQ(connection_->unsent_bytes(), 1000U);
  connection_->write_held();
  EXPECT_EQ(next_call(), 1000);
  EXPECT_EQ(next_call(), -1);
  connection_->write_held();
  EXPECT_EQ(next_call(), -1);
}

TEST_F(Calls, AMessageThatDoesNotWaitComesBehindThoseThatDo) {
  connection_->hold(head_, remote::Payload(70));
  connection_->send(head_, remote::Payload(5));
  EXPECT_EQ(next_call(), 100);
  EXPECT_EQ(next_call(), 35);
}

TEST_F(Calls, ManyBytesDoNotWait) {
  std::size_t held = 0;
  for (; held < most_held_bytes; held += 1030) connection_->hold(head_, remote::Payload(1000));
  EXPECT_EQ(next_call(), static_cast<ssize_t>(held));
}

TEST(Overtaking, KeepsTheOrder) {
  Link link({1, 2});
  std::vector<remote::Message> ready;
  for (const std::uint64_t sequence : {3, 2, 4})
    EXPECT_TRUE(link.sort_in(sequence, chunk(sequence, 8), ready));
  EXPECT_TRUE(ready.empty());
  EXPECT_FALSE(link.sort_in(3, chunk(3, 8), ready)) << "twice";
  EXPECT_TRUE(link.sort_in(1, chunk(1, 8), ready));
  EXPECT_EQ(ready.size(), 4U);
  EXPECT_FALSE(link.sort_in(4, chunk(4, 8), ready)) << "once more";
}

TEST(Overtaking, CostsSoMuchMemoryAndNoMore) {
  Link link({1, 2});
  std::vector<remote::Message> ready;
  const auto untouched_chunk = [] {
    remote::Message message;
    message.kind = remote::Message::Kind::Chunk;
    message.payload = remote::Payload(longest_payload);
    return message;
  };
  std::uint64_t sequence = 2;
  while (link.sort_in(sequence, untouched_chunk(), ready)) ASSERT_LT(++sequence, 1000U);
  EXPECT_EQ((sequence - 2) * longest_payload, std::size_t{1} << 30);
  EXPECT_TRUE(link.sort_in(1, chunk(1, 8), ready)) << "it makes room";
  EXPECT_EQ(ready.size(), sequence - 1);
}

TEST(Opening, ByBothEndsAtOnceGivesOneLink) {
  for (int round = 0; round < 50; ++round) {
    Stations stations(3);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < 3; ++rank) {
      threads.emplace_back([&stations, rank] {
        for (int peer = 0; peer < 3; ++peer) {
          if (peer != rank) stations[rank].wire->send(peer, chunk(0, 10));
        }
      });
    }
    for (auto& thread : threads) thread.join();
    for (int rank = 0; rank < 3; ++rank) {
      for (const auto& news : stations[rank].wait_for(2)) EXPECT_TRUE(news.message) << news.loss;
    }
  }
}

TEST(Opening, OverIpv6) {
  std::vector<Listener> probe;
  try {
    probe = listen_on(parse_addresses("::1"), {});
  } catch (const Error& error) {
    GTEST_SKIP() << "this machine has no IPv6: " << error.what();
  }
  Stations stations(2, {}, "::1");
  EXPECT_EQ(stations[0].endpoints.front().to_string().substr(0, 6), "[::1]:");
  stations[0].wire->send(1, chunk(0, 100));
  expect_in_order(stations[1].wait_for(1));
}

TEST(Opening, TriesOneAddressAfterTheOther) {
  Stations stations(2, {}, "127.0.0.1", [](auto& addresses) {
    // First one where nobody listens.
    auto free = listen_on({}, {});
    addresses[1].insert(addresses[1].begin(), free.front().endpoint);
  });
  stations[0].wire->send(1, chunk(0, 100));
  expect_in_order(stations[1].wait_for(1));
}

TEST(Opening, WhereNobodyListensLosesThePeerSoon) {
  Stations stations(2, [](WireOptions& options) { options.start_timeout = 1h; });
  const std::string address = stations[1].endpoints.front().to_string();
  stations[1].wire.reset();
  stations[0].wire->send(1, chunk(0, 100));
  const auto news = stations[0].wait_for(1);
  EXPECT_FALSE(news.front().message);
  EXPECT_NE(news.front().loss.find(address), std::string::npos) << news.front().loss;
  EXPECT_NE(news.front().loss.find("nobody listens"), std::string::npos) << news.front().loss;
}

TEST(Opening, OfWhatDoesNotAnswerEndsWithTheStartTimeout) {
  // It listens, and that is all.
  const auto silent = listen_on({}, {});
  Stations stations(
      2, [](WireOptions& options) { options.start_timeout = 200ms; }, "127.0.0.1",
      [&](auto& addresses) { addresses[1] = {silent.front().endpoint}; });
  stations[0].wire->send(1, chunk(0, 100));
  const std::string loss = stations[0].wait_for(1).front().loss;
  for (const std::string& part : {std::string("rank 0 could not reach it within "),
                                  silent.front().endpoint.to_string(), std::string(" s: ")}) {
    EXPECT_NE(loss.find(part), std::string::npos) << loss;
  }
}

TEST(Ports, ComeFromTheRange) {
  // Five neighbours of a port that the system says is free.
  const std::uint16_t first = listen_on({}, {}).front().endpoint.port;
  const PortRange range{first, static_cast<std::uint16_t>(first + 4)};
  std::vector<Listener> all;
  EXPECT_THROW(
      {
        while (true) {
          auto one = listen_on(parse_addresses("127.0.0.1"), range);
          EXPECT_GE(one.front().endpoint.port, range.first);
          EXPECT_LE(one.front().endpoint.port, range.last);
          all.push_back(std::move(one.front()));
          ASSERT_LE(all.size(), 5U);
        }
      },
      Error);
  EXPECT_GE(all.size(), 1U);
}

TEST(Ports, AndAddressesThatCannotBeReadAreNamed) {
  for (const char* text : {"5000-", "-5", "0", "6000-5000", "70000", "5000-5100x", "a"}) {
    EXPECT_THROW(static_cast<void>(parse_port_range(text)), InvalidArgument) << text;
  }
  EXPECT_EQ(parse_port_range("5000-5100").last, 5100);
  EXPECT_EQ(parse_port_range("5000").last, 5000);
  EXPECT_EQ(parse_port_range("").first, 0);
  for (const char* text : {"localhost", "127.0.0.1:80", "1.2.3", ",", "0.0.0.0", "::"}) {
    EXPECT_THROW(static_cast<void>(parse_addresses(text)), InvalidArgument) << text;
  }
  EXPECT_EQ(parse_addresses("127.0.0.1,::1").size(), 2U);
}

TEST(Sockets, RefuseACongestionControlThatDoesNotExist) {
  try {
    check(SocketOptions{"warp", 0, 1s});
    FAIL() << "accepted";
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("BLUEFOG_TCP_CONGESTION is \"warp\""), std::string::npos);
  }
  EXPECT_NO_THROW(check(SocketOptions{"reno", 0, 1s}));
}

TEST(Leaving, WritesEverythingFirst) {
  Stations stations(2);
  constexpr std::uint64_t count = 50;
  for (std::uint64_t i = 0; i < count; ++i) stations[0].wire->send(1, chunk(i, 1'000'000));
  stations[0].leave();
  stations[0].wire.reset();
  auto news = stations[1].wait_for(count + 1);
  ASSERT_TRUE(news.back().message);
  EXPECT_EQ(news.back().message->kind, remote::Message::Kind::Left);
  news.pop_back();
  expect_in_order(news);
  // A peer that has left is not lost as well.
  stations[1].leave();
  EXPECT_TRUE(stations[1].take().empty());
}

TEST(Leaving, OfAllAtOnce) {
  for (int round = 0; round < 20; ++round) {
    Stations stations(3);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < 3; ++rank) {
      threads.emplace_back([&stations, rank] {
        stations[rank].wire->send((rank + 1) % 3, chunk(0, 10));
        stations[rank].wait_for_at_least(1);
        stations[rank].leave();
      });
    }
    for (auto& thread : threads) thread.join();
    for (int rank = 0; rank < 3; ++rank) {
      for (const auto& news : stations[rank].take()) EXPECT_TRUE(news.message) << news.loss;
    }
  }
}

/// What a rank sends last.
std::vector<std::byte> farewell(std::uint64_t sequence) {
  std::vector<std::byte> bytes;
  encode(remote::Message{}, sequence, bytes);
  return bytes;
}

TEST(Leaving, IsNoLossWhileDataStillArrives) {
  constexpr auto heartbeat = 200ms;
  Stations stations(2, [&](WireOptions& options) { options.sockets.heartbeat = heartbeat; });
  const test::RawRank control(stations, 1, 0);
  const Identity& identity = stations[1].identity;
  Hello hello = test::hello_of(identity, 0);
  hello.role = Role::Data;
  test::RawDial data(stations[0].endpoints.front(), hello, identity.key);
  ASSERT_EQ(data.verdict(), Verdict::Accepted);
  ASSERT_TRUE(data.use());
  control.send(farewell(2));
  control.finish();
  // Before that it has sent a chunk, which takes its time.
  const remote::Message last = chunk(0, 80);
  std::vector<std::byte> bytes;
  encode(last, 1, bytes);
  bytes.insert(bytes.end(), last.payload.data(), last.payload.data() + last.payload.size());
  for (const std::byte& one : bytes) {
    data.send(std::span(&one, 1));
    std::this_thread::sleep_for(heartbeat / 20);
  }
  data.finish();
  auto news = stations[0].wait_for(2);
  ASSERT_TRUE(news.back().message) << news.back().loss;
  EXPECT_EQ(news.back().message->kind, remote::Message::Kind::Left);
  news.pop_back();
  expect_in_order(news);
}

TEST(Leaving, SendsWhatWaitsToAPeerThatDials) {
  // Rank 1 cannot reach rank 0, which hears of it only by dialling itself.
  const auto silent = listen_on({}, {});
  Stations stations(2, {}, "127.0.0.1", [&](auto& addresses) { addresses[0] = {silent.front().endpoint}; });
  stations[1].wire->send(0, chunk(0, 10));
  const int everybody[] = {0};
  stations[1].wire->send_left(everybody);
  stations[0].wire->send(1, chunk(0, 10));
  auto news = stations[0].wait_for(2);
  ASSERT_TRUE(news.back().message) << news.back().loss;
  EXPECT_EQ(news.back().message->kind, remote::Message::Kind::Left);
  news.pop_back();
  expect_in_order(news);
}

TEST(Losses, ShowWhenThePeerEndsWithoutAWord) {
  Stations stations(2);
  stations[0].wire->send(1, chunk(0, 10));
  stations[1].wait_for(1);
  stations[0].wire.reset();
  const auto news = stations[1].wait_for(1);
  EXPECT_FALSE(news.front().message);
  EXPECT_NE(news.front().loss, "");
}

TEST(Losses, ComeAfterWhatWasSentBefore) {
  for (int round = 0; round < 20; ++round) {
    Stations stations(2, [](WireOptions& options) { options.data_connections = 2; });
    constexpr std::uint64_t count = 20;
    for (std::uint64_t i = 0; i < count; ++i) stations[0].wire->send(1, chunk(i, i % 2 == 0 ? 100 : 10'000));
    stations[1].wait_for_at_least(count);
    stations[0].wire.reset();
    auto news = stations[1].wait_for(count + 1);
    EXPECT_FALSE(news.back().message);
    news.pop_back();
    expect_in_order(news);
  }
}

TEST(Losses, ThatAreToldShowAtOnceWithoutAConnection) {
  Stations stations(2);
  stations[0].wire->tell_death(1, "was killed");
  EXPECT_EQ(stations[0].wait_for(1).front().loss, "was killed");
}

TEST(Losses, ThatAreToldComeAfterWhatAnOpenConnectionHolds) {
  Stations stations(2);
  stations[0].wire->send(1, chunk(0, 10));
  stations[1].wait_for(1);
  stations[1].wire->tell_death(0, "was killed");
  stations[0].wire->send(1, chunk(1, 10'000));
  stations[0].wire.reset();
  const auto news = stations[1].wait_for(2);
  EXPECT_TRUE(news.front().message);
  EXPECT_EQ(news.back().loss, "was killed");
}

TEST(Losses, GetTheirReasonLaterIfItIsKnownLater) {
  Stations stations(2);
  stations[0].wire->send(1, chunk(0, 10));
  stations[1].wait_for(1);
  stations[0].wire.reset();
  EXPECT_NE(stations[1].wait_for(1).front().loss, "");
  stations[1].wire->tell_death(0, "was killed");
  EXPECT_EQ(stations[1].wait_for(1).front().loss, "was killed");
}

TEST(Losses, OfAPeerThatGivesNoSignOfLife) {
  Stations stations(2, [](WireOptions& options) { options.sockets.heartbeat = 20ms; });
  // A rank that has come in, and stands still.
  const test::RawRank frozen(stations, 1, 0);
  const std::string loss = stations[0].wait_for(1).front().loss;
  EXPECT_NE(loss.find("no sign of life for 100 ms"), std::string::npos) << loss;
}

TEST(Losses, NotOfAPeerThatIsOnlySlow) {
  Stations stations(2, [](WireOptions& options) { options.sockets.heartbeat = 20ms; });
  stations[0].wire->send(1, chunk(0, 10));
  stations[1].wait_for_at_least(1);
  // Neither says anything for many heartbeats: their event loops do.
  std::this_thread::sleep_for(1s);
  EXPECT_TRUE(stations[0].take().empty());
  stations[0].wire->send(1, chunk(1, 10));
  expect_in_order(stations[1].wait_for(2));
}

TEST(Losses, NotOfAPeerWhoseBatchTakesLong) {
  Stations stations(2, [](WireOptions& options) { options.sockets.heartbeat = 20ms; });
  stations[0].wire->send(1, chunk(0, 10));
  stations[1].wait_for_at_least(1);
  // A pass over many operations on a machine that is busy: messages wait for the end of the batch.
  stations[0].wire->begin_batch();
  stations[0].wire->send(1, chunk(1, 10));
  std::this_thread::sleep_for(1s);
  stations[0].wire->send(1, chunk(2, 10));
  stations[0].wire->end_batch();
  expect_in_order(stations[1].wait_for(3));
}

TEST(Losses, OfAPeerThatTalksNonsense) {
  Stations stations(2);
  const test::RawRank mad(stations, 1, 0);
  mad.send("this is no frame, whatever it may be, and it is long enough to hold a header");
  const std::string loss = stations[0].wait_for(1).front().loss;
  EXPECT_NE(loss.find("what no rank sends"), std::string::npos) << loss;
}

TEST(Room, EndsWhereAPeerDoesNotRead) {
  Stations stations(2, [](WireOptions& options) { options.data_connections = 1; });
  const test::RawRank slow(stations, 1, 0);
  TcpWire& wire = *stations[0].wire;
  // It asks for nothing of what follows. The kernel's buffers hold some megabytes; then there is no room.
  std::uint64_t sent = 0;
  while (wire.has_room(1)) {
    wire.send(1, chunk(sent++, 500'000));
    ASSERT_LT(sent, 1000U) << "half a gigabyte waits for a peer that reads nothing";
  }
  const int rings = stations[0].rings();
  slow.read_until([&] { return stations[0].rings() > rings; });
  EXPECT_TRUE(wire.has_room(1));
}

TEST(Room, IsToldOfWhenThePeerHasGone) {
  Stations stations(2, [](WireOptions& options) { options.sockets.heartbeat = 400ms; });
  const test::RawRank slow(stations, 1, 0);
  TcpWire& wire = *stations[0].wire;
  std::uint64_t sent = 0;
  const auto send = [&] {
    wire.send(1, chunk(sent++, 500'000));
    slow.stay_alive(1, 0ms);
  };
  while (wire.has_room(1)) send();
  for (int more = 0; more < 40; ++more) send();  // the kernel may take some still
  const int rings = stations[0].rings();
  slow.send(farewell(1));
  const auto news = stations[0].wait_for(1);
  ASSERT_TRUE(news.front().message) << news.front().loss;
  stations[0].wait_for_ring(rings);
  EXPECT_FALSE(wire.has_room(1));
  // It reads nothing, and gives no sign of life any more.
  stations[0].wait_for_ring(rings + 1);
  EXPECT_TRUE(wire.has_room(1));
}

TEST(Descriptors, AreClosedInTheEnd) {
  const auto open = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                         std::filesystem::directory_iterator());
  };
  const auto before = open();
  for (int round = 0; round < 5; ++round) {
    Stations stations(4);
    for (int peer = 1; peer < 4; ++peer) stations[0].wire->send(peer, chunk(0, 10));
    for (int peer = 1; peer < 4; ++peer) stations[peer].wait_for(1);
  }
  EXPECT_EQ(open(), before);
}

}  // namespace
}  // namespace bluefog::transport::tcp
