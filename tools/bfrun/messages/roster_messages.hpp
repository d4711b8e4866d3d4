#pragma once
/// @file roster_messages.hpp  What agents and bfrun say to each other so that ranks of different hosts meet.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include <nlohmann/json_fwd.hpp>

#include "membership/rendezvous.hpp"

namespace bfrun {

/// A rank waits for the others.
struct RankWaits {
  bluefog::membership::Seat seat;
};

/// It waits no longer: it has given up, or died.
struct RankLeft {
  int rank = 0;
  std::uint64_t ticket = 0;
};

/// To agents: all ranks of the job wait, and these are they.
using GenerationComplete = bluefog::membership::Generation;

/// To the agent that has said RankLeft. Whatever generation the rank may still be in has been sent before.
struct LeaveConfirmed {
  int rank = 0;
  std::uint64_t ticket = 0;
  bluefog::membership::MissingRanks missing;
};

/// To agents: a rank of another host has died, or its host is lost.
struct RankLost {
  int rank = 0;
  std::string why;
};

using RosterOrder = std::variant<GenerationComplete, LeaveConfirmed, RankLost>;

[[nodiscard]] nlohmann::json to_json(const RankWaits& event);
[[nodiscard]] nlohmann::json to_json(const RankLeft& event);
/// @throws InvalidArgument
[[nodiscard]] RankWaits parse_rank_waits(const nlohmann::json& object);
/// @throws InvalidArgument
[[nodiscard]] RankLeft parse_rank_left(const nlohmann::json& object);

/// As it stands among the orders: order_message, a length, and that many bytes.
[[nodiscard]] std::string encode_order(const RosterOrder& order);

/// Cuts the stream of orders into single bytes and messages.
class OrderParser {
 public:
  explicit OrderParser(int size) : size_(size) {}
  void take(std::string_view bytes) { buffer_.append(bytes); }
  /// The next one that is complete: a byte (events.hpp) or a message.
  /// @throws InvalidArgument  bfrun does not speak like this
  [[nodiscard]] std::optional<std::variant<unsigned char, RosterOrder>> next();

 private:
  int size_;  // ranks of the job
  std::string buffer_;
};

}  // namespace bfrun
