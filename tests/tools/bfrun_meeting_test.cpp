// How ranks of several hosts meet through bfrun, and the messages that this takes.
#include <random>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/error.hpp>

#include "meeting.hpp"
#include "messages/events.hpp"
#include "messages/roster_messages.hpp"

namespace bfrun {
namespace {

using bluefog::InvalidArgument;
using bluefog::membership::Seat;

const std::vector<HostRanks> three_hosts{{"a", true, 0, 2}, {"b", false, 2, 1}, {"c", false, 3, 1}};

/// What each host has been sent, read as its agent does.
struct Sent {
  std::vector<std::vector<RosterOrder>> orders{three_hosts.size()};
  Meeting meeting{three_hosts, [this](std::size_t host, const std::string& bytes) {
                    OrderParser parser(4);
                    parser.take(bytes);
                    const auto order = parser.next();
                    orders[host].push_back(std::get<RosterOrder>(order.value()));
                    EXPECT_FALSE(parser.next());
                  }};
};

Seat seat_of(int rank, std::uint64_t ticket = 1) {
  Seat seat{rank, ticket, 0xfedcba9876543210, bluefog::transport::tcp::parse_addresses("10.0.0.1,fe80::1")};
  for (auto& endpoint : seat.endpoints) endpoint.port = 65535;
  return seat;
}

/// Through the frames of an agent.
template <typename Kind>
Kind as_read(const Kind& event) {
  FrameParser parser;
  parser.take(std::string(mark_of_agent) + encode_event(event));
  return std::get<Kind>(parse_event(parser.next().value().payload));
}

TEST(Meeting, TellsAllHostsWhenTheLastRankHasCome) {
  Sent sent;
  for (const int rank : {3, 0, 2}) {
    sent.meeting.on_waiting(three_hosts[rank < 2 ? 0 : static_cast<std::size_t>(rank - 1)],
                            as_read(RankWaits{seat_of(rank)}));
  }
  for (const auto& orders : sent.orders) EXPECT_TRUE(orders.empty());
  sent.meeting.on_waiting(three_hosts[0], as_read(RankWaits{seat_of(1, UINT64_MAX)}));
  for (const auto& orders : sent.orders) {
    ASSERT_EQ(orders.size(), 1U);
    const auto& generation = std::get<GenerationComplete>(orders[0]);
    EXPECT_EQ(generation.number, 0U);
    ASSERT_EQ(generation.seats.size(), 4U);
    EXPECT_EQ(generation.seats[1].ticket, UINT64_MAX);
    EXPECT_EQ(generation.seats[3].placement, 0xfedcba9876543210);
    EXPECT_EQ(generation.seats[3].endpoints, seat_of(3).endpoints);
  }
}

TEST(Meeting, NamesMissingRanksAndHostsToWhoLeaves) {
  Sent sent;
  sent.meeting.on_waiting(three_hosts[0], RankWaits{seat_of(0)});
  sent.meeting.on_waiting(three_hosts[1], RankWaits{seat_of(2)});
  sent.meeting.on_left(three_hosts[0], as_read(RankLeft{0, 1}));
  ASSERT_EQ(sent.orders[0].size(), 1U);
  const auto& confirmed = std::get<LeaveConfirmed>(sent.orders[0][0]);
  EXPECT_EQ(confirmed.rank, 0);
  EXPECT_EQ(confirmed.ticket, 1U);
  EXPECT_EQ(confirmed.missing.ranks, (std::vector{0, 1, 3}));
  EXPECT_EQ(confirmed.missing.hosts, "c");
  EXPECT_TRUE(sent.orders[1].empty() && sent.orders[2].empty());
}

TEST(Meeting, AHostSpeaksForItsOwnRanksAlone) {
  Sent sent;
  sent.meeting.on_waiting(three_hosts[2], RankWaits{seat_of(3)});
  for (const int rank : {0, 1, 2, 4, 1'000'000})
    sent.meeting.on_waiting(three_hosts[2], RankWaits{seat_of(rank)});
  sent.meeting.on_left(three_hosts[1], RankLeft{3, 1});
  for (const auto& orders : sent.orders) EXPECT_TRUE(orders.empty());
}

TEST(Meeting, TellsALossToAllOtherHosts) {
  Sent sent;
  sent.meeting.tell_loss(three_hosts[1], 2, "exited with code 3 on b\xff");
  EXPECT_TRUE(sent.orders[1].empty());
  for (const std::size_t host : {0, 2}) {
    ASSERT_EQ(sent.orders[host].size(), 1U);
    EXPECT_EQ(std::get<RankLost>(sent.orders[host][0]).rank, 2);
    EXPECT_EQ(std::get<RankLost>(sent.orders[host][0]).why, "exited with code 3 on b\xff");
  }
}

TEST(OrderParser, TellsBytesFromMessagesInAnyPieces) {
  const std::string bytes =
      "\x0f" + encode_order(RankLost{1, "gone"}) + "\xa0" + encode_order(LeaveConfirmed{2, 9, {{1}, "b"}});
  for (const std::size_t piece : {std::size_t{1}, std::size_t{3}, bytes.size()}) {
    OrderParser parser(4);
    std::string kinds;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      parser.take(std::string_view(bytes).substr(at, piece));
      while (const auto order = parser.next()) {
        kinds += std::holds_alternative<unsigned char>(*order) ? 'b' : 'm';
      }
    }
    EXPECT_EQ(kinds, "bmbm");
  }
}

TEST(OrderParser, RefusesWhatBfrunNeverSends) {
  const auto complaint = [](const std::string& bytes) {
    OrderParser parser(4);
    parser.take(bytes);
    EXPECT_THROW((void)parser.next(), InvalidArgument);
  };
  complaint(std::string(1, static_cast<char>(order_message)) + "\xff\xff\xff\xff");
  complaint(encode_order(RankLost{4, "no such rank"}));
  complaint(encode_order(RankLost{-1, "no such rank"}));
  complaint(encode_order(LeaveConfirmed{0, 1, {{4}, ""}}));
  complaint(encode_order(GenerationComplete{0, {seat_of(0), seat_of(1), seat_of(2)}}));
  complaint(encode_order(GenerationComplete{0, {seat_of(0), seat_of(2), seat_of(1), seat_of(3)}}));
  Seat crowded = seat_of(0);
  crowded.endpoints.resize(9, crowded.endpoints[0]);
  complaint(encode_order(GenerationComplete{0, {crowded, seat_of(1), seat_of(2), seat_of(3)}}));
}

TEST(OrderParser, StandsAnyDamage) {
  const std::string whole =
      encode_order(GenerationComplete{3, {seat_of(0), seat_of(1), seat_of(2), seat_of(3)}});
  std::mt19937 random(20);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes = whole;
    bytes[5 + random() % (bytes.size() - 5)] = static_cast<char>(random());
    OrderParser parser(4);
    parser.take(bytes);
    try {
      (void)parser.next();
    } catch (const InvalidArgument&) {
    }
  }
}

}  // namespace
}  // namespace bfrun
