// Streams: chunks for one peer, with flow control of their own.

#include <algorithm>

#include "transport/remote/remote_board.hpp"

namespace bluefog::transport::remote {

bool RemoteBoard::can_send(int peer, std::uint32_t slot) {
  const OwnPost& own = own_[slot];
  const Shown* const shown = own.shown_to(peer);
  const Mirror* const grant = mirror_of(peer, own.post.key);
  if (shown == nullptr || grant == nullptr || !grant->has_post || grant->phase == Phase::Withdrawn)
    return false;
  return shown->chunks < grant->consumed + stream_window && wire_.has_room(peer);
}

void RemoteBoard::send_chunk(int peer, std::uint32_t slot, std::span<const std::byte> chunk) {
  OwnPost& own = own_[slot];
  Shown& shown = *own.shown_to(peer);
  send_chunk(own, shown, chunk);
  ++shown.chunks;
}

void RemoteBoard::release(int peer, std::uint32_t slot, std::uint64_t chunks) {
  const Key& key = own_[slot].post.key;
  Mirror* const mirror = mirror_of(peer, key);
  if (mirror == nullptr || mirror->dropped >= chunks) return;
  mirror->drop_until(chunks);
  Message message;
  message.kind = Message::Kind::Progress;
  message.key = key;
  message.consumed = chunks;
  wire_.send(peer, std::move(message));
}

/// What is expected of a peer, or nullptr.
const Stream* RemoteBoard::expected_of(int peer, const Key& key) const {
  const auto own = own_by_key_.find(key);
  if (own == own_by_key_.end()) return nullptr;
  const auto& streams = own_[own->second].incoming;
  const auto stream =
      std::find_if(streams.begin(), streams.end(), [peer](const Stream& one) { return one.peer == peer; });
  return stream == streams.end() ? nullptr : &*stream;
}

bool RemoteBoard::receive_chunk(Mirror& mirror, const Key& key, Payload chunk) {
  const Stream* const stream = expected_of(mirror.peer, key);
  if (stream == nullptr) return receive_published(mirror, std::move(chunk));
  const std::uint64_t index = mirror.dropped + mirror.chunks.size();
  const bool fits = index < stream->chunks() && chunk.size() == stream->chunk(index).bytes;
  if (!fits || mirror.chunks.size() >= stream_window) return false;
  mirror.chunks.push_back(std::move(chunk));
  return true;
}

}  // namespace bluefog::transport::remote
