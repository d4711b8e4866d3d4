// Which ranks are of which host, and the messages that say so.

#include "membership/job_gatherer.hpp"

#include <random>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/version.hpp>

#include "membership/host_messages.hpp"

namespace bluefog::membership {
namespace {

constexpr std::uint64_t job = 4711;

/// A gatherer with everything that it has ordered.
class Gathered {
 public:
  explicit Gathered(int size)
      : gatherer(size, job, [this](int host, const HostOrder& order) { orders.emplace_back(host, order); }) {}

  int add_host(const std::vector<int>& ranks) {
    const int host = gatherer.add_host("10.0.0." + std::to_string(ranks.front()));
    gatherer.take(host, Introduction{BLUEFOG_VERSION});
    for (const int rank : ranks) gatherer.take(host, RankCame{rank});
    return host;
  }
  template <typename Order>
  [[nodiscard]] std::vector<std::pair<int, Order>> all() const {
    std::vector<std::pair<int, Order>> found;
    for (const auto& [host, order] : orders) {
      if (const auto* one = std::get_if<Order>(&order)) found.emplace_back(host, *one);
    }
    return found;
  }

  std::vector<std::pair<int, HostOrder>> orders;
  JobGatherer gatherer;
};

Seat seat_of(int rank, std::uint64_t ticket = 1) {
  return {rank, ticket, 7, transport::tcp::parse_addresses("10.0.0.1")};
}

TEST(JobGatherer, TellsEachHostWhichRanksAreItsOwn) {
  Gathered gathered(5);
  const int late = gathered.add_host({3, 4});
  const int first = gathered.add_host({1, 0});
  EXPECT_TRUE(gathered.orders.empty());
  const int one = gathered.add_host({2});
  const auto placed = gathered.all<Placed>();
  ASSERT_EQ(placed.size(), 3U);
  const std::vector<int> hosts{first, one, late};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(placed[i].first, hosts[i]);
    EXPECT_EQ(placed[i].second.job, job);
    EXPECT_EQ(placed[i].second.ranks_of_hosts, (std::vector{2, 1, 2}));
    EXPECT_EQ(placed[i].second.host, static_cast<int>(i));
  }
  EXPECT_EQ(placed[2].second.first_rank(), 3);
}

TEST(JobGatherer, RefusesRanksThatAreDealtRoundTheHosts) {
  Gathered gathered(4);
  const int even = gathered.add_host({0, 2});
  const int odd = gathered.add_host({1, 3});
  const auto refusals = gathered.all<TurnedAway>();
  ASSERT_EQ(refusals.size(), 2U);
  for (const auto& [host, refusal] : refusals) {
    EXPECT_EQ(refusal.rank, -1);
    EXPECT_TRUE(refusal.for_good);
    EXPECT_NE(refusal.why.find("one host has the ranks 0, 2: place them host by host (mpirun --map-by slot"),
              std::string::npos)
        << refusal.why;
  }
  EXPECT_FALSE(gathered.gatherer.is_placed());
  for (const int host : {even, odd}) gathered.gatherer.end_host(host);
}

TEST(JobGatherer, RefusesAnotherVersion) {
  Gathered gathered(2);
  const int host = gathered.gatherer.add_host("a");
  gathered.gatherer.take(host, Introduction{"9.9.9"});
  gathered.gatherer.take(host, RankCame{1});  // is not heard any more
  const auto refusals = gathered.all<TurnedAway>();
  ASSERT_EQ(refusals.size(), 1U);
  EXPECT_TRUE(refusals[0].second.for_good);
  EXPECT_NE(refusals[0].second.why.find("its version of BlueFog is 9.9.9, but that of rank 0's host is "),
            std::string::npos);
  gathered.add_host({0});
  EXPECT_TRUE(gathered.all<Placed>().empty());
}

TEST(JobGatherer, ARankIsOfOneHost) {
  Gathered gathered(3);
  gathered.add_host({0, 1});
  const int other = gathered.add_host({1, 2});
  const auto refusals = gathered.all<TurnedAway>();
  ASSERT_EQ(refusals.size(), 1U);
  EXPECT_EQ(refusals[0].first, other);
  EXPECT_EQ(refusals[0].second.rank, 1);
  EXPECT_NE(refusals[0].second.why.find("rank 1 has come already, on the host at 10.0.0.0"),
            std::string::npos)
      << refusals[0].second.why;
}

TEST(JobGatherer, WhoCameAfterAllIsSentElsewhere) {
  Gathered gathered(2);
  gathered.add_host({0, 1});
  gathered.add_host({1});
  const auto refusals = gathered.all<TurnedAway>();
  ASSERT_EQ(refusals.size(), 1U);
  EXPECT_FALSE(refusals[0].second.for_good);
}

TEST(JobGatherer, AHostThatEndsTakesItsRanksWithIt) {
  Gathered gathered(3);
  const int first = gathered.add_host({0});
  const int other = gathered.add_host({1, 2});
  EXPECT_EQ(gathered.all<Placed>().size(), 2U);

  Gathered again(3);
  const int gone = again.add_host({1});
  const int stays = again.add_host({0});
  again.gatherer.end_host(gone);
  again.gatherer.take(stays, WhoIsMissing{});
  ASSERT_EQ(again.all<StillMissing>().size(), 1U);
  EXPECT_EQ(again.all<StillMissing>()[0].second.missing.ranks, (std::vector{1, 2}));

  gathered.gatherer.take(other, RankWaits{seat_of(1)});
  gathered.gatherer.end_host(other);
  gathered.gatherer.take(first, RankLeft{0, 1});
  ASSERT_EQ(gathered.all<LeaveConfirmed>().size(), 1U);
  EXPECT_EQ(gathered.all<LeaveConfirmed>()[0].second.missing.ranks, (std::vector{0, 1, 2}));
}

TEST(JobGatherer, AGenerationGoesToAllHosts) {
  Gathered gathered(3);
  const int first = gathered.add_host({0});
  const int other = gathered.add_host({1, 2});
  for (std::uint64_t generation = 0; generation < 3; ++generation) {
    gathered.orders.clear();
    gathered.gatherer.take(first, RankWaits{seat_of(2)});  // not for it to say
    gathered.gatherer.take(other, RankWaits{seat_of(1)});
    gathered.gatherer.take(other, RankWaits{seat_of(2)});
    EXPECT_TRUE(gathered.all<Generation>().empty());
    gathered.gatherer.take(first, RankWaits{seat_of(0)});
    const auto complete = gathered.all<Generation>();
    ASSERT_EQ(complete.size(), 2U);
    EXPECT_EQ(complete[0].second.number, generation);
    EXPECT_EQ(complete[1].second.seats.size(), 3U);
  }
}

std::vector<HostOrder> some_orders() {
  auto endpoints = transport::tcp::parse_addresses("10.0.0.1,::1");
  for (auto& endpoint : endpoints) endpoint.port = 5000;
  return {Placed{job, {2, 1}, 1},
          TurnedAway{-1, true, "no"},
          TurnedAway{2, false, ""},
          StillMissing{{{0, 2}, "a, b"}},
          LeaveConfirmed{1, 99, {{1}, {}}},
          Generation{3, {{0, 1, 7, endpoints}, {1, 2, 7, {}}, {2, 3, 8, endpoints}}}};
}

std::vector<HostReport> some_reports() {
  auto endpoints = transport::tcp::parse_addresses("fd00::1");
  endpoints[0].port = 65535;
  return {Introduction{"1.0"}, RankCame{0}, RankWent{2}, WhoIsMissing{}, RankWaits{{1, 5, 6, endpoints}},
          RankLeft{2, 8}};
}

TEST(HostMessages, ComeBackAsTheyWere) {
  for (const HostOrder& order : some_orders()) {
    const auto bytes = encode(order);
    EXPECT_LE(bytes.size(), longest_host_message(3));
    const auto back = decode_order(bytes, 3);
    ASSERT_TRUE(back) << order.index();
    EXPECT_EQ(encode(*back), bytes);
  }
  for (const HostReport& report : some_reports()) {
    const auto bytes = encode(report);
    const auto back = decode_report(bytes, 3);
    ASSERT_TRUE(back) << report.index();
    EXPECT_EQ(encode(*back), bytes);
  }
  const auto generation = decode_order(encode(some_orders().back()), 3);
  EXPECT_EQ(std::get<Generation>(*generation).seats[0].endpoints[1].to_string(), "[::1]:5000");
}

TEST(HostMessages, NothingShorterOrLongerIsOne) {
  std::vector<std::vector<std::byte>> texts;
  for (const HostOrder& order : some_orders()) texts.push_back(encode(order));
  for (auto bytes : texts) {
    for (std::size_t length = 0; length < bytes.size(); ++length) {
      EXPECT_FALSE(decode_order(std::span(bytes).first(length), 3));
    }
    bytes.push_back(std::byte{0});
    EXPECT_FALSE(decode_order(bytes, 3));
  }
}

TEST(HostMessages, RanksBeyondTheJobAreNone) {
  EXPECT_FALSE(decode_report(encode(HostReport(RankCame{3})), 3));
  EXPECT_FALSE(decode_report(encode(HostReport(RankWaits{seat_of(3)})), 3));
  EXPECT_FALSE(decode_order(encode(HostOrder(Placed{job, {2, 2}, 0})), 3));
  EXPECT_FALSE(decode_order(encode(HostOrder(Placed{job, {2, 1}, 2})), 3));
  EXPECT_FALSE(decode_order(encode(HostOrder(Placed{job, {2, 0, 1}, 0})), 3));
  EXPECT_FALSE(decode_order(encode(HostOrder(StillMissing{{{5}, {}}})), 3));
}

TEST(HostMessages, GarbageDoesNoHarm) {
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::byte> bytes(random() % 80);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() % (round % 2 == 0 ? 256 : 6));
    (void)decode_order(bytes, 3);
    (void)decode_report(bytes, 3);
  }
}

}  // namespace
}  // namespace bluefog::membership
