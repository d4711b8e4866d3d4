#pragma once
/// @file ceca.hpp  CECA: the exact mean in ceil(log2 n) rounds, for any number n of ranks, with one message
/// to one rank and one from one rank in each, at the price of a second vector.
///
/// Every rank keeps two vectors. After some rounds x is the mean over the rank itself and the e ranks before
/// it, h the mean over these e without the rank itself. In every round all ranks send the same one of the
/// two, and move both towards what arrives. (Ding, Jin, Chen, Yuan, Yin et al., "DSGD-CECA: Decentralized SGD
/// with Communication-Optimal Exact Consensus Algorithm", ICML 2023)
///
/// With the operations of a Context, on every rank:
/// @code
///   const CecaSchedule ceca = CecaSchedule::two_port(context.size());
///   NeighborAllreduceOptions options;
///   options.schedule = ceca.deliveries();
///   for (options.round = 0; options.round < ceca.period(); ++options.round) {
///     const CecaRound round = ceca.round(options.round);
///     const std::span<double> sent = round.sent == CecaState::X ? x : h;
///     context.neighbor_allreduce(std::span<const double>(sent), received, options);
///     round.update(x, h, std::span<const double>(received));
///   }
/// @endcode
///
/// It preserves constants. It preserves the mean over x where the mean over h is the same: so it is if a
/// cycle of period() rounds begins with h = x, or with any h, and if whatever changes x between rounds (a
/// step along a gradient) changes h alike. A change of x alone within a cycle does not keep its share in the
/// mean.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include <bluefog/export.hpp>
#include <bluefog/schedule.hpp>

namespace bluefog {

/// The two vectors of a rank.
enum class CecaState : std::uint8_t { X, H };

/// What all ranks do in one round.
struct CecaRound {
  /// Which of its vectors each rank sends.
  CecaState sent;
  /// How far x and h move towards what arrives; 1: they become it.
  double x_weight;
  /// As x_weight, of h.
  double h_weight;

  /// x <- x + x_weight (received - x), and h alike. All of the same number of elements.
  template <std::floating_point T>
  void update(std::span<T> x, std::span<T> h, std::span<const T> received) const {
    move(x, received, x_weight);
    move(h, received, h_weight);
  }

  friend bool operator==(const CecaRound&, const CecaRound&) = default;

 private:
  template <std::floating_point T>
  static void move(std::span<T> state, std::span<const T> received, double weight) {
    for (std::size_t i = 0; i < state.size(); ++i) {
      state[i] = weight == 1.0 ? received[i] : state[i] + static_cast<T>(weight) * (received[i] - state[i]);
    }
  }
};

/// Pure and immutable. A round is a function of its number modulo period(), the same for all ranks.
class BLUEFOG_API CecaSchedule {
 public:
  /// Rank i receives from a rank before it and sends to another one behind it, for any size.
  /// @throws InvalidArgument for a size below 1
  [[nodiscard]] static CecaSchedule two_port(int size);
  /// Rank i sends to the rank that it receives from, for even sizes, and for a job of one.
  /// @throws InvalidArgument for a size below 1, for odd ones from 3 up
  [[nodiscard]] static CecaSchedule one_port(int size);

  /// Number of ranks.
  [[nodiscard]] int size() const { return deliveries_->size(); }
  /// Rounds until x is the exact mean, ceil(log2 size); 1 for a job of one.
  [[nodiscard]] std::uint64_t period() const { return deliveries_->period(); }
  /// Round t.
  [[nodiscard]] CecaRound round(std::uint64_t t) const;
  /// Who receives from whom: a schedule of permutations, whose round t gives each rank what its sender sent,
  /// to be had with neighbor_allreduce. Of the same size and period.
  [[nodiscard]] const SchedulePtr& deliveries() const noexcept { return deliveries_; }

 private:
  explicit CecaSchedule(SchedulePtr deliveries) : deliveries_(std::move(deliveries)) {}
  SchedulePtr deliveries_;
};

}  // namespace bluefog
