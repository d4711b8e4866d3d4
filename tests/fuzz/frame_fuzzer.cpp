// libFuzzer target: whatever comes on a connection, in pieces of any size, is cut into messages or refused.
//
//   cmake --preset clang -DBLUEFOG_BUILD_FUZZERS=ON && ninja -C build/clang frame_fuzzer
//   build/clang/tests/fuzz/frame_fuzzer -max_len=20000

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "mixing/row.hpp"
#include "transport/tcp/frame_reader.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bluefog::transport;
  if (size == 0) return 0;
  tcp::FrameReader reader({2, 5});
  const std::size_t piece = 1 + data[0];  // the first byte says how the others come
  auto bytes = std::as_bytes(std::span(data + 1, size - 1));
  while (true) {
    remote::Message message;
    std::uint64_t sequence = 0;
    const auto result = reader.next(message, sequence);
    if (result == tcp::FrameReader::Result::Refused) return 0;
    if (result == tcp::FrameReader::Result::Message) {
      if (message.payload.size() > tcp::longest_payload) std::abort();
      if (message.kind == remote::Message::Kind::Post)
        static_cast<void>(bluefog::mixing::decode(*message.row));
    }
    if (result != tcp::FrameReader::Result::Incomplete) continue;
    if (bytes.empty()) return 0;
    const auto space = reader.space();
    const std::size_t count = std::min({space.size(), bytes.size(), piece});
    std::copy_n(bytes.begin(), count, space.begin());
    reader.wrote(count);
    bytes = bytes.subspan(count);
  }
}
