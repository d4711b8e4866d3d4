// Whatever comes on the connection of a peer, in pieces of any size, is cut into messages or refused; and the
// messages are taken, or contradict what was said before.

#include <algorithm>
#include <utility>

#include "fuzz/target.hpp"
#include "mixing/row.hpp"
#include "transport/remote/remote_board.hpp"
#include "transport/tcp/frame_reader.hpp"

namespace {

using namespace bluefog::transport;
using bluefog::fuzz::Input;
using bluefog::fuzz::require;

class Nowhere final : public remote::Wire {
 public:
  void send(int /*peer*/, remote::Message /*message*/) override {}
};

void look_around(remote::RemoteBoard& board, int peer) {
  for (const PendingCall& call : board.pending(peer)) {
    SlotRef found;
    Post post;
    if (board.find(peer, call.post.key, found, post) != Lookup::Found) continue;
    static_cast<void>(board.row(found));
    static_cast<void>(board.reason(found));
    if (const std::uint64_t chunks = board.produced(found); chunks > 0)
      require(board.chunk(found, chunks - 1) != nullptr);
  }
  while (board.take_complaint()) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr int peer = 2;
  constexpr int ranks = 5;
  const Input input(data, size);
  tcp::FrameReader reader({peer, ranks}, input.choice % 16 == 15);
  Nowhere wire;
  remote::RemoteBoard board(wire, ranks);
  auto bytes = std::as_bytes(input.rest);
  while (true) {
    remote::Message message;
    std::uint64_t sequence = 0;
    const auto result = reader.next(message, sequence);
    if (result == tcp::FrameReader::Result::Refused) return 0;
    if (result == tcp::FrameReader::Result::Message) {
      require(message.payload.size() <= tcp::longest_payload);
      if (message.kind == remote::Message::Kind::Post)
        static_cast<void>(bluefog::mixing::decode(*message.row));
      if (message.kind == remote::Message::Kind::Note) {
        const Note note = remote::note_of(message);
        require(note.bytes.size() <= longest_note && (note.bytes.empty() || note.text.empty()));
        continue;
      }
      if (!board.receive(peer, std::move(message))) return 0;
      look_around(board, peer);
    }
    if (result != tcp::FrameReader::Result::Incomplete) continue;
    if (bytes.empty()) return 0;
    const auto space = reader.space();
    const std::size_t count = std::min({space.size(), bytes.size(), std::size_t{1} + input.choice});
    std::copy_n(bytes.begin(), count, space.begin());
    reader.wrote(count);
    bytes = bytes.subspan(count);
  }
}
