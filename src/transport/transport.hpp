#pragma once
/// @file transport.hpp  What the engine asks of a transport: a board of posts, words that follow them, and
/// chunks of data.
///
/// Every rank publishes its operations in slots of its own and reads those of its peers. All words have one
/// writer, except the decision of a meeting, which is moved by compare-exchange.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <bluefog/shared_memory.hpp>
#include <bluefog/stats.hpp>

#include "base/doorbell.hpp"
#include "mixing/row.hpp"
#include "transport/note.hpp"
#include "transport/post.hpp"
#include "transport/stream.hpp"

namespace bluefog::transport {

/// Names an operation of a rank, own or peer's. Valid while that rank has not reclaimed it; the engine sees
/// to that.
struct SlotRef {
  int rank = -1;
  std::uint32_t slot = 0;
  std::uint32_t version = 0;
};

enum class Lookup : std::uint8_t {
  Found,
  NotYet,  ///< the peer has not made this call
  Passed,  ///< the peer has made this call and forgotten it, so it did not involve us
};

enum class PeerState : std::uint8_t { Alive, Left, Lost };

/// An error that reaches a rank after it has finished the operation.
struct ComplaintText {
  Key key;  ///< of the operation
  std::string text;
};

/// A post with what goes with it from the start.
struct Announcement {
  const Post& post;
  std::span<const std::uint64_t> row;  ///< encoded
  std::span<const mixing::WeightedRank> destinations;
  std::uint64_t vote = 0;      ///< 0: none yet
  std::uint64_t produced = 0;  ///< chunks that are in the ring already
  std::string_view text;  ///< not empty for a call that failed locally: its post is withdrawn from the start
  std::string_view name = {};             ///< at most longest_shown_name; if post.is_named
  std::span<const Stream> incoming = {};  ///< what far peers shall send
};

/// A call that a rank has made and not left.
struct PendingCall {
  Post post;
  std::string name;  ///< as the user gave it, at most longest_shown_name of it
};
inline void sort_by_sequence(std::vector<PendingCall>& calls) {
  std::sort(calls.begin(), calls.end(),
            [](const PendingCall& a, const PendingCall& b) { return a.post.sequence < b.post.sequence; });
}

/// Why a rank gave an operation up.
struct Reason {
  std::string text;
  int lost = -1;  ///< a rank whose loss made it give up
};

/// A meeting starts, or is aborted by one member; whoever is first.
struct Decision {
  enum class State : std::uint8_t { Open, Started, Aborted };
  State state = State::Open;
  int aborted_by = -1;
};

class Transport {
 public:
  virtual ~Transport() = default;

  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;
  /// What peers ring when something changed that this rank may wait for.
  [[nodiscard]] virtual base::Doorbell& doorbell() = 0;
  /// For any thread.
  [[nodiscard]] virtual PeerState state(int peer) const = 0;
  /// Whether the peer lies on this host: it reads the words of posts, and tensors in the arena, where they
  /// are.
  [[nodiscard]] virtual bool shares_memory(int peer) const = 0;
  /// A number for each host: the same for ranks that share memory.
  [[nodiscard]] virtual int host_of(int rank) const = 0;
  /// Tells the peers that this rank will make no more calls.
  virtual void leave() = 0;
  /// Takes in what has come from peers that share no memory. Posts, words and states of peers change here
  /// only, under the engine's lock.
  virtual void progress() {}
  /// What is known about the loss of a peer, or an empty text.
  [[nodiscard]] virtual std::string why_lost(int /*peer*/) const { return {}; }
  /// How the peer is reached, as PeerStats tells it; empty where no connection is open. For any thread.
  [[nodiscard]] virtual std::string path_to(int peer) const {
    return shares_memory(peer) ? "shared memory" : "";
  }

  // --- memory
  [[nodiscard]] virtual SharedMemory allocate(std::size_t bytes) = 0;
  /// Offset of a range that lies wholly in the own arena, else no_offset.
  [[nodiscard]] virtual std::uint64_t offset_of(const void* data, std::size_t bytes) const = 0;
  /// Address of a range of a peer's (or the own) arena, mapped and populated.
  [[nodiscard]] virtual std::byte* map(int rank, std::uint64_t offset, std::size_t bytes) = 0;

  /// Of the own arena.
  [[nodiscard]] virtual MemoryStats memory() const = 0;

