// How a link comes to be where dials cross, get through one way only, or are given up at one end.

#include <array>
#include <chrono>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "transport/tcp/alarm.hpp"
#include "unit/wires.hpp"

namespace bluefog::transport::tcp {
namespace {

using namespace std::chrono_literals;
using test::hello_of;
using test::RawDial;
using test::RawRank;
using test::RawSocket;
using test::Station;
using test::Stations;

remote::Message message(std::uint64_t number) {
  remote::Message message;
  message.kind = remote::Message::Kind::Passed;
  message.key = {1, number};
  return message;
}

void expect_message(Station& station, std::uint64_t number) {
  const auto news = station.wait_for(1);
  ASSERT_TRUE(news.front().message) << news.front().loss;
  EXPECT_EQ(news.front().message->key.count, number);
}

/// Two ranks; where one of them is said to listen sits the test.
struct Ambush {
  explicit Ambush(std::size_t rank)
      : stations(2, {}, "127.0.0.1",
                 [&](auto& addresses) { addresses[rank] = {listeners.front().endpoint}; }) {}
  std::vector<Listener> listeners = listen_on({}, {});
  Stations stations;
};

TEST(HalfOpen, AnAcceptedDialThatIsGivenUpCostsNobody) {
  Stations stations(2);
  const Identity& identity = stations[1].identity;
  {
    RawDial given_up(stations[0].endpoints.front(), hello_of(identity, 0), identity.key);
    ASSERT_EQ(given_up.verdict(), Verdict::Accepted);
  }
  stations[1].wire->send(0, message(1));
  expect_message(stations[0], 1);
  stations[0].wire->send(1, message(2));
  expect_message(stations[1], 2);
}

TEST(HalfOpen, ADialThatIsGivenUpLateDoesNotTakeThePlaceOfTheNext) {
  Stations stations(2);
  const Identity& identity = stations[1].identity;
  RawDial given_up(stations[0].endpoints.front(), hello_of(identity, 0), identity.key);
  ASSERT_EQ(given_up.verdict(), Verdict::Accepted);
  stations[1].wire->send(0, message(1));
  expect_message(stations[0], 1);
  EXPECT_TRUE(given_up.use());
  EXPECT_TRUE(given_up.socket().is_closed_by_peer());
  stations[1].wire->send(0, message(2));
  expect_message(stations[0], 2);
}

TEST(HalfOpen, AnAcceptedDataConnectionThatIsGivenUpCostsNobody) {
  constexpr auto heartbeat = 20ms;
  Stations stations(2, [&](WireOptions& options) { options.sockets.heartbeat = heartbeat; });
  const Identity& identity = stations[1].identity;
  RawRank rank(stations, 1, 0);
  Hello hello = hello_of(identity, 0);
  hello.role = Role::Data;
  {
    RawDial given_up(stations[0].endpoints.front(), hello, identity.key);
    ASSERT_EQ(given_up.verdict(), Verdict::Accepted);
  }
  rank.stay_alive(10, heartbeat);
  EXPECT_TRUE(stations[0].take().empty());
  RawDial next(stations[0].endpoints.front(), hello, identity.key);
  EXPECT_EQ(next.verdict(), Verdict::Accepted);
}

TEST(HalfOpen, StrangersDoNotTakeThePlaceOfARankThatHasProved) {
  Stations stations(2);
  const Identity& identity = stations[1].identity;
  RawDial rank(stations[0].endpoints.front(), hello_of(identity, 0), identity.key);
  ASSERT_EQ(rank.verdict(), Verdict::Accepted);
  std::vector<RawSocket> silent;
  for (int i = 0; i < 300; ++i) silent.emplace_back(stations[0].endpoints.front());
  EXPECT_TRUE(silent.front().is_closed_by_peer());
  EXPECT_TRUE(rank.use());
  stations[0].wire->send(1, message(1));
  EXPECT_TRUE(rank.socket().is_readable(test::patience));
}

TEST(Crossing, ARankThatDialsInVainAcceptsThePeer) {
  Ambush ambush(1);
  ambush.stations[0].wire->send(1, message(1));
  // Its attempt gets no answer.
  const RawSocket attempt(ambush.listeners.front());
  ASSERT_TRUE(attempt.is_connected());
  const Identity& identity = ambush.stations[1].identity;
  RawDial dial(ambush.stations[0].endpoints.front(), hello_of(identity, 0), identity.key);
  EXPECT_EQ(dial.verdict(), Verdict::Accepted);
  // Now nobody may accept its own any more.
  EXPECT_TRUE(attempt.is_closed_by_peer(handshake_time / 2));
  EXPECT_TRUE(dial.use());
  EXPECT_TRUE(dial.socket().is_readable(test::patience));
}

TEST(Crossing, ARefusalIsNoLossWhileThePeersOwnDialIsUnderWay) {
  for (const Verdict verdict : {Verdict::Refused, Verdict::Leaving}) {
    Ambush ambush(0);
    const Identity& identity = ambush.stations[0].identity;
    ambush.stations[1].wire->send(0, message(1));
    const RawSocket attempt(ambush.listeners.front());
    ASSERT_TRUE(attempt.is_connected());
    // Rank 0 has dialled too, uses its connection, and hears only then that rank 1 has.
    RawDial dial(ambush.stations[1].endpoints.front(), hello_of(identity, 1), identity.key);
    ASSERT_EQ(dial.verdict(), Verdict::Accepted);
    ASSERT_TRUE(test::answer(attempt, identity.key, verdict));
    EXPECT_TRUE(attempt.is_closed_by_peer());
    EXPECT_TRUE(dial.use());
    EXPECT_TRUE(dial.socket().is_readable(test::patience));
    EXPECT_TRUE(ambush.stations[1].take().empty());
  }
}

TEST(Crossing, ARankDialsAgainWhenThePeerDoesNotUseItsOwn) {
  Ambush ambush(1);
  const Identity& identity = ambush.stations[1].identity;
  {
    RawDial dial(ambush.stations[0].endpoints.front(), hello_of(identity, 0), identity.key);
    ASSERT_EQ(dial.verdict(), Verdict::Accepted);
    ambush.stations[0].wire->send(1, message(1));
  }
  const RawSocket attempt(ambush.listeners.front());
  EXPECT_TRUE(attempt.is_connected());
}

TEST(Crossing, ALeavingRankWaitsForAPeerThatComesIn) {
  Stations stations(2);
  const Identity& identity = stations[1].identity;
  RawDial rank(stations[0].endpoints.front(), hello_of(identity, 0), identity.key);
  ASSERT_EQ(rank.verdict(), Verdict::Accepted);
  std::thread leaver([&] {
    stations[0].leave();
    stations[0].wire.reset();
  });
  EXPECT_FALSE(rank.socket().is_readable(100ms)) << "it hears something before it has said whether it comes";
  EXPECT_TRUE(rank.use());
  std::array<std::byte, header_bytes> farewell{};
  EXPECT_TRUE(rank.receive(farewell));
  rank.finish();
  leaver.join();
}

}  // namespace
}  // namespace bluefog::transport::tcp
