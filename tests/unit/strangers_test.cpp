// Who is no rank of the job, and what ranks make of it: nothing, while they go on.

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "unit/wires.hpp"

namespace bluefog::transport::tcp {
namespace {

using test::ask;
using test::hello_of;
using test::RawSocket;
using test::Stations;

/// The two ranks of a job still find each other and talk.
void expect_undisturbed(Stations& stations) {
  static std::uint64_t number = 0;
  remote::Message message;
  message.kind = remote::Message::Kind::Passed;
  message.key = {1, ++number};
  stations[0].wire->send(1, std::move(message));
  const auto news = stations[1].wait_for(1);
  ASSERT_TRUE(news.front().message) << news.front().loss;
  EXPECT_EQ(news.front().message->key.count, number);
}

TEST(Strangers, WhoSayAnythingElseAreSentAway) {
  Stations stations(2);
  for (const std::string& text :
       {std::string("GET / HTTP/1.1\r\nHost: somebody.example\r\n\r\n") + std::string(100, 'x'),
        std::string(1000, '\0'), std::string(100'000, '\xff')}) {
    const RawSocket stranger(stations[1].endpoints.front());
    stranger.send(std::as_bytes(std::span(text)));
    EXPECT_TRUE(stranger.is_closed_by_peer());
  }
  EXPECT_GE(stations[1].wire->refused_strangers(), 3U);
  expect_undisturbed(stations);
}

TEST(Strangers, WithAnotherKeyAreSentAway) {
  Stations stations(2);
  const base::JobKey wrong = base::JobKey::random();
  const RawSocket stranger(stations[1].endpoints.front());
  EXPECT_EQ(ask(stranger, hello_of(stations[0].identity, 1), wrong), std::nullopt);
  EXPECT_TRUE(stranger.is_closed_by_peer());
  EXPECT_EQ(stations[1].wire->refused_strangers(), 1U);
  expect_undisturbed(stations);
}

struct Change {
  const char* what;
  void (*change)(Hello&);
};

class WrongHello : public testing::TestWithParam<Change> {};

TEST_P(WrongHello, IsSentAwayAlthoughTheKeyIsRight) {
  Stations stations(3);
  Hello hello = hello_of(stations[0].identity, 1);
  GetParam().change(hello);
  const RawSocket stranger(stations[1].endpoints.front());
  EXPECT_EQ(ask(stranger, hello, stations[0].identity.key), std::nullopt);
  EXPECT_EQ(stations[1].wire->refused_strangers(), 1U);
}

INSTANTIATE_TEST_SUITE_P(All, WrongHello,
                         testing::Values(Change{"AnotherJob", [](Hello& hello) { ++hello.job; }},
                                         Change{"AnotherGeneration",
                                                [](Hello& hello) { --hello.generation; }},
                                         Change{"AnotherSize", [](Hello& hello) { ++hello.size; }},
                                         Change{"ForAnotherRank", [](Hello& hello) { hello.to = 2; }},
                                         Change{"FromItself", [](Hello& hello) { hello.from = 1; }},
                                         Change{"FromOutside", [](Hello& hello) { hello.from = 3; }}),
                         [](const auto& info) { return info.param.what; });

TEST(Strangers, WhoRepeatWhatARankHasSaidAreSentAway) {
  Stations stations(2);
  const Identity& identity = stations[0].identity;
  const HelloBytes hello = encode(hello_of(identity, 1));
  ProofBytes proof{};
  {
    const RawSocket rank(stations[1].endpoints.front());
    rank.send(hello);
    ChallengeBytes challenge{};
    ASSERT_TRUE(rank.receive(challenge));
    proof = make_proof(identity.key, hello, challenge);  // right, but not used yet
  }
  const RawSocket stranger(stations[1].endpoints.front());
  stranger.send(hello);
  ChallengeBytes challenge{};
  ASSERT_TRUE(stranger.receive(challenge));
  stranger.send(proof);
  EXPECT_TRUE(stranger.is_closed_by_peer());
  EXPECT_EQ(stations[1].wire->refused_strangers(), 2U);
  expect_undisturbed(stations);
}

TEST(Strangers, WhoSendBackWhatTheyHearAreSentAway) {
  Stations stations(2);
  const RawSocket stranger(stations[1].endpoints.front());
  stranger.send(encode(hello_of(stations[0].identity, 1)));
  ChallengeBytes challenge{};
  ASSERT_TRUE(stranger.receive(challenge));
  stranger.send(std::span(challenge).subspan(sizeof(Nonce)));  // the listener's own proof
  EXPECT_TRUE(stranger.is_closed_by_peer());
  expect_undisturbed(stations);
}

TEST(Strangers, WhoSayNothingByTheHundredsKeepNobodyOut) {
  Stations stations(2);
  std::vector<RawSocket> silent;
  for (int i = 0; i < 300; ++i) {
    silent.emplace_back(stations[1].endpoints.front());
    ASSERT_TRUE(silent.back().is_connected());
    if (i % 2 == 0) silent.back().send(std::vector<std::byte>(20));  // a third of a greeting
  }
  expect_undisturbed(stations);
  // Most have been sent away long before their time was over.
  EXPECT_TRUE(silent.front().is_closed_by_peer());
  EXPECT_GE(stations[1].wire->refused_strangers(), 200U);
  expect_undisturbed(stations);
}

TEST(Strangers, AListenerThatKnowsNoKeyIsNoRank) {
  // Somebody sits where rank 1 was to listen.
  auto listeners = listen_on({}, {});
  Stations stations(
      2, [](WireOptions& options) { options.start_timeout = std::chrono::milliseconds(100); }, "127.0.0.1",
      [&](auto& addresses) { addresses[1] = {listeners.front().endpoint}; });
  remote::Message message;
  message.kind = remote::Message::Kind::Passed;
  stations[0].wire->send(1, std::move(message));
  const base::UniqueFd& listener = listeners.front().fd;
  pollfd entry{listener.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&entry, 1, 20'000), 1);
  const base::UniqueFd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  HelloBytes hello{};
  ASSERT_EQ(::recv(accepted.get(), hello.data(), hello.size(), MSG_WAITALL),
            static_cast<ssize_t>(hello.size()));
  Nonce nonce{};
  const ChallengeBytes forged = make_challenge(base::JobKey::random(), hello, nonce);
  ASSERT_EQ(::send(accepted.get(), forged.data(), forged.size(), 0), static_cast<ssize_t>(forged.size()));
  // The dialler says nothing more, and above all not its proof.
  std::byte more{};
  EXPECT_EQ(::recv(accepted.get(), &more, 1, 0), 0);
  listeners.clear();
  const std::string loss = stations[0].wait_for(1).front().loss;
  EXPECT_NE(loss, "");
}

TEST(Members, CannotTakeAConnectionThatExists) {
  Stations stations(2);
  expect_undisturbed(stations);
  const RawSocket second(stations[1].endpoints.front());
  const Identity& identity = stations[0].identity;
  EXPECT_EQ(ask(second, hello_of(identity, 1), identity.key), Verdict::Refused);
  expect_undisturbed(stations);
}

}  // namespace
}  // namespace bluefog::transport::tcp