  // --- own operations
  /// A free slot with room for chunks, not visible yet; false when all are in use.
  [[nodiscard]] virtual bool acquire(SlotRef& slot) = 0;
  /// Ring of chunk buffers that belongs to a slot.
  [[nodiscard]] virtual std::span<std::byte> chunk_ring(const SlotRef& own) = 0;
  /// The same memory as a log of `bytes`, populated. Of an own operation, or of one that this rank finishes
  /// in the name of a rank that is gone and shared its memory.
  [[nodiscard]] virtual std::span<std::byte> log(const SlotRef& at, std::size_t bytes) = 0;
  /// Makes the post visible.
  virtual void publish(const SlotRef& own, const Announcement& announcement) = 0;
  /// Of an own operation; or of one that this rank finishes in the name of a rank that is gone, like
  /// set_produced() and show().
  virtual void set_phase(const SlotRef& at, Phase phase) = 0;
  virtual void set_vote(const SlotRef& own, std::uint64_t vote) = 0;
  /// Chunks in the ring so far; or what the engine counts of its log there.
  virtual void set_produced(const SlotRef& at, std::uint64_t chunks) = 0;
  virtual void set_consumed(const SlotRef& own, std::uint64_t chunks) = 0;
  /// Lets a peer know of the present words of an operation: rings its doorbell where it shares memory,
  /// else sends it what has changed.
  virtual void show(int peer, const SlotRef& at) = 0;
  /// Why the rank withdrew; before the phase says so.
  virtual void set_reason(const SlotRef& own, const Reason& reason) = 0;
  /// Whether a peer that shares no memory has answered an own operation that it was shown (by its own post,
  /// or by saying that it has passed the call), and has been sent all there is of it.
  [[nodiscard]] virtual bool is_settled(int /*peer*/, const SlotRef& /*own*/) const { return true; }
  /// Whether all chunks that peers have asked for are on their way; some wait while a connection is full.
  [[nodiscard]] virtual bool has_sent_all(const SlotRef& /*own*/) const { return true; }
  /// Takes the post away; no peer may need it any more.
  virtual void reclaim(const SlotRef& own, const Key& key) = 0;
  /// All own operations with a sequence number below this have been left.
  virtual void set_oldest_open(std::uint64_t sequence) = 0;

  // --- peers' operations
  [[nodiscard]] virtual Lookup find(int peer, const Key& key, SlotRef& found, Post& post) = 0;
  [[nodiscard]] virtual Phase phase(const SlotRef& at) const = 0;
  [[nodiscard]] virtual std::uint64_t vote(const SlotRef& at) const = 0;
  [[nodiscard]] virtual std::uint64_t produced(const SlotRef& at) const = 0;
  [[nodiscard]] virtual std::uint64_t consumed(const SlotRef& at) const = 0;
  [[nodiscard]] virtual Reason reason(const SlotRef& at) const = 0;
  /// The encoded row of a post; empty if the peer has reclaimed it meanwhile.
  [[nodiscard]] virtual std::vector<std::uint64_t> row(const SlotRef& at, const Post& post) = 0;
  [[nodiscard]] virtual std::uint64_t oldest_open(int peer) const = 0;
  /// Chunk number `index` of what the peer publishes. Valid while the own consumed count is at most `index`.
  [[nodiscard]] virtual const std::byte* chunk(const SlotRef& at, const Post& post, std::uint64_t index) = 0;

  /// The calls that a peer (or this rank) is in, in their order, as far as this rank can see them: all of a
  /// rank that shares memory; of others those that concern this rank. Slow; for people.
  [[nodiscard]] virtual std::vector<PendingCall> pending(int peer) = 0;

  // --- streams to and from peers that share no memory. produced() and chunk() of the peer's operation say
  // what has come, consumed() how much of the own stream it has released.
  /// Whether the next chunk may go: the peer has posted (its grant) and not withdrawn, less than a window of
  /// chunks waits for its release, and the wire has room.
  [[nodiscard]] virtual bool can_send(int /*peer*/, const SlotRef& /*own*/) { return false; }
  /// The chunk may change when this returns. Only if can_send().
  virtual void send_chunk(int /*peer*/, const SlotRef& /*own*/, std::span<const std::byte> /*chunk*/) {}
  /// The first so many chunks of the peer's stream are not needed any more.
  virtual void release(int /*peer*/, const SlotRef& /*own*/, std::uint64_t /*chunks*/) {}

  // --- notes, for rooms above the engine. For any thread.
  /// Who takes those of far peers; nullptr: nobody. When this returns, none is being given to the one before.
  virtual void set_note_sink(NoteSink* /*sink*/) {}
  /// To a peer that shares no memory. Those to one peer keep their order; none arrives that is sent after a
  /// loss. Its bytes may change when this returns.
  virtual void send_note(int /*peer*/, const Note& /*note*/) {}
  /// Whether notes with bytes go on their way at once; if not, the doorbell rings when they do.
  [[nodiscard]] virtual bool has_room_for_notes(int /*peer*/) { return true; }
  /// Rings a peer that shares memory: words that are no post's have changed.
  virtual void nudge(int peer) = 0;

  // --- batches: what concerns many operations goes together
  /// Until end_batch(), peers that show() concerns may be rung later and once, and small messages wait for
  /// each other.
  virtual void begin_batch() {}
  virtual void end_batch() {}

  // --- the decision of a meeting, kept in the slot of its lowest member
  [[nodiscard]] virtual Decision decision(const SlotRef& at) const = 0;
  /// Moves Open to `wanted`; gives what the decision is afterwards.
  virtual Decision decide(const SlotRef& at, Decision wanted) = 0;

  // --- complaints
  virtual void complain(int peer, const Key& key, std::string_view text) = 0;
  /// One of those that peers have left. For any thread.
  [[nodiscard]] virtual std::optional<ComplaintText> take_complaint() = 0;

 protected:
  Transport() = default;
};

/// A batch, as long as it lives.
class Batch {
 public:
  explicit Batch(Transport& transport) : transport_(transport) { transport_.begin_batch(); }
  ~Batch() { transport_.end_batch(); }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;
  /// What has been gathered goes now.
  void flush() {
    transport_.end_batch();
    transport_.begin_batch();
  }

 private:
  Transport& transport_;
};

}  // namespace bluefog::transport
