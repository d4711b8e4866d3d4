#pragma once
/// @file mortal.hpp  Ranks that die at a chosen store to shared memory.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/session.hpp"
#include "engine/stores.hpp"
#include "transport/shm/shm_transport.hpp"

namespace bluefog::test {

/// Counts the stores of one rank to memory that others read, and ends it just before one of them. A rank
/// whose end does not end its thread stores nothing any more.
class Fate {
 public:
  /// @param last  the first store that is not done, counted from 0
  /// @param end   ends the rank: does not return, or throws; or stops it for a while
  Fate(std::uint64_t last, std::function<void()> end) : last_(last), end_(std::move(end)) {}
  /// A rank that lives.
  Fate() : Fate(~std::uint64_t{0}, [] {}) {}

  /// The rank will not die any more.
  void spare() { last_ = ~std::uint64_t{0}; }
  /// Stores count only from when this holds.
  void count_when(std::function<bool()> begins) { begins_ = std::move(begins); }
  /// Before a store. @returns whether it is done
  [[nodiscard]] bool allows_store();
  [[nodiscard]] bool is_dead() const { return is_dead_; }
  [[nodiscard]] std::uint64_t stores() const { return count_; }

 private:
  std::uint64_t last_;
  std::function<void()> end_;
  std::function<bool()> begins_;
  std::uint64_t count_ = 0;
  bool is_dead_ = false;
};

/// Bulk stores in parts, so that a rank can die between them: halves of a range, and one output after the
/// other.
class MortalStores final : public engine::BulkStores {
 public:
  explicit MortalStores(Fate& fate) : fate_(fate) {}
  void combine(DType dtype, std::span<const mixing::Row> rows, std::span<const void* const> inputs,
               std::span<void* const> outputs, std::size_t count, mixing::StoreKind store) override;
  void log(mixing::LoggedRows& rows, std::size_t first, std::size_t count, std::byte* log,
           std::size_t stride) override;
  void store_logged(const mixing::LoggedRows& rows, std::size_t first, std::size_t count,
                    const std::byte* log, std::size_t stride) override;

 private:
  Fate& fate_;
};

/// A transport whose stores are counted.
class MortalTransport final : public transport::Transport {
 public:
  MortalTransport(std::unique_ptr<transport::shm::ShmTransport> inner, Fate& fate)
      : inner_(std::move(inner)), fate_(fate) {}
  [[nodiscard]] transport::shm::ShmTransport& inner() { return *inner_; }

  [[nodiscard]] int rank() const override { return inner_->rank(); }
  [[nodiscard]] int size() const override { return inner_->size(); }
  [[nodiscard]] base::Doorbell& doorbell() override { return inner_->doorbell(); }
  /// To a dead rank all others are lost, so that it waits for nobody.
  [[nodiscard]] transport::PeerState state(int peer) const override {
    return fate_.is_dead() ? transport::PeerState::Lost : inner_->state(peer);
  }
  [[nodiscard]] bool shares_memory(int peer) const override { return inner_->shares_memory(peer); }
  [[nodiscard]] int host_of(int rank) const override { return inner_->host_of(rank); }
  void leave() override {
    if (fate_.allows_store()) inner_->leave();
  }

  [[nodiscard]] SharedMemory allocate(std::size_t bytes) override { return inner_->allocate(bytes); }
  [[nodiscard]] std::uint64_t offset_of(const void* data, std::size_t bytes) const override {
    return inner_->offset_of(data, bytes);
  }
  [[nodiscard]] std::byte* map(int rank, std::uint64_t offset, std::size_t bytes) override {
    return inner_->map(rank, offset, bytes);
  }

  [[nodiscard]] MemoryStats memory() const override { return inner_->memory(); }

