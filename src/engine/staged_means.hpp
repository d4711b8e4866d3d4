#pragma once
/// @file staged_means.hpp  How the owner of a slice of its machine lays out what the slice is mixed of: the
/// weights, and its slice of the mean of each machine concerned. Whoever finishes the slice for a dead owner
/// reads it there, and needs to know nothing else.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "mixing/row.hpp"
#include "transport/transport.hpp"

namespace bluefog::engine {

/// A row of the kernels, with memory of its own.
struct MeansRow {
  mixing::Combine combine = mixing::Combine::Mean;
  std::vector<mixing::Term> terms;  ///< of the means
  int self_term = -1;
};

class StagedMeans {
 public:
  /// Bytes of the layout. @param slice_bytes  of each mean
  [[nodiscard]] static std::size_t bytes(std::size_t means, std::size_t slice_bytes);

  StagedMeans() = default;
  /// Of the own rank, in fresh memory.
  StagedMeans(std::byte* base, std::size_t means, std::size_t slice_bytes);
  /// Of a rank that has voted, or of the own one.
  StagedMeans(transport::Transport& transport, int owner, std::uint64_t offset, std::size_t slice_bytes);

  [[nodiscard]] std::size_t count() const { return means_; }
  [[nodiscard]] std::byte* mean(std::size_t index) const;
  void set_row(const MeansRow& row) const;
  [[nodiscard]] MeansRow row() const;

 private:
  std::byte* base_ = nullptr;
  std::size_t means_ = 0;
  std::size_t slice_bytes_ = 0;
};

}  // namespace bluefog::engine
