#pragma once
/// @file remote_board.hpp  The board of posts between ranks that share no memory: own posts are sent to the
/// peers they concern, and theirs are mirrored here.
///
/// Two kinds of chunks: those that a rank publishes for all of its destinations, which lie in the ring of its
/// slot; and streams, other chunks for each peer, which nobody keeps for it once they are sent.
///
/// Flow control: a chunk beyond the eager one is sent only when the peer's post for the same key has arrived
/// (it is the grant), and when the peer has consumed all but a ring of chunks. Posts that nobody here has
/// asked for yet wait in the mirror; they and one eager chunk each are all that a peer can pile up. A slot is
/// kept until the peers have answered (is_settled()), so these are never more than a rank has slots. Chunks
/// that find no room on the wire stay in their ring.

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "transport/remote/message.hpp"
#include "transport/transport.hpp"

namespace bluefog::transport::remote {

struct KeyHash {
  [[nodiscard]] std::size_t operator()(const Key& key) const noexcept {
    return key.stream + key.count * 0x9E3779B97F4A7C15U;
  }
};

class RemoteBoard {
 public:
  RemoteBoard(Wire& wire, int size) : wire_(wire), left_(static_cast<std::size_t>(size)) {}

  // --- own operations, by the number of their slot
  void publish(std::uint32_t slot, const Announcement& announcement, std::span<const std::byte> ring);
  void set_phase(std::uint32_t slot, Phase phase) { own_[slot].phase = phase; }
  void set_produced(std::uint32_t slot, std::uint64_t chunks) { own_[slot].produced = chunks; }
  void set_consumed(std::uint32_t slot, std::uint64_t chunks);
  void set_reason(std::uint32_t slot, const Reason& reason) { own_[slot].reason = reason; }
  void show(int peer, std::uint32_t slot);
  void reclaim(std::uint32_t slot, const Key& key);
  /// Whether a peer has answered a post that it was shown, and has been sent all there is of it.
  [[nodiscard]] bool is_settled(int peer, std::uint32_t slot) const;
  /// Whether no chunk that a peer has asked for waits for room on the wire.
  [[nodiscard]] bool has_sent_all(std::uint32_t slot) const;
  /// Streams, as Transport has them.
  [[nodiscard]] bool can_send(int peer, std::uint32_t slot);
  void send_chunk(int peer, std::uint32_t slot, std::span<const std::byte> chunk);
  void release(int peer, std::uint32_t slot, std::uint64_t chunks);
  /// Sends chunks for which there was no room on the wire, as far as there is now.
  void resume();
  void complain(int peer, const Key& key, std::string_view text);
  void leave(std::span<const int> peers);

  // --- peers' operations
  /// A message has come; something may have changed that this rank waits for.
  /// @returns whether it fits what the peer has said before; else it is not taken
  [[nodiscard]] bool receive(int from, Message message);
  [[nodiscard]] Lookup find(int peer, const Key& key, SlotRef& found, Post& post) const;
  [[nodiscard]] Phase phase(const SlotRef& at) const;
  [[nodiscard]] std::uint64_t produced(const SlotRef& at) const;
  [[nodiscard]] std::uint64_t consumed(const SlotRef& at) const;
  [[nodiscard]] Reason reason(const SlotRef& at) const;
  [[nodiscard]] std::vector<std::uint64_t> row(const SlotRef& at) const;
  [[nodiscard]] const std::byte* chunk(const SlotRef& at, std::uint64_t index) const;
  [[nodiscard]] bool has_left(int peer) const;
  [[nodiscard]] std::optional<ComplaintText> take_complaint();
  /// Calls of a peer that has told of them, and that this rank has not made or is in itself.
  [[nodiscard]] std::vector<PendingCall> pending(int peer) const;

 private:
  /// What a peer knows of an own post.
  struct Shown {
    int peer = -1;
    bool is_destination = false;
    Phase phase = Phase::Posted;
    bool is_held = false;  ///< chunks wait for room on the wire
    std::uint64_t chunks = 0;
    std::uint64_t consumed = 0;
  };
  struct OwnPost {
    Post post{};
    RowWords row;
    std::string name;
    std::vector<int> destinations;
    std::vector<Stream> incoming;
    std::span<const std::byte> ring;
    Phase phase = Phase::Posted;
    std::uint64_t produced = 0;
    std::uint64_t consumed = 0;
    Reason reason;
    std::vector<Shown> shown;

    /// nullptr for a peer that the post was not shown.
    [[nodiscard]] Shown* shown_to(int peer);
    [[nodiscard]] const Shown* shown_to(int peer) const { return const_cast<OwnPost*>(this)->shown_to(peer); }
  };
  /// A peer's post, as far as it has been told.
  struct Mirror {
    int peer = -1;
    bool has_post = false;  ///< else the peer has passed this call
    Post post{};
    RowWords row;
    std::string name;
    Phase phase = Phase::Posted;
    std::uint64_t consumed = 0;
    Reason reason;
    std::deque<Payload> chunks;
    std::uint64_t dropped = 0;  ///< chunks that were consumed
    std::uint32_t version = 0;

    void drop_until(std::uint64_t count) {
      for (; dropped < count && !chunks.empty(); ++dropped) chunks.pop_front();
    }
  };
  [[nodiscard]] const Mirror* mirror_of(int peer, const Key& key, std::uint32_t* index = nullptr) const;
  [[nodiscard]] Mirror* mirror_of(int peer, const Key& key) {
    return const_cast<Mirror*>(std::as_const(*this).mirror_of(peer, key));
  }
  Mirror& add_mirror(int peer, const Key& key);
  [[nodiscard]] const Mirror& at(const SlotRef& slot) const { return mirrors_[slot.slot]; }
  [[nodiscard]] RowWords share_row(std::uint64_t hash, std::span<const std::uint64_t> words);
  void send_post(OwnPost& own, int peer);
  void send_chunks(OwnPost& own, Shown& shown);
  void send_progress(OwnPost& own, Shown& shown);
  [[nodiscard]] Phase phase_to_tell(const OwnPost& own, const Shown& shown) const;
  [[nodiscard]] bool receive_post(int from, Message& message);
  [[nodiscard]] bool receive_chunk(Mirror& mirror, const Key& key, Payload chunk);
  [[nodiscard]] bool receive_published(Mirror& mirror, Payload chunk);
  void send_chunk(OwnPost& own, Shown& shown, std::span<const std::byte> chunk);
  [[nodiscard]] const Stream* expected_of(int peer, const Key& key) const;

  Wire& wire_;
  std::vector<OwnPost> own_;
  struct Held {
    int peer;
    std::uint32_t slot;
  };
  std::vector<Held> held_;  ///< where chunks wait for room on the wire
  std::unordered_map<Key, std::uint32_t, KeyHash> own_by_key_;
  std::unordered_map<std::uint64_t, std::uint64_t> calls_;  ///< published, per stream
  std::unordered_map<std::uint64_t, RowWords> rows_;
  std::deque<Mirror> mirrors_;
  std::vector<std::uint32_t> free_mirrors_;
  std::unordered_map<Key, std::vector<std::uint32_t>, KeyHash> mirrors_by_key_;
  std::deque<ComplaintText> complaints_;
  std::vector<bool> left_;  ///< by rank
};

}  // namespace bluefog::transport::remote
