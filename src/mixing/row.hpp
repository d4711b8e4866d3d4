#pragma once
/// @file row.hpp  One rank's row of the mixing matrix, and the arithmetic that it stands for.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/function_ref.hpp"
#include "mixing/kernels.hpp"

namespace bluefog::mixing {

enum class RowForm : std::uint8_t {
  Sum,         ///< all sources and self, weights unused
  Uniform,     ///< mean over sources and self
  Weighted,    ///< plain weighted sum
  Difference,  ///< difference form where the weights sum to 1, else plain (frontends: optimizers)
  Gather,      ///< no arithmetic: sources side by side
};

/// A rank and the weight that goes with it: what the receiver applies (sources), or what the sender adds
/// (destinations).
struct WeightedRank {
  int rank;
  double weight;
  friend bool operator==(const WeightedRank&, const WeightedRank&) = default;
};

/// What rank `rank` receives and sends in one operation. Sources and destinations ascend and do not hold the
/// rank itself.
struct MixingRow {
  int rank = 0;
  RowForm form = RowForm::Uniform;
  double self_weight = 1.0;
  std::vector<WeightedRank> sources;
  std::vector<WeightedRank> destinations;

  [[nodiscard]] const WeightedRank* source(int peer) const;
  [[nodiscard]] const WeightedRank* destination(int peer) const;
  [[nodiscard]] std::uint64_t hash() const;
  friend bool operator==(const MixingRow&, const MixingRow&) = default;
};

/// A row as words that can lie in shared memory or travel.
[[nodiscard]] std::vector<std::uint64_t> encode(const MixingRow& row);
/// @throws Error if the words are no row
[[nodiscard]] MixingRow decode(std::span<const std::uint64_t> words);

/// The terms of a row in ascending rank order, ready for the kernels.
struct ResolvedRow {
  struct RankTerm {
    int rank;
    double weight;
  };
  Combine combine = Combine::Mean;
  std::vector<RankTerm> terms;
  int self_term = -1;
};

/// Applies the arithmetic rules that every path shares:
/// uniform rows are summed and divided once; plain rows skip weight 0; the difference form needs weights that
/// sum to 1 within (number of terms) * 1e-15, and a pair of weights 1/2 is (a + b) / 2.
/// @param factor  what source j multiplies its tensor with before it sends it to this rank (1 unless given)
[[nodiscard]] ResolvedRow resolve(const MixingRow& row, base::FunctionRef<double(int source)> factor);

/// Ranks that are connected by edges in either direction, as far as their rows are known.
struct Closure {
  struct OneSidedEdge {
    int sender;
    int receiver;
    bool sender_knows;  ///< the sender lists it, the receiver does not; or the reverse
  };
  std::vector<int> members;  ///< ascending, with the own rank
  std::vector<int> unknown;  ///< members whose rows are not known yet; the component is closed when empty
  std::vector<OneSidedEdge> one_sided;
  bool has_far_edges = false;  ///< a known row names a rank that is not near
};

/// Follows edges both ways from `own`, but none to ranks that are not near (those of other hosts).
/// @param row_of  nullptr where a row is not known yet
[[nodiscard]] Closure close_component(const MixingRow& own,
                                      base::FunctionRef<const MixingRow*(int rank)> row_of,
                                      base::FunctionRef<bool(int rank)> is_near);

/// The elements [first, last) that the member number `index` of `members` mixes. Cuts lie on multiples of 64
/// bytes from the start of the tensor, so that two ranks do not write to one cache line.
struct Slice {
  std::size_t first;
  std::size_t last;
};
[[nodiscard]] Slice slice_of(std::size_t count, std::size_t element_size, std::size_t members,
                             std::size_t index);

}  // namespace bluefog::mixing
