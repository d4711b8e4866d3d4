#pragma once
/// @file schedule.hpp  Time-varying graphs: which Topology a mixing round uses.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include <bluefog/export.hpp>
#include <bluefog/topology.hpp>

namespace bluefog {

/// A sequence of topologies, one per mixing round. The schedule owns the weights. It holds no state: a round
/// is a function of its number, so every rank knows every other rank's row. Safe to use from several threads.
class BLUEFOG_API Schedule {
 public:
  virtual ~Schedule();
  Schedule(const Schedule&) = delete;
  Schedule& operator=(const Schedule&) = delete;
  /// For people.
  [[nodiscard]] virtual std::string_view name() const = 0;
  /// Number of ranks.
  [[nodiscard]] virtual int size() const = 0;
  /// Number of distinct rounds: round(t) equals round(t % period()). At least 1; 2^64 - 1 if there are more,
  /// or if rounds never repeat.
  [[nodiscard]] virtual std::uint64_t period() const = 0;
  /// The mixing matrix of round t.
  [[nodiscard]] virtual Topology round(std::uint64_t t) const = 0;
  /// As round(t). The rounds that were asked for last are kept, so that the ranks of one process share them.
  [[nodiscard]] std::shared_ptr<const Topology> shared_round(std::uint64_t t) const;
  /// Equal on all ranks for equal schedules. Found at the first call, like the two below.
  [[nodiscard]] std::uint64_t hash() const;
  /// Every round preserves constants, or the mean (see Topology).
  [[nodiscard]] bool preserves_constants() const;
  /// Every round preserves the mean.
  [[nodiscard]] bool preserves_mean() const;

 protected:
  Schedule() = default;

  /// What is known of all rounds.
  struct Facts {
    /// Of all rounds.
    std::uint64_t hash = 0;
    /// In every round.
    bool preserves_constants = true;
    /// In every round.
    bool preserves_mean = true;
  };
  /// What hash() and the two properties answer. By default from the name, the size and every round of a
  /// period: override it where a period is long.
  [[nodiscard]] virtual Facts find_facts() const;

 private:
  const Facts& facts() const;