  [[nodiscard]] bool acquire(transport::SlotRef& slot) override { return inner_->acquire(slot); }
  [[nodiscard]] std::span<std::byte> chunk_ring(const transport::SlotRef& own) override {
    return inner_->chunk_ring(own);
  }
  [[nodiscard]] std::span<std::byte> log(const transport::SlotRef& at, std::size_t bytes) override {
    return inner_->log(at, bytes);
  }
  void publish(const transport::SlotRef& own, const transport::Announcement& announcement) override {
    if (fate_.allows_store()) inner_->publish(own, announcement);
  }
  void set_phase(const transport::SlotRef& at, transport::Phase phase) override {
    if (fate_.allows_store()) inner_->set_phase(at, phase);
  }
  void set_vote(const transport::SlotRef& own, std::uint64_t vote) override {
    if (fate_.allows_store()) inner_->set_vote(own, vote);
  }
  void set_produced(const transport::SlotRef& at, std::uint64_t chunks) override {
    if (fate_.allows_store()) inner_->set_produced(at, chunks);
  }
  void set_consumed(const transport::SlotRef& own, std::uint64_t chunks) override {
    if (fate_.allows_store()) inner_->set_consumed(own, chunks);
  }
  void show(int peer, const transport::SlotRef& at) override {
    if (fate_.allows_store()) inner_->show(peer, at);
  }
  void nudge(int peer) override {
    if (fate_.allows_store()) inner_->nudge(peer);
  }
  void set_reason(const transport::SlotRef& own, const transport::Reason& reason) override {
    if (fate_.allows_store()) inner_->set_reason(own, reason);
  }
  void reclaim(const transport::SlotRef& own, const transport::Key& key) override {
    if (fate_.allows_store()) inner_->reclaim(own, key);
  }
  void set_oldest_open(std::uint64_t sequence) override {
    if (fate_.allows_store()) inner_->set_oldest_open(sequence);
  }

  [[nodiscard]] transport::Lookup find(int peer, const transport::Key& key, transport::SlotRef& found,
                                       transport::Post& post) override {
    return inner_->find(peer, key, found, post);
  }
  [[nodiscard]] transport::Phase phase(const transport::SlotRef& at) const override {
    return inner_->phase(at);
  }
  [[nodiscard]] std::uint64_t vote(const transport::SlotRef& at) const override { return inner_->vote(at); }
  [[nodiscard]] std::uint64_t produced(const transport::SlotRef& at) const override {
    return inner_->produced(at);
  }
  [[nodiscard]] std::uint64_t consumed(const transport::SlotRef& at) const override {
    return inner_->consumed(at);
  }
  [[nodiscard]] transport::Reason reason(const transport::SlotRef& at) const override {
    return inner_->reason(at);
  }
  [[nodiscard]] std::vector<std::uint64_t> row(const transport::SlotRef& at,
                                               const transport::Post& post) override {
    return inner_->row(at, post);
  }
  [[nodiscard]] std::uint64_t oldest_open(int peer) const override { return inner_->oldest_open(peer); }
  [[nodiscard]] const std::byte* chunk(const transport::SlotRef& at, const transport::Post& post,
                                       std::uint64_t index) override {
    return inner_->chunk(at, post, index);
  }

  [[nodiscard]] std::vector<transport::PendingCall> pending(int peer) override {
    return inner_->pending(peer);
  }
  [[nodiscard]] transport::Decision decision(const transport::SlotRef& at) const override {
    return inner_->decision(at);
  }
  transport::Decision decide(const transport::SlotRef& at, transport::Decision wanted) override {
    return fate_.allows_store() ? inner_->decide(at, wanted) : inner_->decision(at);
  }

  void complain(int peer, const transport::Key& key, std::string_view text) override {
    if (fate_.allows_store()) inner_->complain(peer, key, text);
  }
  [[nodiscard]] std::optional<transport::ComplaintText> take_complaint() override {
    return inner_->take_complaint();
  }

 private:
  std::unique_ptr<transport::shm::ShmTransport> inner_;
  Fate& fate_;
};

/// What puts both between an engine and its memory.
[[nodiscard]] engine::Interposition mortal(Fate& fate, MortalStores& stores);

}  // namespace bluefog::test
