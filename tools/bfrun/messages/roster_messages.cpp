#include "messages/roster_messages.hpp"

#include <algorithm>
#include <charconv>
#include <climits>

#include <nlohmann/json.hpp>

#include <bluefog/error.hpp>

#include "messages/events.hpp"
#include "messages/json_text.hpp"

namespace bfrun {
namespace {

using bluefog::InvalidArgument;
using bluefog::membership::Seat;
using bluefog::transport::tcp::Endpoint;
using json = nlohmann::json;

constexpr std::size_t header_bytes = 5;
constexpr std::size_t longest_message = std::size_t{64} << 20;

// As text: not every reader of JSON keeps 64 bits of a number.
std::uint64_t number(const json& object, const char* name) {
  const std::string digits = text(object, name);
  std::uint64_t value = 0;
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || stop != digits.data() + digits.size()) {
    throw InvalidArgument("\"" + std::string(name) + "\" is no number");
  }
  return value;
}

json to_json(const Endpoint& endpoint) {
  const auto* const first = reinterpret_cast<const char*>(endpoint.address.data());
  return {{"address", to_json_text({first, endpoint.address.size()})},
          {"port", endpoint.port},
          {"six", endpoint.is_v6 != 0}};
}

Endpoint parse_endpoint(const json& object) {
  Endpoint endpoint;
  const std::string address = text(object, "address");
  if (address.size() != endpoint.address.size()) throw InvalidArgument("an address has the wrong length");
  std::copy(address.begin(), address.end(), endpoint.address.begin());
  endpoint.port = static_cast<std::uint16_t>(integer(object, "port", 1, 65535));
  endpoint.is_v6 = boolean(object, "six") ? 1 : 0;
  endpoint.is_set = 1;
  return endpoint;
}

json seat_to_json(const Seat& seat) {
  json endpoints = json::array();
  for (const Endpoint& endpoint : seat.endpoints) endpoints.push_back(to_json(endpoint));
  return {{"rank", seat.rank},
          {"ticket", std::to_string(seat.ticket)},
          {"placement", std::to_string(seat.placement)},
          {"endpoints", endpoints}};
}

Seat parse_seat(const json& object) {
  Seat seat;
  seat.rank = integer(object, "rank", 0, INT_MAX);
  seat.ticket = number(object, "ticket");
  seat.placement = number(object, "placement");
  for (const json& entry : elements(member(object, "endpoints"))) {
    if (seat.endpoints.size() == bluefog::membership::most_endpoints) {
      throw InvalidArgument("a rank has too many addresses");
    }
    seat.endpoints.push_back(parse_endpoint(entry));
  }
  return seat;
}

json to_json(const GenerationComplete& generation) {
  json seats = json::array();
  for (const Seat& seat : generation.seats) seats.push_back(seat_to_json(seat));
  return {{"order", "complete"}, {"generation", std::to_string(generation.number)}, {"seats", seats}};
}

json to_json(const LeaveConfirmed& confirmed) {
  return {{"order", "leave_confirmed"},
          {"rank", confirmed.rank},
          {"ticket", std::to_string(confirmed.ticket)},
          {"missing", confirmed.missing.ranks},
          {"hosts", to_json_text(confirmed.missing.hosts)}};
}

json to_json(const RankLost& lost) {
  return {{"order", "rank_lost"}, {"rank", lost.rank}, {"why", to_json_text(lost.why)}};
}

GenerationComplete parse_generation(const json& object, int size) {
  GenerationComplete generation;
  generation.number = number(object, "generation");
  for (const json& entry : elements(member(object, "seats"))) {
    generation.seats.push_back(parse_seat(entry));
    if (generation.seats.back().rank != static_cast<int>(generation.seats.size()) - 1) {
      throw InvalidArgument("the ranks are out of order");
    }
  }
  if (generation.seats.size() != static_cast<std::size_t>(size)) {
    throw InvalidArgument("there are not as many ranks as the job has");
  }
  return generation;
}

LeaveConfirmed parse_leave_confirmed(const json& object, int size) {
  LeaveConfirmed confirmed{integer(object, "rank", 0, size - 1), number(object, "ticket"), {}};
  for (const json& entry : elements(member(object, "missing"))) {
    if (!entry.is_number_integer()) throw InvalidArgument("a missing rank is no number");
    const auto rank = entry.get<std::int64_t>();
    if (rank < 0 || rank >= size) throw InvalidArgument("a missing rank is none of the job");
    confirmed.missing.ranks.push_back(static_cast<int>(rank));
  }
  confirmed.missing.hosts = text(object, "hosts");
  return confirmed;
}

RosterOrder parse_order(std::string_view body, int size) {
  const json object = parse_json(body);
  const std::string name = text(object, "order");
  if (name == "complete") return parse_generation(object, size);
  if (name == "leave_confirmed") return parse_leave_confirmed(object, size);
  if (name == "rank_lost") return RankLost{integer(object, "rank", 0, size - 1), text(object, "why")};
  throw InvalidArgument("an order \"" + name + "\" is unknown");
}

}  // namespace

nlohmann::json to_json(const RankWaits& event) {
  json object = seat_to_json(event.seat);
  object["event"] = "rank_waits";
  return object;
}

nlohmann::json to_json(const RankLeft& event) {
  return {{"event", "rank_left"}, {"rank", event.rank}, {"ticket", std::to_string(event.ticket)}};
}

RankWaits parse_rank_waits(const nlohmann::json& object) {
  return {parse_seat(object)};
}

RankLeft parse_rank_left(const nlohmann::json& object) {
  return {integer(object, "rank", 0, INT_MAX), number(object, "ticket")};
}

std::string encode_order(const RosterOrder& order) {
  const std::string body = std::visit([](const auto& detail) { return to_json(detail); }, order).dump();
  std::string bytes(1, static_cast<char>(order_message));
  for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(body.size() >> shift & 255);
  return bytes + body;
}

std::optional<std::variant<unsigned char, RosterOrder>> OrderParser::next() {
  if (buffer_.empty()) return std::nullopt;
  const auto first = static_cast<unsigned char>(buffer_.front());
  if (first != order_message) {
    buffer_.erase(0, 1);
    return first;
  }
  if (buffer_.size() < header_bytes) return std::nullopt;
  std::size_t length = 0;
  for (std::size_t i = header_bytes; i-- > 1;) length = length << 8 | static_cast<unsigned char>(buffer_[i]);
  if (length > longest_message) throw InvalidArgument("an order is too long");
  if (buffer_.size() < header_bytes + length) return std::nullopt;
  RosterOrder order = parse_order(std::string_view(buffer_).substr(header_bytes, length), size_);
  buffer_.erase(0, header_bytes + length);
  return order;
}

}  // namespace bfrun
