#pragma once
/// @file crossing.hpp  What one rank carries between its host and others in one operation: it sends slices of
/// the tensors of its host, and lands its own slice of tensors of other hosts in staging memory.
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
#include "mixing/host_plan.hpp"
#include "transport/stream.hpp"

namespace bluefog::engine {

/// Bytes from one tensor's slice in the staging to the next.
[[nodiscard]] constexpr std::size_t staging_stride(std::size_t slice_bytes) {
  return (slice_bytes + 63) / 64 * 64;
}

class Crossing {
 public:
  /// Takes the memory, and copies a private input to its stand-in. @throws Error if there is no room for it
  Crossing(transport::Transport& transport, std::shared_ptr<StagingPool> pool, Operation& operation,
           std::size_t chunk_bytes);
  ~Crossing();
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
  /// A carrier that is gone, or gave up, before it had sent or got all; or nullptr.
  [[nodiscard]] const PeerView* failed_peer() const;
  [[nodiscard]] bool awaits_data_of(int peer) const;
  [[nodiscard]] bool awaits_room_at(int peer) const;

  // --- once all slices are mixed
  [[nodiscard]] bool has_private_output() const;
  /// Of the output.
  void copy_out(std::size_t first, std::size_t bytes) const;

  /// Bytes that this rank has sent to a peer, and got or read from it.
  void for_each_peer(base::FunctionRef<void(int peer, std::size_t sent, std::size_t received)> visit) const;

 private:
  struct Outgoing {
    transport::Stream stream;
    const std::vector<int>* tensors;
    std::size_t first;  ///< byte of each tensor
    std::uint64_t chunks = 0;
    std::size_t bytes = 0;
  };
  struct Incoming {
    transport::Stream stream;
    std::vector<std::byte*> staging;  ///< by tensor
    std::uint64_t chunks = 0;
    std::size_t bytes = 0;
  };
  void add_streams(const mixing::HostPlan& plan, std::size_t chunk_bytes);
  void take_staging(const mixing::HostPlan& plan);
  void stand_in();
  [[nodiscard]] const PeerView& view_of(int rank) const;
  [[nodiscard]] bool can_send(const Outgoing& out) const;
  [[nodiscard]] bool can_land(const Incoming& in) const;
  [[nodiscard]] bool is_out_of_reach(const PeerView& peer) const;
  void send(Outgoing& out);
  void land(Incoming& in);

  transport::Transport& transport_;
  std::shared_ptr<StagingPool> pool_;
  Operation& operation_;
  const void* input_;
  void* output_;
  SharedMemory stand_in_;
  SharedMemory staging_;
  std::uint64_t staging_offset_ = transport::no_offset;
  std::vector<Outgoing> outgoing_;
  std::vector<Incoming> incoming_;
  std::vector<transport::Stream> expected_;
  std::vector<std::size_t> read_;  ///< bytes of members' tensors that were sent on, by member
};

}  // namespace bluefog::engine
