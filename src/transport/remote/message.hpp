#pragma once
/// @file message.hpp  What ranks that share no memory send each other about their operations.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "transport/note.hpp"
#include "transport/post.hpp"

namespace bluefog::transport::remote {

/// An encoded mixing row; shared by the messages that carry it.
using RowWords = std::shared_ptr<const std::vector<std::uint64_t>>;

/// Bytes of a tensor on their way. Buffers are kept for the next message of about their size, whichever
/// thread makes it: no allocation in a loop.
class Payload {
 public:
  Payload() = default;
  /// Of so many bytes, to be written through data().
  explicit Payload(std::size_t bytes);
  Payload(const std::byte* data, std::size_t bytes);
  /// Bytes that stay where they are: for as long as their owner does not change them.
  [[nodiscard]] static Payload borrowed(std::span<const std::byte> bytes);
  /// Takes a copy of what is only borrowed.
  void own();
  Payload(Payload&& other) noexcept { swap(other); }
  Payload& operator=(Payload&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Payload();
  /// To fill what was not borrowed.
  [[nodiscard]] std::byte* data() noexcept { return memory_.get(); }
  [[nodiscard]] const std::byte* data() const noexcept {
    return borrowed_ != nullptr ? borrowed_ : memory_.get();
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

 private:
  void swap(Payload& other) noexcept {
    memory_.swap(other.memory_);
    std::swap(borrowed_, other.borrowed_);
    std::swap(size_, other.size_);
  }
  std::unique_ptr<std::byte[]> memory_;
  const std::byte* borrowed_ = nullptr;
  std::size_t size_ = 0;
};

struct Message {
  enum class Kind : std::uint8_t {
    Post,       ///< an operation, with its row, and its only chunk if that is eager
    Chunk,      ///< more data of it
    Progress,   ///< how much the sender has consumed; or its phase, with the reason if it withdrew
    Passed,     ///< the sender has finished this call without naming the receiver
    Complaint,  ///< an error about an operation that may have ended at the receiver
    Left,       ///< the sender makes no more calls
    Note,       ///< no matter of the engine's: its key is topic and request
  };
  Kind kind = Kind::Left;
  Phase phase = Phase::Posted;
  Key key{};
  Post post{};
  RowWords row;
  std::uint64_t consumed = 0;
  NoteWords words{};  ///< of a note
  Payload payload;
  std::string name;  ///< with a post that has one
  std::string text;
  int lost = -1;  ///< with the text of a withdrawal: a rank whose loss made it

  /// Need not wait behind tensors: what frees room for more of them. All else keeps its order.
  [[nodiscard]] bool may_overtake() const noexcept {
    return kind == Kind::Progress && phase == Phase::Posted;
  }
};

/// What a message of that kind says. Its bytes are the message's.
[[nodiscard]] inline Note note_of(const Message& message) {
  return {message.key.stream,
          message.key.count,
          message.words,
          {message.payload.data(), message.payload.size()},
          message.text};
}

/// Carries messages between this rank and the others, in order for each pair.
class Wire {
 public:
  virtual ~Wire() = default;
  /// A payload may be borrowed, until this returns: a wire that keeps the message owns it first.
  virtual void send(int peer, Message message) = 0;
  /// Whether chunks for a peer go on their way at once; else they had better wait where they lie.
  [[nodiscard]] virtual bool has_room(int /*peer*/) { return true; }
  /// Until end_batch(), small messages, but no notes, may wait for each other.
  virtual void begin_batch() {}
  virtual void end_batch() {}
  /// Tells several peers that this rank has left.
  virtual void send_left(std::span<const int> peers) {
    for (const int peer : peers) send(peer, {});
  }

 protected:
  Wire() = default;
};

}  // namespace bluefog::transport::remote
