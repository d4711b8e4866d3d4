#pragma once
/// @file exchange.hpp  The exchange of chunks: every rank computes its own output.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/operation.hpp"
#include "mixing/kernels.hpp"

namespace bluefog::engine {

/// The chunks of one operation, as its rank sends, receives and combines them.
class Exchange {
 public:
  Exchange(transport::Transport& transport, Operation& operation, const mixing::ResolvedRow* row, int rank,
           mixing::StoreKind store);

  [[nodiscard]] bool can_publish() const;
  [[nodiscard]] bool can_consume() const;
  void consume();
  [[nodiscard]] bool all_published() const { return operation_.produced >= own_chunks_; }
  [[nodiscard]] bool all_consumed() const { return operation_.consumed >= chunks_; }
  /// Destinations that read the tensor itself have finished.
  [[nodiscard]] bool readers_are_done() const;
  /// A source that will not deliver, or -1.
  [[nodiscard]] const PeerView* failed_source() const;

 private:
  struct Source {
    int rank;
    const PeerView* peer;       ///< nullptr: this rank itself
    const std::byte* in_place;  ///< nullptr: read from published chunks
    std::size_t bytes;
    std::uint64_t chunks;
    std::size_t output_offset;  ///< gathers: where its bytes go
  };
  [[nodiscard]] const std::byte* data(const Source& source, std::uint64_t index) const;
  /// A destination that needs nothing more of this rank, or is gone.
  [[nodiscard]] bool has_finished(const PeerView& peer) const;
  void reduce(std::uint64_t index);
  void gather(std::uint64_t index);
  void add_source(int rank, std::size_t& output_offset);

  transport::Transport& transport_;
  Operation& operation_;
  const Plan& plan_;
  int rank_;
  mixing::StoreKind store_;
  bool gathers_;
  bool publishes_;
  std::uint64_t depth_;
  std::uint64_t own_chunks_ = 0;  ///< to publish
  std::uint64_t chunks_ = 0;      ///< to consume
  std::vector<Source> sources_;
  std::vector<mixing::Term> terms_;
  mixing::Row row_{};
  std::vector<const void*> inputs_;
  std::vector<const PeerView*> destinations_;
};

}  // namespace bluefog::engine
