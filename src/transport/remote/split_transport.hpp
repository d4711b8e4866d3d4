#pragma once
/// @file split_transport.hpp  A transport between ranks of which some share memory with this one (near) and
/// the others get messages (far).

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "transport/remote/remote_board.hpp"
#include "transport/transport.hpp"

namespace bluefog::transport::remote {

/// Own posts are on both boards. Who derives from it says who is near, and who is lost.
class SplitTransport : public Transport {
 public:
  [[nodiscard]] int rank() const override { return near_.rank(); }
  [[nodiscard]] int size() const override { return near_.size(); }
  [[nodiscard]] base::Doorbell& doorbell() override { return near_.doorbell(); }
  void leave() override;

  [[nodiscard]] SharedMemory allocate(std::size_t bytes) override { return near_.allocate(bytes); }
  [[nodiscard]] std::uint64_t offset_of(const void* data, std::size_t bytes) const override {
    return near_.offset_of(data, bytes);
  }
  /// @throws Error for a rank that is far
  [[nodiscard]] std::byte* map(int rank, std::uint64_t offset, std::size_t bytes) override;
  [[nodiscard]] MemoryStats memory() const override { return near_.memory(); }

  [[nodiscard]] bool acquire(SlotRef& slot) override { return near_.acquire(slot); }
  [[nodiscard]] std::span<std::byte> chunk_ring(const SlotRef& own) override { return near_.chunk_ring(own); }
  [[nodiscard]] std::span<std::byte> log(const SlotRef& at, std::size_t bytes) override {
    return near_.log(at, bytes);
  }
  void publish(const SlotRef& own, const Announcement& announcement) override;
  void set_phase(const SlotRef& at, Phase phase) override;
  void set_vote(const SlotRef& own, std::uint64_t vote) override { near_.set_vote(own, vote); }
  void set_produced(const SlotRef& at, std::uint64_t chunks) override;
  void set_consumed(const SlotRef& own, std::uint64_t chunks) override;
  void set_reason(const SlotRef& own, const Reason& reason) override;
  void show(int peer, const SlotRef& at) override;
  void begin_batch() override;
  void end_batch() override;
  void nudge(int peer) override { near_.nudge(peer); }
  void send_note(int peer, const Note& note) override;
  [[nodiscard]] bool has_room_for_notes(int peer) override { return wire_.has_room(peer); }
  void reclaim(const SlotRef& own, const Key& key) override;
  void set_oldest_open(std::uint64_t sequence) override { near_.set_oldest_open(sequence); }
  [[nodiscard]] bool is_settled(int peer, const SlotRef& own) const override;
  [[nodiscard]] bool has_sent_all(const SlotRef& own) const override {
    return remote_.has_sent_all(own.slot);
  }

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

  [[nodiscard]] bool can_send(int peer, const SlotRef& own) override {
    return remote_.can_send(peer, own.slot);
  }
  void send_chunk(int peer, const SlotRef& own, std::span<const std::byte> chunk) override {
    remote_.send_chunk(peer, own.slot, chunk);
  }
  void release(int peer, const SlotRef& own, std::uint64_t chunks) override {
    remote_.release(peer, own.slot, chunks);
  }

  [[nodiscard]] Decision decision(const SlotRef& at) const override { return near_.decision(at); }
  Decision decide(const SlotRef& at, Decision wanted) override { return near_.decide(at, wanted); }

  void complain(int peer, const Key& key, std::string_view text) override;
  [[nodiscard]] std::optional<ComplaintText> take_complaint() override;

 protected:
  /// @param near  the transport among ranks that share memory; asked for those only, and for this rank
  SplitTransport(Transport& near, Wire& wire, int size) : near_(near), wire_(wire), remote_(wire, size) {}

  Transport& near_;
  Wire& wire_;
  RemoteBoard remote_;
};

}  // namespace bluefog::transport::remote
