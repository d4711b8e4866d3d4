#pragma once
/// @file crossing.hpp  What one rank carries between its host and others in one operation, before the host
/// mixes by slices: it sends what others need of it, and lands what it needs in staging memory.
///
/// The staging lies in the arena, as do stand-ins for private tensors: so the rank's slice can be mixed by
/// another when it has died.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/function_ref.hpp"
#include "engine/operation.hpp"
#include "engine/staging.hpp"
#include "transport/stream.hpp"

namespace bluefog::engine {

/// Bytes from one tensor's slice in the staging to the next.
[[nodiscard]] constexpr std::size_t staging_stride(std::size_t slice_bytes) {
  return (slice_bytes + 63) / 64 * 64;
}

/// A range of a tensor, in bytes.
struct ByteRange {
  std::size_t first;
  std::size_t bytes;
};
[[nodiscard]] inline ByteRange bytes_of(const mixing::Slice& slice, std::size_t element_size) {
  return {slice.first * element_size, (slice.last - slice.first) * element_size};
}

class Crossing {
 public:
  virtual ~Crossing();
  Crossing(const Crossing&) = delete;
  Crossing& operator=(const Crossing&) = delete;

  // --- what the post says
  [[nodiscard]] const void* input() const { return input_; }
  [[nodiscard]] void* output() const { return output_; }
  [[nodiscard]] std::uint64_t staging_offset() const { return staging_offset_; }
  [[nodiscard]] const std::vector<transport::Stream>& expected() const { return expected_; }

  // --- once the posts of the host are found: their owners' tensors are read
  [[nodiscard]] bool can_advance() const;
  /// At most one chunk of each stream.
  void advance();
  /// All has been sent, and all has landed.
  [[nodiscard]] bool is_complete() const;
  /// A peer of another host that is gone, or gave up, before it had sent or got all; or nullptr.
  [[nodiscard]] const PeerView* failed_peer() const;
  [[nodiscard]] virtual bool awaits_data_of(int peer) const;
  [[nodiscard]] bool awaits_room_at(int peer) const;

  // --- once all slices are mixed
  [[nodiscard]] bool has_private_output() const;
  /// Of the output.
  void copy_out(std::size_t first, std::size_t bytes) const;

  /// Bytes that this rank has sent to a peer, and got or read from it.
  virtual void for_each_peer(
      base::FunctionRef<void(int peer, std::size_t sent, std::size_t received)> visit) const;

 protected:
  using Chunk = transport::Stream::Chunk;
  struct Flow {
    transport::Stream stream;
    std::uint64_t chunks = 0;  ///< sent or landed so far
    std::size_t bytes = 0;
  };

  Crossing(transport::Transport& transport, std::shared_ptr<StagingPool> pool, Operation& operation);
  /// In the order in which they are to be numbered.
  void add_outgoing(const transport::Stream& stream) { outgoing_.push_back({stream}); }
  void add_incoming(const transport::Stream& stream);
  [[nodiscard]] std::byte* take_staging(std::size_t bytes);
  /// Where memory lies must not decide how the host mixes: other hosts cannot know it. @param always_output
  /// the output gets a stand-in wherever it lies
  void stand_in(bool always_output);

  /// Whether a chunk of outgoing stream number `flow` exists yet.
  [[nodiscard]] virtual bool has_chunk(std::size_t /*flow*/, const Chunk& /*chunk*/) const { return true; }
  [[nodiscard]] virtual const std::byte* chunk_to_send(std::size_t flow, const Chunk& chunk) = 0;
  /// Where a chunk of incoming stream number `flow` lands.
  [[nodiscard]] virtual std::byte* place_of(std::size_t flow, const Chunk& chunk) = 0;
  /// What there is to be done beside sending and landing.
  [[nodiscard]] virtual bool can_work() const { return false; }
  virtual void work() {}
  [[nodiscard]] virtual bool has_worked() const { return true; }

  [[nodiscard]] const PeerView& view_of(int rank) const;
  [[nodiscard]] const std::vector<Flow>& incoming() const { return incoming_; }
  [[nodiscard]] transport::Transport& transport() const { return transport_; }
  [[nodiscard]] const Operation& operation() const { return operation_; }

 private:
  [[nodiscard]] bool can_send(std::size_t flow) const;
  [[nodiscard]] bool can_land(const Flow& in) const;
  [[nodiscard]] bool is_out_of_reach(const PeerView& peer) const;
  void send(std::size_t flow);
  void land(std::size_t flow);

  transport::Transport& transport_;
  std::shared_ptr<StagingPool> pool_;
  Operation& operation_;
  const void* input_;
  void* output_;
  SharedMemory stand_in_;
  SharedMemory staging_;
  std::uint64_t staging_offset_ = transport::no_offset;
  std::vector<Flow> outgoing_;
  std::vector<Flow> incoming_;
  std::vector<transport::Stream> expected_;
};

}  // namespace bluefog::engine
