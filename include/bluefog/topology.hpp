#pragma once
/// @file topology.hpp  A weighted directed graph over the ranks of a job: the mixing matrix W.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <bluefog/export.hpp>

namespace bluefog {

/// One step of neighbour averaging is x_receiver <- sum over senders of weight(receiver, sender) * x_sender.
///
/// Immutable after construction. Weights are double precision. To avoid the two contradicting uses of
/// "row-stochastic" in the literature, properties are named by what they preserve.
/// Every member function that takes a rank throws InvalidArgument if it is out of range.
class BLUEFOG_API Topology {
 public:
  /// A weight on the edge sender -> receiver; sender == receiver is the self weight.
  struct Edge {
    /// To whom.
    int receiver;
    /// From whom.
    int sender;
    /// What the receiver multiplies with.
    double weight;
  };
  /// One neighbour of a rank and the weight of the edge that joins them.
  struct Neighbor {
    /// Who.
    int rank;
    /// What the receiver multiplies with.
    double weight;
    friend bool operator==(const Neighbor&, const Neighbor&) = default;
  };

  /// @param size   number of ranks, at least 1
  /// @param edges  in any order; an edge of weight 0 between two ranks still is an edge; self weights not
  ///               given are 0
  /// @throws InvalidArgument for a size below 1, a rank out of range, an edge given twice, a weight that is
  /// not finite
  Topology(int size, std::span<const Edge> edges);

  /// From a dense matrix in row-major order, matrix[receiver * size + sender]; zeros off the diagonal are
  /// absent edges. @throws InvalidArgument if matrix.size() != size * size or an entry is not finite
  [[nodiscard]] static Topology from_matrix(int size, std::span<const double> matrix);

  /// Number of ranks.
  [[nodiscard]] int size() const noexcept { return static_cast<int>(self_weights_.size()); }
  /// Weight that `receiver` gives to what comes from `sender`; 0 where there is no edge.
  [[nodiscard]] double weight(int receiver, int sender) const;
  /// What a rank multiplies its own tensor with.
  [[nodiscard]] double self_weight(int rank) const;
  /// False for sender == receiver: a self weight is no edge.
  [[nodiscard]] bool has_edge(int sender, int receiver) const;
  /// Ranks that `rank` receives from, ascending, without itself. Valid as long as this Topology.
  [[nodiscard]] std::span<const Neighbor> in_neighbors(int rank) const;
  /// Ranks that `rank` sends to, ascending, without itself; weight is what the receiver applies.
  [[nodiscard]] std::span<const Neighbor> out_neighbors(int rank) const;
  /// The largest number of ranks that one rank sends to.
  [[nodiscard]] int max_out_degree() const;

  /// What every receiver takes sums to 1 (to within size * 1e-15): constant vectors stay as they are.
  [[nodiscard]] bool preserves_constants() const;
  /// What every sender gives sums to 1 (to within size * 1e-15): the mean over ranks stays as it is.
  [[nodiscard]] bool preserves_mean() const;
  /// weight(i, j) == weight(j, i) for all pairs, and every edge has its opposite.
  [[nodiscard]] bool is_symmetric() const;
  /// Every rank has the same in-degree plus out-degree.
  [[nodiscard]] bool is_regular() const;
  /// Same graph; the in-edges and the self weight of every rank become 1 / (its in-degree + 1).
  [[nodiscard]] Topology with_uniform_weights() const;
  /// Row-major dense W, matrix[receiver * size + sender].
  [[nodiscard]] std::vector<double> to_matrix() const;
  /// Equal on all ranks and runs for equal graphs and weights.
  [[nodiscard]] std::uint64_t hash() const noexcept { return hash_; }

  /// Same size, edges and weights.
  friend BLUEFOG_API bool operator==(const Topology& a, const Topology& b);

 private:
  /// The neighbours of all ranks side by side; those of `rank` are in [begins[rank], begins[rank + 1]).
  struct Lists {
    std::vector<std::size_t> begins;
    std::vector<Neighbor> neighbors;
    [[nodiscard]] std::span<const Neighbor> of(int rank) const;
    friend bool operator==(const Lists&, const Lists&) = default;
  };

  std::vector<double> self_weights_;
  Lists in_;
  Lists out_;
  std::uint64_t hash_ = 0;
};

}  // namespace bluefog
