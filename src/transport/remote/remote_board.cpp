#include "transport/remote/remote_board.hpp"

#include <algorithm>

namespace bluefog::transport::remote {

namespace {

constexpr std::size_t remembered_rows = 8192;

}  // namespace

// --- own operations

RowWords RemoteBoard::share_row(std::uint64_t hash, std::span<const std::uint64_t> words) {
  if (const auto known = rows_.find(hash); known != rows_.end()) return known->second;
  if (rows_.size() >= remembered_rows) rows_.clear();
  return rows_.emplace(hash, std::make_shared<const std::vector<std::uint64_t>>(words.begin(), words.end()))
      .first->second;
}

RemoteBoard::Shown* RemoteBoard::OwnPost::shown_to(int peer) {
  const auto at =
      std::find_if(shown.begin(), shown.end(), [peer](const Shown& known) { return known.peer == peer; });
  return at == shown.end() ? nullptr : &*at;
}

void RemoteBoard::publish(std::uint32_t slot, const Announcement& announcement,
                          std::span<const std::byte> ring) {
  const Post& post = announcement.post;
  if (slot >= own_.size()) own_.resize(slot + 1);
  OwnPost& own = own_[slot];
  own.post = post;
  own.row = share_row(post.row_hash, announcement.row);
  own.destinations.clear();
  for (const auto& destination : announcement.destinations) own.destinations.push_back(destination.rank);
  own.incoming.assign(announcement.incoming.begin(), announcement.incoming.end());
  own.ring = ring;
  own.phase = announcement.text.empty() ? Phase::Posted : Phase::Withdrawn;
  own.produced = announcement.produced;
  own.consumed = 0;
  own.reason = {std::string(announcement.text)};
  own.name = announcement.name;
  own.shown.clear();
  own_by_key_[post.key] = slot;
  calls_[post.key.stream] = post.key.count + 1;
  // Whoever has posted already waits for an answer, also where this rank does not name it.
  const auto waiting = mirrors_by_key_.find(post.key);
  if (waiting == mirrors_by_key_.end()) return;
  for (const std::uint32_t mirror : waiting->second) show(mirrors_[mirror].peer, slot);
}

void RemoteBoard::show(int peer, std::uint32_t slot) {
  OwnPost& own = own_[slot];
  Shown* known = own.shown_to(peer);
  if (known == nullptr) {
    send_post(own, peer);
    known = &own.shown.back();
  }
  send_chunks(own, *known);
  send_progress(own, *known);
}

void RemoteBoard::send_post(OwnPost& own, int peer) {
  Shown shown;
  shown.peer = peer;
  shown.is_destination =
      std::find(own.destinations.begin(), own.destinations.end(), peer) != own.destinations.end();
  shown.phase = own.phase == Phase::Withdrawn ? Phase::Withdrawn : Phase::Posted;
  Message message;
  message.kind = Message::Kind::Post;
  message.phase = shown.phase;
  message.key = own.post.key;
  message.post = own.post;
  message.row = own.row;
  message.name = own.name;
  message.text = own.reason.text;
  message.lost = own.reason.lost;
  // Published together with the post: small, and sent unasked.
  const std::size_t bytes = bytes_of(own.post);
  if (shown.is_destination && own.produced == 1 && bytes <= own.post.chunk_bytes) {
    message.payload = Payload::borrowed(own.ring.first(bytes));
    shown.chunks = 1;
  }
  own.shown.push_back(shown);
  wire_.send(peer, std::move(message));
}

void RemoteBoard::send_chunks(OwnPost& own, Shown& shown) {
  if (!shown.is_destination || shown.chunks >= own.produced) return;
  const Mirror* const grant = mirror_of(shown.peer, own.post.key);
  if (grant == nullptr || !grant->has_post) return;
  if (grant->phase >= Phase::Done) {  // it needs nothing more, and its part of the ring is overwritten
    shown.chunks = own.produced;
    shown.is_held = false;
    return;
  }
  const std::size_t chunk = own.post.chunk_bytes;
  const std::size_t bytes = bytes_of(own.post);
  for (; shown.chunks < own.produced; ++shown.chunks) {
    // What is withdrawn goes at once: the news of it must not overtake these chunks.
    if (own.phase != Phase::Withdrawn && !wire_.has_room(shown.peer)) {
      if (!shown.is_held) held_.push_back({shown.peer, static_cast<std::uint32_t>(&own - own_.data())});
      shown.is_held = true;
      return;
    }
    const auto from = own.ring.subspan(shown.chunks % (own.ring.size() / chunk) * chunk,
                                       std::min(chunk, bytes - shown.chunks * chunk));
    send_chunk(own, shown, from);
  }
  shown.is_held = false;
}

void RemoteBoard::send_chunk(OwnPost& own, Shown& shown, std::span<const std::byte> chunk) {
  Message message;
  message.kind = Message::Kind::Chunk;
  message.key = own.post.key;
  message.payload = Payload::borrowed(chunk);
  wire_.send(shown.peer, std::move(message));
}

/// A source that has chunks to send wants to know whether this rank awaits them, should it have to give up.
/// Whoever has sent everything does not.
Phase RemoteBoard::phase_to_tell(const OwnPost& own, const Shown& shown) const {
  if (own.phase == Phase::Withdrawn) return Phase::Withdrawn;
  if (own.phase != Phase::Running && own.phase != Phase::Done) return shown.phase;
  if (!own.incoming.empty()) return shown.phase;  // its chunks come as streams
  const Mirror* const source = mirror_of(shown.peer, own.post.key);
  if (source == nullptr || !source->has_post) return shown.phase;
  const std::size_t come = (source->dropped + source->chunks.size()) * source->post.chunk_bytes;
  return come < bytes_of(source->post) ? own.phase : shown.phase;
}

/// What the peer may wait for: room in its ring, or that this rank is in the middle of it, or gives up.
void RemoteBoard::send_progress(OwnPost& own, Shown& shown) {
  const Phase phase = phase_to_tell(own, shown);
  const bool is_new = phase > shown.phase;
  const bool withdraws = is_new && phase == Phase::Withdrawn;
  bool frees_room = false;
  if (own.consumed > shown.consumed) {
    const Mirror* const source = mirror_of(shown.peer, own.post.key);
    frees_room = source != nullptr && source->has_post &&
                 bytes_of(source->post) > own.ring.size() / own.post.chunk_bytes * own.post.chunk_bytes;
  }
  if (!is_new && !frees_room) return;
  shown.consumed = own.consumed;
  Message message;
  message.kind = Message::Kind::Progress;
  if (is_new) message.phase = shown.phase = phase;
  message.key = own.post.key;
  message.consumed = own.consumed;
  if (withdraws) {
    message.text = own.reason.text;
    message.lost = own.reason.lost;
  }
  wire_.send(shown.peer, std::move(message));
}

bool RemoteBoard::is_settled(int peer, std::uint32_t slot) const {
  const OwnPost& own = own_[slot];
  const Shown* const shown = own.shown_to(peer);
  if (shown == nullptr) return true;
  const Mirror* const answer = mirror_of(peer, own.post.key);
  if (answer == nullptr) return false;
  return !answer->has_post || !shown->is_destination || shown->chunks >= own.produced;
}

bool RemoteBoard::has_sent_all(std::uint32_t slot) const {
  const auto& shown = own_[slot].shown;
  return std::none_of(shown.begin(), shown.end(), [](const Shown& known) { return known.is_held; });
}

void RemoteBoard::resume() {
  for (const Held& held : std::exchange(held_, {})) {
    // The slot may hold another operation by now.
    for (Shown& shown : own_[held.slot].shown) {
      if (shown.peer != held.peer || !shown.is_held) continue;
      shown.is_held = false;
      send_chunks(own_[held.slot], shown);
    }
  }
}

void RemoteBoard::set_consumed(std::uint32_t slot, std::uint64_t chunks) {
  own_[slot].consumed = chunks;
  const auto sources = mirrors_by_key_.find(own_[slot].post.key);
  if (sources == mirrors_by_key_.end()) return;
  for (const std::uint32_t index : sources->second) {
    mirrors_[index].drop_until(chunks);
  }
}

void RemoteBoard::reclaim(std::uint32_t slot, const Key& key) {
  own_by_key_.erase(key);
  own_[slot].shown.clear();
  const auto mirrors = mirrors_by_key_.find(key);
  if (mirrors == mirrors_by_key_.end()) return;
  for (const std::uint32_t index : mirrors->second) {
    mirrors_[index].chunks.clear();
    mirrors_[index].row.reset();
    ++mirrors_[index].version;
    free_mirrors_.push_back(index);
  }
  mirrors_by_key_.erase(mirrors);
}

void RemoteBoard::complain(int peer, const Key& key, std::string_view text) {
  Message message;
  message.kind = Message::Kind::Complaint;
  message.key = key;
  message.text = text;
  wire_.send(peer, std::move(message));
}

void RemoteBoard::leave(std::span<const int> peers) {
  wire_.send_left(peers);
}

// --- peers' operations

RemoteBoard::Mirror& RemoteBoard::add_mirror(int peer, const Key& key) {
  std::uint32_t index = 0;
  if (free_mirrors_.empty()) {
    index = static_cast<std::uint32_t>(mirrors_.size());
    mirrors_.emplace_back();
  } else {
    index = free_mirrors_.back();
    free_mirrors_.pop_back();
  }
  Mirror& mirror = mirrors_[index];
  mirror.peer = peer;
  mirror.has_post = false;
  mirror.phase = Phase::Posted;
  mirror.consumed = 0;
  mirror.reason = {};
  mirror.dropped = 0;
  mirrors_by_key_[key].push_back(index);
  return mirror;
}

const RemoteBoard::Mirror* RemoteBoard::mirror_of(int peer, const Key& key, std::uint32_t* index) const {
  const auto mirrors = mirrors_by_key_.find(key);
  if (mirrors == mirrors_by_key_.end()) return nullptr;
  for (const std::uint32_t candidate : mirrors->second) {
    if (mirrors_[candidate].peer != peer) continue;
    if (index != nullptr) *index = candidate;
    return &mirrors_[candidate];
  }
  return nullptr;
}

bool RemoteBoard::receive(int from, Message message) {
  switch (message.kind) {
    case Message::Kind::Post:
      return receive_post(from, message);
    case Message::Kind::Chunk:
      if (Mirror* const mirror = mirror_of(from, message.key)) {
        return receive_chunk(*mirror, message.key, std::move(message.payload));
      }
      break;
    case Message::Kind::Progress:
      if (Mirror* const mirror = mirror_of(from, message.key)) {
        mirror->consumed = std::max(mirror->consumed, message.consumed);
        mirror->phase = std::max(mirror->phase, message.phase);
        if (message.phase == Phase::Withdrawn) {
          mirror->reason = {std::move(message.text), message.lost};
        }
      }
      break;
    case Message::Kind::Passed:
      if (own_by_key_.contains(message.key) && mirror_of(from, message.key) == nullptr) {
        add_mirror(from, message.key);
      }
      break;
    case Message::Kind::Complaint:
      complaints_.push_back({message.key, std::move(message.text)});
      break;
    case Message::Kind::Note:
      return false;  // never given to the board
    case Message::Kind::Left:
      left_[static_cast<std::size_t>(from)] = true;
      break;
  }
  return true;
}

/// Whoever reads a chunk relies on its size.
bool RemoteBoard::receive_published(Mirror& mirror, Payload chunk) {
  if (!mirror.has_post) return false;
  const std::size_t bytes = bytes_of(mirror.post);
  const std::size_t start = (mirror.dropped + mirror.chunks.size()) * mirror.post.chunk_bytes;
  if (start >= bytes || chunk.size() != std::min<std::size_t>(mirror.post.chunk_bytes, bytes - start))
    return false;
  mirror.chunks.push_back(std::move(chunk));
  return true;
}

bool RemoteBoard::receive_post(int from, Message& message) {
  const auto own = own_by_key_.find(message.key);
  const auto calls = calls_.find(message.key.stream);
  if (own == own_by_key_.end() && calls != calls_.end() && calls->second > message.key.count) {
    Message passed;
    passed.kind = Message::Kind::Passed;
    passed.key = message.key;
    wire_.send(from, std::move(passed));
    return true;
  }
  Mirror* mirror = mirror_of(from, message.key);
  if (mirror != nullptr && mirror->has_post) return false;
  if (mirror == nullptr) mirror = &add_mirror(from, message.key);
  mirror->has_post = true;
  mirror->post = message.post;
  mirror->row = std::move(message.row);
  mirror->phase = message.phase;
  mirror->name = std::move(message.name);
  mirror->reason = {std::move(message.text), message.lost};
  if (!message.payload.empty() && !receive_published(*mirror, std::move(message.payload))) return false;
  if (own != own_by_key_.end()) show(from, own->second);
  return true;
}

Lookup RemoteBoard::find(int peer, const Key& key, SlotRef& found, Post& post) const {
  std::uint32_t index = 0;
  const Mirror* const mirror = mirror_of(peer, key, &index);
  if (mirror == nullptr) return Lookup::NotYet;
  if (!mirror->has_post) return Lookup::Passed;
  found = {peer, index, mirror->version};
  post = mirror->post;
  return Lookup::Found;
}

Phase RemoteBoard::phase(const SlotRef& slot) const {
  return at(slot).version == slot.version ? at(slot).phase : Phase::Left;
}
std::uint64_t RemoteBoard::produced(const SlotRef& slot) const {
  return at(slot).dropped + at(slot).chunks.size();
}
std::uint64_t RemoteBoard::consumed(const SlotRef& slot) const {
  return at(slot).consumed;
}
Reason RemoteBoard::reason(const SlotRef& slot) const {
  return at(slot).reason;
}
std::vector<std::uint64_t> RemoteBoard::row(const SlotRef& slot) const {
  return at(slot).version == slot.version && at(slot).row ? *at(slot).row : std::vector<std::uint64_t>{};
}
const std::byte* RemoteBoard::chunk(const SlotRef& slot, std::uint64_t index) const {
  return at(slot).chunks[index - at(slot).dropped].data();
}

std::vector<PendingCall> RemoteBoard::pending(int peer) const {
  std::vector<PendingCall> calls;
  for (const auto& [key, indices] : mirrors_by_key_) {
    const auto own = own_by_key_.find(key);
    if (own != own_by_key_.end() && own_[own->second].phase >= Phase::Left) continue;  // over here
    for (const std::uint32_t index : indices) {
      const Mirror& mirror = mirrors_[index];
      if (mirror.peer != peer || !mirror.has_post || mirror.phase == Phase::Withdrawn) continue;
      calls.push_back({mirror.post, mirror.name});
    }
  }
  sort_by_sequence(calls);
  return calls;
}

bool RemoteBoard::has_left(int peer) const {
  return left_[static_cast<std::size_t>(peer)];
}

std::optional<ComplaintText> RemoteBoard::take_complaint() {
  if (complaints_.empty()) return {};
  ComplaintText taken = std::move(complaints_.front());
  complaints_.pop_front();
  return taken;
}

}  // namespace bluefog::transport::remote
