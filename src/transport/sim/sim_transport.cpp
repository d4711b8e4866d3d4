#include "transport/sim/sim_transport.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include <sys/mman.h>

#include <bluefog/error.hpp>

namespace bluefog::transport::sim {

namespace {

constexpr std::size_t most_slots = 1024;
constexpr std::size_t ring_bytes = std::size_t{4} << 20;
constexpr std::size_t alignment = 64;
constexpr std::size_t least_mapped = std::size_t{256} << 10;

std::byte* aligned(void* memory) {
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  return static_cast<std::byte*>(memory) + (alignment - address % alignment) % alignment;
}

}  // namespace

SimArena::~SimArena() {
  for (const auto& [data, block] : blocks_) give_back(block);
}

void SimArena::give_back(const Block& block) {
  if (block.is_mapped) {
    ::munmap(block.memory, block.bytes);
  } else {
    std::free(block.memory);
  }
}

std::byte* SimArena::allocate(std::size_t bytes) {
  // Large blocks cost nothing until they are touched.
  const bool is_mapped = bytes >= least_mapped;
  void* const memory = is_mapped ? ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
                                 : std::calloc(bytes + alignment, 1);
  if (memory == nullptr || memory == MAP_FAILED) {
    throw Error("no memory for " + std::to_string(bytes) + " bytes of a simulated arena");
  }
  std::byte* const data = aligned(memory);
  blocks_[data] = {std::max<std::size_t>(bytes, 1), memory, is_mapped};
  return data;
}

void SimArena::free(std::byte* data) {
  const auto block = blocks_.find(data);
  if (block == blocks_.end() || keeps_all_) return;
  give_back(block->second);
  blocks_.erase(block);
}

bool SimArena::contains(const void* data, std::size_t bytes) const {
  const auto* const first = static_cast<const std::byte*>(data);
  auto block = blocks_.upper_bound(first);
  if (block == blocks_.begin()) return false;
  --block;
  return first + bytes <= block->first + block->second.bytes;
}

std::size_t SimArena::bytes() const {
  std::size_t sum = 0;
  for (const auto& [data, block] : blocks_) sum += block.bytes;
  return sum;
}

SimTransport::SimTransport(Network& network, SimExecutor& executor, int rank, int size)
    : network_(network),
      executor_(executor),
      rank_(rank),
      size_(size),
      doorbell_(network.scheduler()),
      arena_(std::make_shared<SimArena>()),
      remote_(*this, size),
      lost_(static_cast<std::size_t>(size)) {
  network.attach(rank, *this);
}

void SimTransport::receive(int from, remote::Message message) {
  remote_.receive(from, std::move(message));
  doorbell_.ring();
}

void SimTransport::set_lost(int peer) {
  lost_[static_cast<std::size_t>(peer)] = true;
  doorbell_.ring();
}

PeerState SimTransport::state(int peer) const {
  if (lost_[static_cast<std::size_t>(peer)]) return PeerState::Lost;
  const bool has_left = shares_memory(peer) ? this->peer(peer).has_left_ : remote_.has_left(peer);
  return has_left ? PeerState::Left : PeerState::Alive;
}

void SimTransport::leave() {
  has_left_ = true;
  std::vector<int> far;
  for (int peer = 0; peer < size_; ++peer) {
    if (peer == rank_) continue;
    if (shares_memory(peer)) {
      ring(peer);
    } else {
      far.push_back(peer);
    }
  }
  remote_.leave(far);
}

void SimTransport::ring(int peer) {
  const TimePoint when = executor_.free_at() + network_.inside_host().latency;
  base::Doorbell& bell = this->peer(peer).doorbell_;
  if (when <= network_.scheduler().now()) return bell.ring();
  network_.scheduler().at(when, [&bell] { bell.ring(); });
}

SharedMemory SimTransport::allocate(std::size_t bytes) {
  std::byte* const data = arena_->allocate(bytes);
  std::shared_ptr<void> keeper(
      data, [arena = arena_](void* block) { arena->free(static_cast<std::byte*>(block)); });
  return {std::move(keeper), data, bytes};
}

std::uint64_t SimTransport::offset_of(const void* data, std::size_t bytes) const {
  return arena_->contains(data, bytes) ? reinterpret_cast<std::uintptr_t>(data) : no_offset;
}

std::byte* SimTransport::map(int rank, std::uint64_t offset, std::size_t bytes) {
  if (rank != rank_) charge(bytes);
  return reinterpret_cast<std::byte*>(offset);
}

void SimTransport::charge(std::size_t bytes) {
  const double speed = network_.inside_host().bandwidth;
  if (speed <= 0) return;
  executor_.occupy(Duration(std::llround(static_cast<double>(bytes) * network_.byte_scale() / speed * 1e9)));
}

// --- own operations

bool SimTransport::acquire(SlotRef& slot) {
  if (free_slots_.empty()) {
    if (slots_.size() == most_slots) return false;
    free_slots_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  slot = {rank_, free_slots_.back(), slots_[free_slots_.back()].version};
  free_slots_.pop_back();
  return true;
}

std::span<std::byte> SimTransport::chunk_ring(const SlotRef& own) {
  Slot& slot = slots_[own.slot];
  if (slot.ring.empty()) slot.ring = {arena_->allocate(ring_bytes), ring_bytes};
  return slot.ring;
}

std::span<std::byte> SimTransport::log(const SlotRef& at, std::size_t bytes) {
  return peer(at.rank).chunk_ring(at).first(bytes);
}

void SimTransport::publish(const SlotRef& own, const Announcement& announcement) {
  Slot& slot = slots_[own.slot];
  slot.post = announcement.post;
  slot.row.assign(announcement.row.begin(), announcement.row.end());
  slot.post.row_words = slot.row.size();
  slot.phase = announcement.text.empty() ? Phase::Posted : Phase::Withdrawn;
  slot.vote = announcement.vote;
  slot.produced = announcement.produced;
  slot.consumed = 0;
  slot.reason = {std::string(announcement.text)};
  slot.name = announcement.name;
  slot.decision = {};
  by_key_[slot.post.key] = own.slot;
  calls_[slot.post.key.stream] = slot.post.key.count + 1;
  remote_.publish(own.slot, announcement, chunk_ring(own));
}

void SimTransport::set_phase(const SlotRef& at, Phase phase) {
  slot(at).phase = phase;
  if (at.rank == rank_) remote_.set_phase(at.slot, phase);
}
void SimTransport::set_vote(const SlotRef& own, std::uint64_t vote) {
  slots_[own.slot].vote = vote;
}
void SimTransport::set_produced(const SlotRef& at, std::uint64_t chunks) {
  slot(at).produced = chunks;
  if (at.rank == rank_) remote_.set_produced(at.slot, chunks);
}
void SimTransport::set_consumed(const SlotRef& own, std::uint64_t chunks) {
  slots_[own.slot].consumed = chunks;
  remote_.set_consumed(own.slot, chunks);
}
void SimTransport::set_reason(const SlotRef& own, const Reason& reason) {
  slots_[own.slot].reason = reason;
  remote_.set_reason(own.slot, reason);
}

void SimTransport::show(int peer, const SlotRef& at) {
  shares_memory(peer) ? ring(peer) : remote_.show(peer, at.slot);
}

void SimTransport::reclaim(const SlotRef& own, const Key& key) {
  ++slots_[own.slot].version;
  by_key_.erase(key);
  free_slots_.push_back(own.slot);
  remote_.reclaim(own.slot, key);
}

// --- peers' operations

Lookup SimTransport::find(int peer, const Key& key, SlotRef& found, Post& post) {
  if (!shares_memory(peer)) return remote_.find(peer, key, found, post);
  const SimTransport& there = this->peer(peer);
  if (const auto at = there.by_key_.find(key); at != there.by_key_.end()) {
    found = {peer, at->second, there.slots_[at->second].version};
    post = there.slots_[at->second].post;
    return Lookup::Found;
  }
  const auto calls = there.calls_.find(key.stream);
  return calls != there.calls_.end() && calls->second > key.count ? Lookup::Passed : Lookup::NotYet;
}

Phase SimTransport::phase(const SlotRef& at) const {
  if (!shares_memory(at.rank)) return remote_.phase(at);
  return slot(at).version == at.version ? slot(at).phase : Phase::Left;
}
std::uint64_t SimTransport::vote(const SlotRef& at) const {
  return shares_memory(at.rank) ? slot(at).vote : 0;
}
std::uint64_t SimTransport::produced(const SlotRef& at) const {
  return shares_memory(at.rank) ? slot(at).produced : remote_.produced(at);
}
std::uint64_t SimTransport::consumed(const SlotRef& at) const {
  return shares_memory(at.rank) ? slot(at).consumed : remote_.consumed(at);
}
Reason SimTransport::reason(const SlotRef& at) const {
  return shares_memory(at.rank) ? slot(at).reason : remote_.reason(at);
}
std::vector<std::uint64_t> SimTransport::row(const SlotRef& at, const Post& /*post*/) {
  if (!shares_memory(at.rank)) return remote_.row(at);
  return slot(at).version == at.version ? slot(at).row : std::vector<std::uint64_t>{};
}
std::uint64_t SimTransport::oldest_open(int peer) const {
  return shares_memory(peer) ? this->peer(peer).oldest_open_ : 0;
}

const std::byte* SimTransport::chunk(const SlotRef& at, const Post& post, std::uint64_t index) {
  if (!shares_memory(at.rank)) return remote_.chunk(at, index);
  const std::span<const std::byte> ring = slot(at).ring;
  const std::size_t bytes = Shape(std::span(post.extents.data(), post.dims)).count() * size_of(post.dtype);
  charge(std::min<std::size_t>(post.chunk_bytes, bytes - index * post.chunk_bytes));
  return ring.data() + index % (ring.size() / post.chunk_bytes) * post.chunk_bytes;
}

std::vector<PendingCall> SimTransport::pending(int peer) {
  if (!shares_memory(peer)) return remote_.pending(peer);
  std::vector<PendingCall> calls;
  for (const auto& [key, index] : this->peer(peer).by_key_) {
    const Slot& slot = this->peer(peer).slots_[index];
    if (slot.phase < Phase::Left) calls.push_back({slot.post, slot.name});
  }
  sort_by_sequence(calls);
  return calls;
}

Decision SimTransport::decision(const SlotRef& at) const {
  return slot(at).version == at.version ? slot(at).decision : Decision{};
}
Decision SimTransport::decide(const SlotRef& at, Decision wanted) {
  Decision& decision = slot(at).decision;
  if (decision.state == Decision::State::Open) decision = wanted;
  return decision;
}

void SimTransport::complain(int peer, const Key& key, std::string_view text) {
  if (!shares_memory(peer)) return remote_.complain(peer, key, text);
  this->peer(peer).complaints_.push_back({key, std::string(text)});
  ring(peer);
}

std::optional<ComplaintText> SimTransport::take_complaint() {
  if (complaints_.empty()) return remote_.take_complaint();
  ComplaintText taken = std::move(complaints_.front());
  complaints_.pop_front();
  return taken;
}

}  // namespace bluefog::transport::sim
