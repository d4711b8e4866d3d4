#pragma once
/// @file shm_transport.hpp  The transport between ranks of one host, over shared arenas.

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "transport/shm/arena.hpp"
#include "transport/shm/layout.hpp"
#include "transport/transport.hpp"

namespace bluefog::transport::shm {

/// Gives the mapping of a peer's arena when it is first needed.
using MapPeer = std::function<std::shared_ptr<Mapping>(int peer)>;

class ShmTransport final : public Transport {
 public:
  /// @param arena  the own arena, made by make_arena()
  ShmTransport(int rank, int size, std::shared_ptr<Arena> arena, MapPeer map_peer);
  /// A peer's arena, which it has made.
  [[nodiscard]] static std::shared_ptr<Mapping> map_arena(int fd, std::size_t bytes);

  /// An arena with an empty board for `rank`.
  /// @param gauge  default: the machine's
  [[nodiscard]] static std::shared_ptr<Arena> make_arena(int rank, std::size_t bytes, MemoryGauge gauge = {});

  /// Called by whoever watches the peers; rings the own doorbell.
  void set_lost(int peer);
  /// One more sign of life of this rank.
  void beat() { own().beats.fetch_add(1, std::memory_order_relaxed); }
  /// How often a peer has beaten; nothing if it has left or was never met.
  [[nodiscard]] std::optional<std::uint64_t> beats_of(int peer) const;
  void leave() override;

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }
  [[nodiscard]] base::Doorbell& doorbell() override { return doorbell_; }
  void show(int peer, const SlotRef&) override { bells_.is_open ? bells_.add(peer) : ring(peer); }
  void begin_batch() override { bells_.is_open = true; }
  void end_batch() override;
  void nudge(int peer) override { ring(peer); }
  [[nodiscard]] bool shares_memory(int) const override { return true; }
  [[nodiscard]] int host_of(int) const override { return 0; }
  [[nodiscard]] PeerState state(int peer) const override;
  [[nodiscard]] std::string why_lost(int peer) const override;

  [[nodiscard]] SharedMemory allocate(std::size_t bytes) override;
  [[nodiscard]] std::uint64_t offset_of(const void* data, std::size_t bytes) const override;
  [[nodiscard]] std::byte* map(int rank, std::uint64_t offset, std::size_t bytes) override;

  [[nodiscard]] MemoryStats memory() const override {
    return {arena_->bytes(), arena_->mapping().populated(), arena_->allocated()};
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
  void reclaim(const SlotRef& own, const Key& key) override;
  void set_oldest_open(std::uint64_t sequence) override;

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
  void ring(int peer) { header(peer).doorbell.ring(); }
  [[nodiscard]] Header& own() const { return *reinterpret_cast<Header*>(arena_->base()); }
  /// Maps the peer's arena at first use. If that cannot be done, the peer is lost, and its board is blank.
  [[nodiscard]] Header& header(int rank) const;
  [[nodiscard]] std::shared_ptr<Mapping> open_arena_of(int rank) const;
  /// @throws PeerLost if its arena cannot be mapped
  [[nodiscard]] Mapping& mapping(int rank) const;
  [[nodiscard]] Slot& slot(const SlotRef& at) const { return header(at.rank).slots[at.slot]; }
  [[nodiscard]] bool find_tag(const Header& board, const Key& key, int peer, SlotRef& found,
                              Post& post) const;
  void insert_tag(const Key& key, std::uint32_t slot);
  void remove_tag(const Key& key, std::uint32_t slot);
  void count_call(const Key& key);
  /// How often the owner has used a stream, as far as its board remembers.
  [[nodiscard]] static std::uint64_t calls_of(const Header& board, std::uint64_t stream);

  /// Peers to ring at the end of a batch.
  struct BatchOfBells {
    bool is_open = false;
    std::vector<int> peers;
    std::vector<bool> contains;  ///< by rank
    void add(int peer) {
      const auto at = static_cast<std::size_t>(peer);
      if (!contains[at]) peers.push_back(peer);
      contains[at] = true;
    }
  };

  int rank_;
  int size_;
  std::shared_ptr<Arena> arena_;
  base::FutexDoorbell doorbell_;
  MapPeer map_peer_;
  mutable std::mutex map_mutex_;
  mutable std::vector<std::shared_ptr<Mapping>> mappings_;
  mutable std::vector<std::string> out_of_reach_;     ///< why, of ranks whose arenas cannot be mapped
  mutable std::vector<std::atomic<Header*>> boards_;  ///< once they are mapped
  mutable std::vector<std::atomic<bool>> lost_;
  BatchOfBells bells_;
  std::vector<std::uint32_t> free_slots_;  ///< last in, first out: few rings are ever touched
  std::unordered_map<std::uint32_t, SharedMemory> large_rows_;  ///< rows that do not fit in their slot
};

}  // namespace bluefog::transport::shm
