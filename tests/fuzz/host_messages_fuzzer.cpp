// Reports and orders of hosts without bfrun: refused, or understood so that they can be said again.

#include "fuzz/target.hpp"
#include "membership/host_messages.hpp"

namespace {

using namespace bluefog::membership;
using bluefog::fuzz::require;

template <class Message, class Decode>
void check(std::span<const std::byte> bytes, int size, Decode decode) {
  const auto message = decode(bytes, size);
  if (!message) return;
  const std::vector<std::byte> again = encode(Message(*message));
  require(again.size() <= longest_host_message(size));
  const auto same = decode(again, size);
  require(same && encode(Message(*same)) == again);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const bluefog::fuzz::Input input(data, size);
  const int ranks = 1 + input.choice / 2 % 16;
  if (input.choice % 2 == 0) check<HostReport>(std::as_bytes(input.rest), ranks, decode_report);
  if (input.choice % 2 == 1) check<HostOrder>(std::as_bytes(input.rest), ranks, decode_order);
  return 0;
}
