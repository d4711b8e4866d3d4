// What bfrun and its agents read of each other: refused with InvalidArgument, or understood.

#include <algorithm>

#include <bluefog/error.hpp>

#include "check/plan.hpp"
#include "fuzz/target.hpp"
#include "messages/events.hpp"
#include "messages/job_description.hpp"
#include "messages/roster_messages.hpp"

namespace {

using bluefog::fuzz::text_of;

template <class Parser, class Take>
void feed(Parser parser, std::string_view bytes, std::size_t piece, Take take) {
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
    parser.take(bytes.substr(0, piece));
    while (auto next = parser.next()) take(std::move(*next));
  }
}

void read_agent(std::string_view bytes, std::size_t piece) {
  feed(bfrun::FrameParser(), bytes, piece, [](bfrun::Frame frame) {
    if (frame.kind == bfrun::FrameKind::event) static_cast<void>(bfrun::parse_event(frame.payload));
  });
}

void read_orders(std::string_view bytes, std::size_t piece) {
  feed(bfrun::OrderParser(6), bytes, piece, [](const auto&) {});
}

void read_description(std::string_view bytes) {
  const std::string_view header = bytes.substr(0, bfrun::description_header_bytes);
  static_cast<void>(bfrun::parse_description_header(header));
  const bfrun::JobDescription job = bfrun::parse_description(bytes.substr(header.size()));
  static_cast<void>(bfrun::encode(job));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const bluefog::fuzz::Input input(data, size);
  const std::string_view bytes = text_of(input.rest);
  const std::size_t piece = 1 + input.choice / 8;
  try {
    switch (input.choice % 8) {
      case 0:
        read_agent(std::string(bfrun::mark_of_agent) + std::string(bytes), piece);
        break;
      case 1:
        read_agent(bytes, piece);
        break;
      case 2:
        read_orders(bytes, piece);
        break;
      case 3:
        read_description(bytes);
        break;
      case 4:
        static_cast<void>(bfrun::parse_description(bytes));
        break;
      case 5:
        static_cast<void>(bfrun::parse_event(bytes));
        break;
      case 6:
        static_cast<void>(bfrun::parse_check_plan(bytes));
        break;
      default:
        break;
    }
  } catch (const bluefog::InvalidArgument&) {
  }
  return 0;
}
