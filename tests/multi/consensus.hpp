#pragma once
/// @file consensus.hpp  How fast averaging with neighbours alone brings ranks together: a body for any job
/// whose ranks can see one object, and what an independent simulation gives.

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include <bluefog/bluefog.hpp>

namespace bluefog::test {

/// What the ranks start from: four normal numbers each, of seed 7, one rank after the other.
class ConsensusStart {
 public:
  static constexpr std::size_t width = 4;

  explicit ConsensusStart(int ranks);

  [[nodiscard]] int ranks() const { return static_cast<int>(values_.size() / width); }
  [[nodiscard]] std::vector<double> of(int rank) const;
  [[nodiscard]] double squared_distance_to_mean(std::span<const double> x) const;
  /// Mean over the ranks of squared_distance_to_mean(of(rank)).
  [[nodiscard]] double spread() const { return spread_; }

 private:
  std::vector<double> values_;
  std::vector<double> mean_;
  double spread_ = 0;
};

/// The relative error, the distance of all ranks from the mean over that of the start, after so many rounds.
struct ConsensusMark {
  std::uint64_t rounds;
  /// Six digits; 0: to the last bits.
  double error;
};

struct ConsensusCase {
  std::string name;
  SchedulePtr schedule;
  std::vector<ConsensusMark> marks;  ///< ascending
};

inline std::ostream& operator<<(std::ostream& out, const ConsensusCase& consensus) {
  return out << consensus.name;
}

/// The cases known for that number of ranks. @throws std::invalid_argument unless it is 16, 25, 64 or 1,024
[[nodiscard]] std::vector<ConsensusCase> consensus_cases(int ranks);

/// The body of one rank: mixes its four numbers in difference form round after round.
/// @returns its squared distance from the mean at every mark
[[nodiscard]] std::vector<double> run_consensus(Context& context, const ConsensusStart& start,
                                                const ConsensusCase& consensus);

/// @param mean_squares  the mean over the ranks of what run_consensus() gave
void expect_marks(std::span<const double> mean_squares, const ConsensusStart& start,
                  const ConsensusCase& consensus);

}  // namespace bluefog::test
