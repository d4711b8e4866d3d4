#pragma once
/// @file exchange.hpp  The exchange of chunks: every rank publishes its input where others need it so, and
/// computes its own output.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/operation.hpp"
#include "engine/undo.hpp"
#include "mixing/kernels.hpp"

namespace bluefog::engine {

/// What one operation of this rank publishes, chunk by chunk, in a ring.
class Publication {
 public:
  Publication(transport::Transport& transport, Operation& operation, std::size_t streaming_threshold);

  [[nodiscard]] bool is_complete() const { return operation_.produced >= chunks_; }
  /// Whether any chunk is published at all; else destinations read the tensor itself.
  [[nodiscard]] bool is_needed() const { return chunks_ > 0; }
  /// Whether there is a next chunk, and room for it.
  [[nodiscard]] bool can_advance() const;
  void advance();
  /// Whether a destination is in the middle of the operation and may wait for a chunk.
  [[nodiscard]] bool is_awaited() const;
  /// Destinations that read the tensor itself have finished, and what others wait for is on its way.
  [[nodiscard]] bool readers_are_done() const;

 private:
  /// A destination that needs nothing more of this rank, or is gone.
  [[nodiscard]] bool has_finished(const PeerView& peer) const;

  transport::Transport& transport_;
  Operation& operation_;
  std::size_t streaming_threshold_;
  bool is_ring_;
  std::uint64_t depth_;
  std::uint64_t chunks_ = 0;
  std::vector<const PeerView*> destinations_;
};

/// The sources of one operation, and what this rank computes of them.
class Exchange {
 public:
  /// @param row   nullptr: the sources are gathered
  /// @param undo  keeps what is overwritten, or nullptr
  Exchange(transport::Transport& transport, Operation& operation, const Publication& own,
           const mixing::ResolvedRow* row, mixing::StoreKind store, Undo* undo);

  [[nodiscard]] bool is_complete() const { return operation_.consumed >= chunks_; }
  [[nodiscard]] bool can_advance() const;
  void advance();
  /// A source that will not deliver, or nullptr.
  [[nodiscard]] const PeerView* failed_source() const;

 private:
  struct Source {
    const PeerView* peer;       ///< nullptr: this rank itself
    const std::byte* in_place;  ///< nullptr: read from published chunks
    std::size_t bytes;
    std::uint64_t chunks;
    std::size_t output_offset;  ///< gathers: where its bytes go
  };
  [[nodiscard]] const std::byte* data(const Source& source, std::uint64_t index) const;
  [[nodiscard]] bool is_safe() const;
  void reduce(std::uint64_t index);
  void gather(std::uint64_t index);
  void add_source(int rank, std::size_t& output_offset);

  transport::Transport& transport_;
  Operation& operation_;
  const Publication& own_;
  mixing::StoreKind store_;
  Undo* undo_;
  bool gathers_;
  std::uint64_t chunks_ = 0;
  std::vector<Source> sources_;
  std::vector<mixing::Term> terms_;
  mixing::Row row_{};
  std::vector<const void*> inputs_;
};

}  // namespace bluefog::engine
