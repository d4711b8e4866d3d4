// What strangers say before they have proved anything: a greeting is refused or means exactly its bytes; no
// proof and no verdict is believed.

#include <algorithm>

#include "fuzz/target.hpp"
#include "transport/tcp/handshake.hpp"

namespace {

using namespace bluefog::transport::tcp;
using bluefog::fuzz::require;

template <class Bytes>
Bytes take(std::span<const std::uint8_t>& from) {
  Bytes bytes{};
  const std::size_t count = std::min(bytes.size(), from.size());
  std::copy_n(std::as_bytes(from).begin(), count, bytes.begin());
  from = from.subspan(count);
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const bluefog::base::JobKey key = bluefog::base::JobKey::random();
  std::span<const std::uint8_t> rest(data, size);
  const auto greeting = take<HelloBytes>(rest);
  if (const auto hello = decode_hello(greeting)) {
    require(encode(*hello) == greeting);
    static_cast<void>(is_for({1, 4, 7, 0, key}, *hello));
  }
  const auto challenge = take<ChallengeBytes>(rest);
  require(!is_authentic(key, greeting, challenge));
  require(!read_verdict(key, take<VerdictBytes>(rest), greeting, challenge));
  return 0;
}
