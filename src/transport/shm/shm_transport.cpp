#include "transport/shm/shm_transport.hpp"

#include <algorithm>
#include <cstring>

#include <bluefog/error.hpp>

#include "base/hash.hpp"

namespace bluefog::transport::shm {

namespace {

constexpr std::uint64_t slot_mask = slot_count - 1;

std::uint64_t tag_of(const Key& key, std::uint32_t slot) {
  // The highest bit keeps a tag from being 0, which means free.
  const std::uint64_t hash = base::hash_combine(key.stream, key.count) | std::uint64_t{1} << 63;
  return (hash & ~slot_mask) | slot;
}

/// Calls of one stream follow each other in neighbouring buckets.
std::size_t bucket_of(const Key& key) {
  return (key.stream + key.count) % bucket_count;
}

template <std::size_t Words>
void store_words(AtomicWords<Words>& to, const void* from, std::size_t bytes) {
  const auto* source = static_cast<const std::byte*>(from);
  for (std::size_t word = 0; word * 8 < bytes; ++word) {
    std::uint64_t value = 0;
    std::memcpy(&value, source + word * 8, std::min<std::size_t>(8, bytes - word * 8));
    to[word].store(value, std::memory_order_relaxed);
  }
}

template <std::size_t Words>
void load_words(const AtomicWords<Words>& from, void* to, std::size_t bytes) {
  auto* target = static_cast<std::byte*>(to);
  for (std::size_t word = 0; word * 8 < bytes; ++word) {
    const std::uint64_t value = from[word].load(std::memory_order_relaxed);
    std::memcpy(target + word * 8, &value, std::min<std::size_t>(8, bytes - word * 8));
  }
}

template <std::size_t Words>
void store_text(AtomicWords<Words>& to, std::string_view text) {
  char buffer[Words * 8] = {};
  std::memcpy(buffer, text.data(), std::min(text.size(), sizeof(buffer) - 1));
  store_words(to, buffer, sizeof(buffer));
}

template <std::size_t Words>
std::string load_text(const AtomicWords<Words>& from) {
  char buffer[Words * 8];
  load_words(from, buffer, sizeof(buffer));
  buffer[sizeof(buffer) - 1] = '\0';
  return buffer;
}

std::uint64_t encode(Decision decision, std::uint32_t version) {
  return static_cast<std::uint64_t>(version) << 32 |
         static_cast<std::uint64_t>(decision.aborted_by + 1) << 8 |
         static_cast<std::uint64_t>(decision.state);
}

Decision decode_decision(std::uint64_t word, std::uint32_t version) {
  if (word >> 32 != version) return {};  // left over from an earlier operation in this slot
  return {static_cast<Decision::State>(word & 0xff), static_cast<int>(word >> 8 & 0xffffff) - 1};
}

}  // namespace

std::shared_ptr<Arena> ShmTransport::make_arena(int rank, std::size_t bytes, MemoryGauge gauge) {
  auto arena = gauge ? std::make_shared<Arena>(bytes, reserved_bytes, std::move(gauge))
                     : std::make_shared<Arena>(bytes, reserved_bytes);
  arena->mapping().populate(0, offsetof(Header, slots) + 64 * sizeof(Slot));
  arena->mapping().populate(offsetof(Header, streams), sizeof(Header::streams));
  // Zero pages are valid atomics; only what is not zero is written.
  auto* header = reinterpret_cast<Header*>(arena->base());
  header->rank = static_cast<std::uint32_t>(rank);
  header->magic = layout_magic;
  return arena;
}

std::shared_ptr<Mapping> ShmTransport::map_arena(int fd, std::size_t bytes) {
  return std::make_shared<Mapping>(fd, bytes, reserved_bytes);
}

ShmTransport::ShmTransport(int rank, int size, std::shared_ptr<Arena> arena, MapPeer map_peer)
    : rank_(rank),
      size_(size),
      arena_(std::move(arena)),
      doorbell_(own().doorbell),
      map_peer_(std::move(map_peer)),
      mappings_(static_cast<std::size_t>(size)),
      out_of_reach_(static_cast<std::size_t>(size)),
      boards_(static_cast<std::size_t>(size)),
      lost_(static_cast<std::size_t>(size)) {
  bells_.contains.resize(static_cast<std::size_t>(size));
  if (size > most_ranks) {
    throw InvalidArgument("a job can have at most " + std::to_string(most_ranks) + " ranks, not " +
                          std::to_string(size));
  }
  boards_[static_cast<std::size_t>(rank)] = &own();
  for (std::size_t slot = slot_count; slot-- > 0;) free_slots_.push_back(static_cast<std::uint32_t>(slot));
}

Header& ShmTransport::header(int rank) const {
  const auto index = static_cast<std::size_t>(rank);
  if (Header* const board = boards_[index].load(std::memory_order_acquire)) return *board;
  const std::lock_guard lock(map_mutex_);
  if (Header* const board = boards_[index].load(std::memory_order_relaxed)) return *board;
  // Nothing will ever be on it: a rank that is out of reach counts as lost.
  static Header blank;
  Header* board = &blank;
  try {
    mappings_[index] = open_arena_of(rank);
    board = reinterpret_cast<Header*>(mappings_[index]->base());
  } catch (const std::exception& error) {
    out_of_reach_[index] = error.what();
    lost_[index].store(true, std::memory_order_release);
  }
  boards_[index].store(board, std::memory_order_release);
  return *board;
}

std::shared_ptr<Mapping> ShmTransport::open_arena_of(int rank) const {
  std::shared_ptr<Mapping> mapping = map_peer_(rank);
  mapping->populate(0, offsetof(Header, slots) + 64 * sizeof(Slot));
  if (reinterpret_cast<const Header*>(mapping->base())->magic != layout_magic) {
    throw Error("the arena of rank " + std::to_string(rank) +
                " has another layout: is its BlueFog another build?");
  }
  return mapping;
}

Mapping& ShmTransport::mapping(int rank) const {
  if (rank == rank_) return arena_->mapping();
  static_cast<void>(header(rank));
  const std::shared_ptr<Mapping>& mapping = mappings_[static_cast<std::size_t>(rank)];
  if (mapping == nullptr)
    throw PeerLost("rank " + std::to_string(rank) + " is lost: " + why_lost(rank), rank);
  return *mapping;
}

std::string ShmTransport::why_lost(int peer) const {
  const std::lock_guard lock(map_mutex_);
  return out_of_reach_[static_cast<std::size_t>(peer)];
}

void ShmTransport::set_lost(int peer) {
  lost_[static_cast<std::size_t>(peer)].store(true, std::memory_order_release);
  own().doorbell.ring();
}

void ShmTransport::end_batch() {
  bells_.is_open = false;
  for (const int peer : bells_.peers) {
    bells_.contains[static_cast<std::size_t>(peer)] = false;
    ring(peer);
  }
  bells_.peers.clear();
}

void ShmTransport::leave() {
  own().has_left.store(1, std::memory_order_release);
  for (int peer = 0; peer < size_; ++peer) {
    if (peer != rank_ && boards_[static_cast<std::size_t>(peer)].load() != nullptr) ring(peer);
  }
}

std::optional<std::uint64_t> ShmTransport::beats_of(int peer) const {
  const Header* const there = boards_[static_cast<std::size_t>(peer)].load(std::memory_order_acquire);
  if (there == nullptr || there->magic != layout_magic) return {};
  if (there->has_left.load(std::memory_order_acquire) != 0) return {};
  return there->beats.load(std::memory_order_relaxed);
}

PeerState ShmTransport::state(int peer) const {
  // Before it is asked whether it died: who has left ends sooner or later.
  if (header(peer).has_left.load(std::memory_order_acquire) != 0) return PeerState::Left;
  return lost_[static_cast<std::size_t>(peer)].load(std::memory_order_acquire) ? PeerState::Lost
                                                                               : PeerState::Alive;
}

SharedMemory ShmTransport::allocate(std::size_t bytes) {
  std::byte* data = arena_->allocate(bytes);
  // The keeper holds the arena too, so tensors outlive the transport.
  std::shared_ptr<void> keeper(
      data, [arena = arena_](void* block) { arena->free(static_cast<std::byte*>(block)); });
  return {std::move(keeper), data, bytes};
}

std::uint64_t ShmTransport::offset_of(const void* data, std::size_t bytes) const {
  if (!arena_->contains(data, bytes)) return no_offset;
  return static_cast<std::uint64_t>(static_cast<const std::byte*>(data) - arena_->base());
}

std::byte* ShmTransport::map(int rank, std::uint64_t offset, std::size_t bytes) {
  Mapping& mapped = mapping(rank);
  if (offset > mapped.bytes() || bytes > mapped.bytes() - offset) {
    throw Error("rank " + std::to_string(rank) + " announced a tensor outside its arena");
  }
  mapped.populate(offset, bytes);
  return mapped.base() + offset;
}

bool ShmTransport::acquire(SlotRef& slot) {
  if (free_slots_.empty()) return false;
  slot.rank = rank_;
  slot.slot = free_slots_.back();
  free_slots_.pop_back();
  slot.version = own().slots[slot.slot].version.load(std::memory_order_relaxed) + 2;
  return true;
}

std::span<std::byte> ShmTransport::chunk_ring(const SlotRef& own) {
  return {arena_->base() + rings_offset + own.slot * ring_bytes, ring_bytes};
}

std::span<std::byte> ShmTransport::log(const SlotRef& at, std::size_t bytes) {
  return {map(at.rank, rings_offset + at.slot * ring_bytes, bytes), bytes};
}

void ShmTransport::publish(const SlotRef& at, const Announcement& announcement) {
  const std::span<const std::uint64_t> row = announcement.row;
  SharedMemory large;
  if (row.size() > inline_row_words) {
    large = allocate(row.size_bytes());
    std::memcpy(large.data(), row.data(), row.size_bytes());
  }
  Slot& slot = own().slots[at.slot];
  slot.version.store(at.version - 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  Post post = announcement.post;
  post.row_words = row.size();
  post.row_offset = no_offset;
  if (row.size() > inline_row_words) {
    post.row_offset = offset_of(large.data(), large.bytes());
    large_rows_[at.slot] = std::move(large);
  } else {
    store_words(slot.row, row.data(), row.size_bytes());
  }
  store_words(slot.post, &post, sizeof(post));
  if (!announcement.text.empty()) store_text(slot.text, announcement.text);
  if (post.is_named != 0) store_text(slot.name, announcement.name);
  slot.phase.store(announcement.text.empty() ? Phase::Posted : Phase::Withdrawn, std::memory_order_relaxed);
  slot.lost.store(0, std::memory_order_relaxed);
  slot.vote.store(announcement.vote, std::memory_order_relaxed);
  slot.produced.store(announcement.produced, std::memory_order_relaxed);
  slot.consumed.store(0, std::memory_order_relaxed);
  slot.version.store(at.version, std::memory_order_release);
  insert_tag(post.key, at.slot);
  count_call(post.key);
}

void ShmTransport::insert_tag(const Key& key, std::uint32_t slot) {
  Header& board = own();
  const std::size_t home = bucket_of(key);
  for (std::size_t step = 0; step < bucket_count; ++step) {
    for (auto& tag : board.buckets[(home + step) % bucket_count].tags) {
      if (tag.load(std::memory_order_relaxed) != 0) continue;
      // Sequentially consistent: a rank that withdraws, or takes its vote back, looks for this tag after it
      // said so.
      tag.store(tag_of(key, slot), std::memory_order_seq_cst);
      return;
    }
    board.displaced[(home + step) % bucket_count].fetch_add(1, std::memory_order_seq_cst);
  }
}

void ShmTransport::remove_tag(const Key& key, std::uint32_t slot) {
  Header& board = own();
  const std::size_t home = bucket_of(key);
  for (std::size_t step = 0; step < bucket_count; ++step) {
    for (auto& tag : board.buckets[(home + step) % bucket_count].tags) {
      if (tag.load(std::memory_order_relaxed) != tag_of(key, slot)) continue;
      tag.store(0, std::memory_order_release);
      for (std::size_t passed = 0; passed < step; ++passed) {
        board.displaced[(home + passed) % bucket_count].fetch_sub(1, std::memory_order_release);
      }
      return;
    }
  }
}

void ShmTransport::count_call(const Key& key) {
  StreamEntry* free = nullptr;
  for (std::size_t step = 0; step < stream_window; ++step) {
    StreamEntry& entry = own().streams[(key.stream + step) % stream_count];
    const std::uint64_t stream = entry.stream.load(std::memory_order_relaxed);
    if (stream == key.stream) return entry.calls.store(key.count + 1, std::memory_order_release);
    if (stream == 0 && free == nullptr) free = &entry;
  }
  // Names without end: an older stream is forgotten. Whoever looks for a call of it waits, until a warning.
  const std::size_t given_up = (key.stream >> 32) % stream_window;
  StreamEntry& entry = free != nullptr ? *free : own().streams[(key.stream + given_up) % stream_count];
  entry.stream.store(0, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  entry.calls.store(key.count + 1, std::memory_order_relaxed);
  entry.stream.store(key.stream, std::memory_order_release);
}

std::uint64_t ShmTransport::calls_of(const Header& board, std::uint64_t stream) {
  for (std::size_t step = 0; step < stream_window; ++step) {
    const StreamEntry& entry = board.streams[(stream + step) % stream_count];
    if (entry.stream.load(std::memory_order_acquire) != stream) continue;
    const std::uint64_t calls = entry.calls.load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (entry.stream.load(std::memory_order_relaxed) == stream) return calls;
  }
  return 0;
}

void ShmTransport::set_phase(const SlotRef& at, Phase phase) {
  slot(at).phase.store(phase, std::memory_order_seq_cst);
}
void ShmTransport::set_vote(const SlotRef& at, std::uint64_t vote) {
  own().slots[at.slot].vote.store(vote, std::memory_order_seq_cst);
}
void ShmTransport::set_produced(const SlotRef& at, std::uint64_t chunks) {
  slot(at).produced.store(chunks, std::memory_order_release);
}
void ShmTransport::set_consumed(const SlotRef& at, std::uint64_t chunks) {
  own().slots[at.slot].consumed.store(chunks, std::memory_order_release);
}
void ShmTransport::set_reason(const SlotRef& at, const Reason& reason) {
  Slot& slot = own().slots[at.slot];
  store_text(slot.text, reason.text);
  slot.lost.store(static_cast<std::uint32_t>(reason.lost + 1), std::memory_order_release);
}

void ShmTransport::reclaim(const SlotRef& at, const Key& key) {
  remove_tag(key, at.slot);
  Slot& slot = own().slots[at.slot];
  slot.version.store(at.version + 1, std::memory_order_release);
  slot.version.store(at.version + 2, std::memory_order_release);
  large_rows_.erase(at.slot);
  free_slots_.push_back(at.slot);
}

void ShmTransport::set_oldest_open(std::uint64_t sequence) {
  own().oldest_open.store(sequence, std::memory_order_release);
}

bool ShmTransport::find_tag(const Header& board, const Key& key, int peer, SlotRef& found, Post& post) const {
  const std::size_t home = bucket_of(key);
  const std::uint64_t wanted = tag_of(key, 0);
  for (std::size_t step = 0; step < bucket_count; ++step) {
    const std::size_t bucket = (home + step) % bucket_count;
    for (const auto& tag : board.buckets[bucket].tags) {
      const std::uint64_t value = tag.load(std::memory_order_seq_cst);
      if ((value & ~slot_mask) != wanted) continue;
      const auto index = static_cast<std::uint32_t>(value & slot_mask);
      const Slot& slot = board.slots[index];
      const std::uint32_t before = slot.version.load(std::memory_order_acquire);
      load_words(slot.post, &post, sizeof(post));
      std::atomic_thread_fence(std::memory_order_acquire);
      if (before % 2 != 0 || slot.version.load(std::memory_order_relaxed) != before || post.key != key)
        continue;
      found = {peer, index, before};
      return true;
    }
    if (board.displaced[bucket].load(std::memory_order_seq_cst) == 0) return false;
  }
  return false;
}

Lookup ShmTransport::find(int peer, const Key& key, SlotRef& found, Post& post) {
  const Header& board = header(peer);
  if (find_tag(board, key, peer, found, post)) return Lookup::Found;
  if (calls_of(board, key.stream) <= key.count) return Lookup::NotYet;
  // It may have come between the two looks.
  return find_tag(board, key, peer, found, post) ? Lookup::Found : Lookup::Passed;
}

Phase ShmTransport::phase(const SlotRef& at) const {
  const Slot& there = slot(at);
  const Phase phase = there.phase.load(std::memory_order_seq_cst);
  // A slot that was reclaimed belongs to an operation that its rank has left.
  return there.version.load(std::memory_order_acquire) == at.version ? phase : Phase::Left;
}
std::uint64_t ShmTransport::vote(const SlotRef& at) const {
  return slot(at).vote.load(std::memory_order_seq_cst);
}
std::uint64_t ShmTransport::produced(const SlotRef& at) const {
  return slot(at).produced.load(std::memory_order_acquire);
}
std::uint64_t ShmTransport::consumed(const SlotRef& at) const {
  return slot(at).consumed.load(std::memory_order_acquire);
}
Reason ShmTransport::reason(const SlotRef& at) const {
  const int lost = static_cast<int>(slot(at).lost.load(std::memory_order_acquire)) - 1;
  return {load_text(slot(at).text), lost};
}
std::uint64_t ShmTransport::oldest_open(int peer) const {
  return header(peer).oldest_open.load(std::memory_order_acquire);
}

std::vector<std::uint64_t> ShmTransport::row(const SlotRef& at, const Post& post) {
  std::vector<std::uint64_t> words(post.row_words);
  const Slot& there = slot(at);
  if (post.row_offset == no_offset) {
    load_words(there.row, words.data(), std::min(words.size(), inline_row_words) * sizeof(std::uint64_t));
  } else {
    std::memcpy(words.data(), map(at.rank, post.row_offset, words.size() * 8), words.size() * 8);
  }
  std::atomic_thread_fence(std::memory_order_acquire);
  if (there.version.load(std::memory_order_relaxed) != at.version) words.clear();
  return words;
}

const std::byte* ShmTransport::chunk(const SlotRef& at, const Post& post, std::uint64_t index) {
  const std::uint64_t depth = ring_bytes / post.chunk_bytes;
  return map(at.rank, rings_offset + at.slot * ring_bytes + index % depth * post.chunk_bytes,
             bytes_of_chunk(post, index));
}

std::vector<PendingCall> ShmTransport::pending(int peer) {
  const Header& board = header(peer);
  const std::uint64_t oldest = oldest_open(peer);
  std::vector<PendingCall> calls;
  // By their tags: slots that were never used have no memory yet, and shall get none here.
  for (const Bucket& bucket : board.buckets) {
    for (const auto& tag : bucket.tags) {
      const std::uint64_t value = tag.load(std::memory_order_acquire);
      if (value == 0) continue;
      const Slot& slot = board.slots[value & slot_mask];
      PendingCall call;
      const std::uint32_t before = slot.version.load(std::memory_order_acquire);
      load_words(slot.post, &call.post, sizeof(call.post));
      if (call.post.is_named != 0) call.name = load_text(slot.name);
      const Phase phase = slot.phase.load(std::memory_order_relaxed);
      std::atomic_thread_fence(std::memory_order_acquire);
      if (before % 2 != 0 || slot.version.load(std::memory_order_relaxed) != before) continue;
      if (phase < Phase::Left && call.post.sequence >= oldest) calls.push_back(std::move(call));
    }
  }
  sort_by_sequence(calls);
  return calls;
}

Decision ShmTransport::decision(const SlotRef& at) const {
  return decode_decision(slot(at).decision.load(std::memory_order_acquire), at.version);
}

Decision ShmTransport::decide(const SlotRef& at, Decision wanted) {
  auto& word = slot(at).decision;
  std::uint64_t seen = word.load(std::memory_order_acquire);
  while (true) {
    const Decision current = decode_decision(seen, at.version);
    if (current.state != Decision::State::Open) return current;
    if (word.compare_exchange_weak(seen, encode(wanted, at.version), std::memory_order_acq_rel))
      return wanted;
  }
}

void ShmTransport::complain(int peer, const Key& key, std::string_view text) {
  Header& board = header(peer);
  Complaint& complaint = board.complaints[static_cast<std::size_t>(rank_)];
  std::uint32_t empty = 0;
  if (!complaint.state.compare_exchange_strong(empty, 1)) return;  // one unread complaint says enough
  store_words(complaint.key, &key, sizeof(key));
  store_text(complaint.text, text);
  complaint.state.store(2, std::memory_order_release);
  board.complaints_waiting.store(1, std::memory_order_release);
  ring(peer);
}

std::optional<ComplaintText> ShmTransport::take_complaint() {
  Header& board = own();
  if (board.complaints_waiting.load(std::memory_order_acquire) == 0) return {};
  board.complaints_waiting.store(0, std::memory_order_seq_cst);
  std::optional<ComplaintText> taken;
  for (int peer = 0; peer < size_; ++peer) {
    Complaint& complaint = board.complaints[static_cast<std::size_t>(peer)];
    if (taken && complaint.state.load(std::memory_order_relaxed) == 2) {
      board.complaints_waiting.store(1, std::memory_order_release);
      break;
    }
    std::uint32_t full = 2;  // of several threads one takes it
    if (!complaint.state.compare_exchange_strong(full, 3, std::memory_order_acquire)) continue;
    taken.emplace();
    load_words(complaint.key, &taken->key, sizeof(taken->key));
    taken->text = load_text(complaint.text);
    complaint.state.store(0, std::memory_order_release);
  }
  return taken;
}

}  // namespace bluefog::transport::shm
