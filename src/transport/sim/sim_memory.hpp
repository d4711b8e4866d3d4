#pragma once
/// @file sim_memory.hpp  What ranks of one virtual host see of each other: they read each other's words and
/// memory where they are.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "transport/remote/remote_board.hpp"
#include "transport/sim/network.hpp"
#include "transport/sim/sim_executor.hpp"
#include "transport/transport.hpp"

namespace bluefog::transport::sim {

/// Memory of one rank that others of its host may map.
class SimArena {
 public:
  ~SimArena();
  [[nodiscard]] std::byte* allocate(std::size_t bytes);
  /// Of a dead rank nothing is freed: others may read it.
  void keep_all() { keeps_all_ = true; }
  void free(std::byte* data);
  [[nodiscard]] bool contains(const void* data, std::size_t bytes) const;
  /// Handed out.
  [[nodiscard]] std::size_t bytes() const;

 private:
  struct Block {
    std::size_t bytes;
    void* memory;
    bool is_mapped;
  };
  static void give_back(const Block& block);
  std::map<const std::byte*, Block> blocks_;
  bool keeps_all_ = false;
};

class SimMemory final : public Transport {
 public:
  SimMemory(Network& network, SimExecutor& executor, int rank, int size);

  /// This rank was killed.
  void die() { arena_->keep_all(); }

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }
  [[nodiscard]] base::Doorbell& doorbell() override { return doorbell_; }
  [[nodiscard]] PeerState state(int peer) const override;
  [[nodiscard]] bool shares_memory(int peer) const override {
    return network_.host_of(peer) == network_.host_of(rank_);
  }
  [[nodiscard]] int host_of(int rank) const override { return network_.host_of(rank); }
  void leave() override;

  [[nodiscard]] SharedMemory allocate(std::size_t bytes) override;
  [[nodiscard]] std::uint64_t offset_of(const void* data, std::size_t bytes) const override;
  [[nodiscard]] std::byte* map(int rank, std::uint64_t offset, std::size_t bytes) override;

  [[nodiscard]] MemoryStats memory() const override {
    return {arena_->bytes(), arena_->bytes(), arena_->bytes()};
  }

  [[nodiscard]] bool acquire(SlotRef& slot) override;
  [[nodiscard]] std::span<std::byte> chunk_ring(const SlotRef& own) override;
  [[nodiscard]] std::span<std::byte> log(const SlotRef& at, std::size_t bytes) override;
  void publish(const SlotRef& own, const Announcement& announcement) override;
  void set_phase(const SlotRef& at, Phase phase) override;
  void set_vote(const SlotRef& own, std::uint64_t vote) override;
  void set_produced(const SlotRef& at, std::uint64_t chunks) override;
  void set_consumed(const SlotRef& own, std::uint64_t chunks) override;
  void set_reason(const SlotRef& own, const Reason& reason) override;
  void show(int peer, const SlotRef& at) override;
  void nudge(int peer) override { ring(peer); }
  void reclaim(const SlotRef& own, const Key& key) override;
  void set_oldest_open(std::uint64_t sequence) override { oldest_open_ = sequence; }

  [[nodiscard]] Lookup find(int peer, const Key& key, SlotRef& found, Post& post) override;
  [[nodiscard]] Phase phase(const SlotRef& at) const override;
  [[nodiscard]] std::uint64_t vote(const SlotRef& at) const override;
  [[nodiscard]] std::uint64_t produced(const SlotRef& at) const override;
  [[nodiscard]] std::uint64_t consumed(const SlotRef& at) const override;
  [[nodiscard]] Reason reason(const SlotRef& at) const override;
  [[nodiscard]] std::vector<std::uint64_t> row(const SlotRef& at, const Post& post) override;
  [[nodiscard]] std::uint64_t oldest_open(int peer) const override;
  [[nodiscard]] const std::byte* chunk(const SlotRef& at, const Post& post, std::uint64_t index) override;

  [[nodiscard]] std::vector<PendingCall> pending(int peer) override;

  [[nodiscard]] Decision decision(const SlotRef& at) const override;
  Decision decide(const SlotRef& at, Decision wanted) override;

  void complain(int peer, const Key& key, std::string_view text) override;
  [[nodiscard]] std::optional<ComplaintText> take_complaint() override;

 private:
  /// One own operation, as ranks of this host see it.
  struct Slot {
    std::uint32_t version = 0;
    Post post{};
    std::vector<std::uint64_t> row;
    Phase phase = Phase::Posted;
    std::uint64_t vote = 0;
    std::uint64_t produced = 0;
    std::uint64_t consumed = 0;
    Reason reason;
    std::string name;
    Decision decision;
    std::span<std::byte> ring;
  };
  /// Rings a peer on this host, as soon as this rank has moved its memory and the latency is over.
  void ring(int peer);
  /// This rank reads or writes so much of another's memory.
  void charge(std::size_t bytes);
  [[nodiscard]] SimMemory& peer(int rank) const;
  [[nodiscard]] Slot& slot(const SlotRef& at) const { return peer(at.rank).slots_[at.slot]; }

  Network& network_;
  SimExecutor& executor_;
  int rank_;
  int size_;
  SimDoorbell doorbell_;
  std::shared_ptr<SimArena> arena_;
  mutable std::deque<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::unordered_map<Key, std::uint32_t, remote::KeyHash> by_key_;
  std::unordered_map<std::uint64_t, std::uint64_t> calls_;
  std::uint64_t oldest_open_ = 0;
  bool has_left_ = false;
  std::deque<ComplaintText> complaints_;
};

}  // namespace bluefog::transport::sim
