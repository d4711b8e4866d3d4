#include "transport/sim/sim_memory.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include <sys/mman.h>

#include <bluefog/error.hpp>

#include "transport/sim/sim_transport.hpp"

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

SimMemory::SimMemory(Network& network, SimExecutor& executor, int rank, int size)
    : network_(network),
      executor_(executor),
      rank_(rank),
      size_(size),
      doorbell_(network.scheduler()),
      arena_(std::make_shared<SimArena>()) {}

SimMemory& SimMemory::peer(int rank) const {
  return network_.transport(rank).memory_of_host();
}

PeerState SimMemory::state(int peer) const {
  return this->peer(peer).has_left_ ? PeerState::Left : PeerState::Alive;
}

void SimMemory::leave() {
  has_left_ = true;
  for (int peer = 0; peer < size_; ++peer) {
    if (peer != rank_ && shares_memory(peer)) ring(peer);
  }
}

void SimMemory::ring(int peer) {
  const TimePoint when = executor_.free_at() + network_.inside_host().latency;
  base::Doorbell& bell = this->peer(peer).doorbell_;
  if (when <= network_.scheduler().now()) return bell.ring();
  network_.scheduler().at(when, [&bell] { bell.ring(); });
}

SharedMemory SimMemory::allocate(std::size_t bytes) {
  std::byte* const data = arena_->allocate(bytes);
  std::shared_ptr<void> keeper(
      data, [arena = arena_](void* block) { arena->free(static_cast<std::byte*>(block)); });
  return {std::move(keeper), data, bytes};
}

std::uint64_t SimMemory::offset_of(const void* data, std::size_t bytes) const {
  return arena_->contains(data, bytes) ? reinterpret_cast<std::uintptr_t>(data) : no_offset;
}

std::byte* SimMemory::map(int rank, std::uint64_t offset, std::size_t bytes) {
  if (rank != rank_) charge(bytes);
  return reinterpret_cast<std::byte*>(offset);  // NOLINT(performance-no-int-to-ptr): it was one
}

void SimMemory::charge(std::size_t bytes) {
  const double speed = network_.inside_host().bandwidth;
  if (speed <= 0) return;
  executor_.occupy(Duration(std::llround(static_cast<double>(bytes) * network_.byte_scale() / speed * 1e9)));
}

// --- own operations

bool SimMemory::acquire(SlotRef& slot) {
  if (free_slots_.empty()) {
    if (slots_.size() == most_slots) return false;
    free_slots_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  slot = {rank_, free_slots_.back(), slots_[free_slots_.back()].version};
  free_slots_.pop_back();
  return true;
}

std::span<std::byte> SimMemory::chunk_ring(const SlotRef& own) {
  Slot& slot = slots_[own.slot];
  if (slot.ring.empty()) slot.ring = {arena_->allocate(ring_bytes), ring_bytes};
  return slot.ring;
}

std::span<std::byte> SimMemory::log(const SlotRef& at, std::size_t bytes) {
  return peer(at.rank).chunk_ring(at).first(bytes);
}

void SimMemory::publish(const SlotRef& own, const Announcement& announcement) {
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
}

void SimMemory::set_phase(const SlotRef& at, Phase phase) {
  slot(at).phase = phase;
}
void SimMemory::set_vote(const SlotRef& own, std::uint64_t vote) {
  slots_[own.slot].vote = vote;
}
void SimMemory::set_produced(const SlotRef& at, std::uint64_t chunks) {
  slot(at).produced = chunks;
}
void SimMemory::set_consumed(const SlotRef& own, std::uint64_t chunks) {
  slots_[own.slot].consumed = chunks;
}
void SimMemory::set_reason(const SlotRef& own, const Reason& reason) {
  slots_[own.slot].reason = reason;
}

void SimMemory::show(int peer, const SlotRef& /*at*/) {
  ring(peer);
}

void SimMemory::reclaim(const SlotRef& own, const Key& key) {
  ++slots_[own.slot].version;
  by_key_.erase(key);
  free_slots_.push_back(own.slot);
}

// --- peers' operations

Lookup SimMemory::find(int peer, const Key& key, SlotRef& found, Post& post) {
  const SimMemory& there = this->peer(peer);
  if (const auto at = there.by_key_.find(key); at != there.by_key_.end()) {
    found = {peer, at->second, there.slots_[at->second].version};
    post = there.slots_[at->second].post;
    return Lookup::Found;
  }
  const auto calls = there.calls_.find(key.stream);
  return calls != there.calls_.end() && calls->second > key.count ? Lookup::Passed : Lookup::NotYet;
}

Phase SimMemory::phase(const SlotRef& at) const {
  return slot(at).version == at.version ? slot(at).phase : Phase::Left;
}
std::uint64_t SimMemory::vote(const SlotRef& at) const {
  return slot(at).vote;
}
std::uint64_t SimMemory::produced(const SlotRef& at) const {
  return slot(at).produced;
}
std::uint64_t SimMemory::consumed(const SlotRef& at) const {
  return slot(at).consumed;
}
Reason SimMemory::reason(const SlotRef& at) const {
  return slot(at).reason;
}
std::vector<std::uint64_t> SimMemory::row(const SlotRef& at, const Post& /*post*/) {
  return slot(at).version == at.version ? slot(at).row : std::vector<std::uint64_t>{};
}
std::uint64_t SimMemory::oldest_open(int peer) const {
  return this->peer(peer).oldest_open_;
}

const std::byte* SimMemory::chunk(const SlotRef& at, const Post& post, std::uint64_t index) {
  const std::span<const std::byte> ring = slot(at).ring;
  charge(bytes_of_chunk(post, index));
  return ring.data() + index % (ring.size() / post.chunk_bytes) * post.chunk_bytes;
}

std::vector<PendingCall> SimMemory::pending(int peer) {
  std::vector<PendingCall> calls;
  for (const auto& [key, index] : this->peer(peer).by_key_) {
    const Slot& slot = this->peer(peer).slots_[index];
    if (slot.phase < Phase::Left) calls.push_back({slot.post, slot.name});
  }
  sort_by_sequence(calls);
  return calls;
}

Decision SimMemory::decision(const SlotRef& at) const {
  return slot(at).version == at.version ? slot(at).decision : Decision{};
}
Decision SimMemory::decide(const SlotRef& at, Decision wanted) {
  Decision& decision = slot(at).decision;
  if (decision.state == Decision::State::Open) decision = wanted;
  return decision;
}

void SimMemory::complain(int peer, const Key& key, std::string_view text) {
  this->peer(peer).complaints_.push_back({key, std::string(text)});
  ring(peer);
}

std::optional<ComplaintText> SimMemory::take_complaint() {
  if (complaints_.empty()) return {};
  ComplaintText taken = std::move(complaints_.front());
  complaints_.pop_front();
  return taken;
}

}  // namespace bluefog::transport::sim