  struct KeptRound {
    std::uint64_t number = 0;
    std::shared_ptr<const Topology> topology;
  };
  static constexpr std::size_t kept_rounds = 32;
  mutable std::mutex rounds_mutex_;
  mutable std::array<KeptRound, kept_rounds> rounds_;  ///< round t at t mod kept_rounds
  mutable std::once_flag facts_found_;
  mutable Facts facts_;
};

/// Schedules are shared, and never change.
using SchedulePtr = std::shared_ptr<const Schedule>;

/// The same topology in every round.
[[nodiscard]] BLUEFOG_API SchedulePtr static_schedule(Topology topology);

/// In round t rank i sends to i + 2^(t mod ceil(log2 n)) and averages 1/2, 1/2. Exact after log2 n rounds for
/// n = 2^k; for other n it contracts by at most 1/4 every ceil(log2 n) rounds. Over machines instead of ranks
/// it is BlueFog 0.3's exponential-2 machine schedule. (Assran et al. 2019; Ying et al. 2021)
/// @throws InvalidArgument for a size below 1
[[nodiscard]] BLUEFOG_API SchedulePtr one_peer_exponential(int size);

/// In round t rank i exchanges with i xor 2^(t mod k), n = 2^k. @throws InvalidArgument for other sizes
[[nodiscard]] BLUEFOG_API SchedulePtr one_peer_hypercube(int size);

/// The ranks stand on the corners of a box whose sides have at most max_degree + 1 corners; in every round
/// those along one side take their mean. Exact after one round per side, of which there are as few as
/// possible. Symmetric. (Takezawa et al. 2023; the grid of Ryabinin et al., "Moshpit SGD", 2021)
/// @param max_degree  the most ranks that a rank exchanges with in a round
/// @throws InvalidArgument for a size below 1 or with a prime factor above max_degree + 1, a max_degree below
/// 1
[[nodiscard]] BLUEFOG_API SchedulePtr hyper_hypercube(int size, int max_degree);

/// The Base-(k+1) graph, k = max_degree: exact for every size, after at most 2 log_(k+1)(size) + 2 rounds.
/// Symmetric; of the simple and the full version the shorter. Where all prime factors of the size are at most
/// k + 1 it is the hyper-hypercube. Some ranks rest in some rounds.
/// (Takezawa, Sato, Bao, Niwa, Yamada, "Beyond Exponential Graph: Communication-Efficient Topologies for
/// Decentralized Learning via Finite-time Convergence", NeurIPS 2023)
/// @param max_degree  the most ranks that a rank exchanges with in a round
/// @throws InvalidArgument for a size or a max_degree below 1
[[nodiscard]] BLUEFOG_API SchedulePtr base_k_plus_one(int size, int max_degree);

/// In every round the ranks are matched in pairs, all matchings being equally likely, and pairs average 1/2,
/// 1/2; of an odd number one rests. Symmetric. Never exact: the squared distance from the mean shrinks by
/// (n - 2) / (2 (n - 1)) a round on average, n even. Never repeats.
///
/// Every rank draws the same numbers, each round by itself: SplitMix64 from the state F(F(seed + G) xor t),
/// where F is its finalizer and G its increment, shuffles the ranks (Fisher and Yates, from the end);
/// neighbours in the order found are pairs. (OU-EquiDyn of Song et al., "Communication-Efficient Topologies
/// for Decentralized Learning with O(1) Consensus Rate", NeurIPS 2022; Boyd et al. 2006)
/// @throws InvalidArgument for a size below 1
[[nodiscard]] BLUEFOG_API SchedulePtr one_peer_random_matching(int size, std::uint64_t seed);

/// In every round rank i sends to i + u, one u of 1 ... size - 1 for all, drawn as for
/// one_peer_random_matching. Never exact: the squared distance from the mean shrinks by
/// (1 - w)^2 + w^2 - 2 w (1 - w) / (n - 1) a round on average, least with w = 1/2. Never repeats. (OD-EquiDyn
/// of Song et al. 2022)
/// @param weight  w, what the receiver gives to what arrives
/// @throws InvalidArgument for a size below 1 or a weight that is not between 0 and 1
[[nodiscard]] BLUEFOG_API SchedulePtr one_peer_random_shift(int size, std::uint64_t seed,
                                                            double weight = 0.5);

/// In every round the ranks of each machine average exactly, and the machines mix by `machines`: the matrix
/// of the round is that of `machines` kron J, J = 1/local_size everywhere. As many rounds until exact as
/// `machines` has, and it preserves what `machines` preserves. Rank = machine * local_size + local rank.
/// @param machines  a schedule over machines in place of ranks
/// @throws InvalidArgument without a schedule, for a local_size below 1
[[nodiscard]] BLUEFOG_API SchedulePtr hierarchical(SchedulePtr machines, int local_size);

/// In round t every rank keeps half of its value and sends half to one out-neighbour, going around them
/// clockwise (see dynamic_one_peer_send_recv); one without out-neighbours keeps all. The weights of
/// `topology` are not used. Preserves the mean on any graph. Preserves constants only where in every round
/// each rank receives from exactly one, as on rings and exponential graphs; elsewhere (grid, star) no weights
/// preserve both, and the values converge to the mean only with push-sum.
[[nodiscard]] BLUEFOG_API SchedulePtr one_peer_dynamic(Topology topology);

/// inner_outer_ring_send_recv with weights 1/2, 1/2. @throws InvalidArgument if the machines are not of equal
/// size
[[nodiscard]] BLUEFOG_API SchedulePtr inner_outer_ring(int world_size, int local_size);

/// inner_outer_expo2_send_recv with weights 1/2, 1/2. @throws InvalidArgument if the machines are not of
/// equal size
[[nodiscard]] BLUEFOG_API SchedulePtr inner_outer_expo2(int world_size, int local_size);

}  // namespace bluefog
