#include "messages/events.hpp"

#include <climits>

#include <nlohmann/json.hpp>

#include <bluefog/error.hpp>

#include "messages/json_text.hpp"

namespace bfrun {
namespace {

using bluefog::InvalidArgument;
using json = nlohmann::json;

constexpr std::size_t header_bytes = 5;
constexpr std::size_t longest_payload = std::size_t{4} << 20;
// What a login shell may write before bfrun speaks.
constexpr std::size_t longest_preface = std::size_t{256} << 10;

json to_json(const Greeting& greeting) {
  json addresses = json::array();
  for (const auto& [interface, address] : greeting.addresses) {
    addresses.push_back({{"interface", to_json_text(interface)}, {"address", to_json_text(address)}});
  }
  json interfaces = json::array();
  for (const std::string& interface : greeting.interfaces) interfaces.push_back(to_json_text(interface));
  return {{"event", "greeting"},
          {"version", greeting.version},
          {"addresses", addresses},
          {"interfaces", interfaces},
          {"reached_at", to_json_text(greeting.reached_at)},
          {"reached_from", to_json_text(greeting.reached_from)},
          {"free_port", greeting.free_port}};
}

json to_json(const RankEnded& end) {
  return {{"event", "rank_ended"}, {"rank", end.rank}, {"pid", end.pid}, {"wait_status", end.wait_status}};
}

json to_json(const StartFailed& failure) {
  return {
      {"event", "start_failed"}, {"exit_code", failure.exit_code}, {"reason", to_json_text(failure.reason)}};
}

json to_json(const Note& note) {
  return {{"event", "note"}, {"text", to_json_text(note.text)}};
}

json to_json(const HostFinished&) {
  return {{"event", "finished"}};
}

Greeting parse_greeting(const json& object) {
  Greeting greeting;
  greeting.version = text(object, "version");
  for (const json& entry : elements(member(object, "addresses"))) {
    greeting.addresses.push_back({text(entry, "interface"), text(entry, "address")});
  }
  for (const json& entry : elements(member(object, "interfaces"))) {
    greeting.interfaces.push_back(from_json_text(entry));
  }
  greeting.reached_at = text(object, "reached_at");
  greeting.reached_from = text(object, "reached_from");
  greeting.free_port = integer(object, "free_port", 1, 65535);
  return greeting;
}

}  // namespace

std::string encode_frame(FrameKind kind, std::string_view payload) {
  if (payload.size() > longest_payload) throw bluefog::Error("a frame is too long");
  std::string frame(1, static_cast<char>(kind));
  for (int shift = 0; shift < 32; shift += 8) frame += static_cast<char>(payload.size() >> shift & 255);
  return frame.append(payload);
}

std::string encode_event(const Event& event) {
  return encode_frame(FrameKind::event,
                      std::visit([](const auto& detail) { return to_json(detail); }, event).dump());
}

Event parse_event(std::string_view payload) {
  const json object = parse_json(payload);
  const std::string name = text(object, "event");
  if (name == "greeting") return parse_greeting(object);
  if (name == "rank_ended") {
    return RankEnded{integer(object, "rank", 0, INT_MAX), integer(object, "pid", 1, INT_MAX),
                     integer(object, "wait_status", 0, 65535)};
  }
  if (name == "start_failed") {
    return StartFailed{integer(object, "exit_code", 1, 255), text(object, "reason")};
  }
  if (name == "note") return Note{text(object, "text")};
  if (name == "finished") return HostFinished{};
  if (name == "rank_waits") return parse_rank_waits(object);
  if (name == "rank_left") return parse_rank_left(object);
  throw InvalidArgument("an event \"" + name + "\" is unknown");
}

void FrameParser::take(std::string_view bytes) {
  buffer_.erase(0, std::exchange(used_, 0));
  buffer_ += bytes;
}

std::optional<Frame> FrameParser::next() {
  if (!marked_ && !skip_to_mark()) return std::nullopt;
  const std::string_view left = std::string_view(buffer_).substr(used_);
  if (left.size() < header_bytes) return std::nullopt;
  const auto kind = static_cast<FrameKind>(left[0]);
  std::size_t length = 0;
  for (std::size_t i = header_bytes; i-- > 1;) length = length << 8 | static_cast<unsigned char>(left[i]);
  if (kind < FrameKind::output || kind > FrameKind::alive || length > longest_payload) {
    throw InvalidArgument("it does not speak as bfrun does");
  }
  if (left.size() < header_bytes + length) return std::nullopt;
  used_ += header_bytes + length;
  return Frame{kind, std::string(left.substr(header_bytes, length))};
}

bool FrameParser::skip_to_mark() {
  const std::size_t found = buffer_.find(mark_of_agent);
  marked_ = found != std::string::npos;
  if (marked_) {
    used_ = found + mark_of_agent.size();
  } else if (buffer_.size() > longest_preface) {
    throw InvalidArgument("it writes other things than bfrun does");
  }
  return marked_;
}

}  // namespace bfrun
