#include <array>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/graphs.hpp>
#include <bluefog/spectral.hpp>

#include "base/hash.hpp"
#include "unit/topology_support.hpp"

namespace bluefog {
namespace {

using std::numbers::pi;
using testing::expect_invalid;

/// Standard normal numbers: SplitMix64, then Box and Muller, cosine before sine.
class Normals {
 public:
  explicit Normals(std::uint64_t seed) : state_(seed) {}
  double operator()() {
    if (has_sine_) {
      has_sine_ = false;
      return sine_;
    }
    const double radius = std::sqrt(-2.0 * std::log(uniform()));
    const double angle = 2.0 * pi * uniform();
    sine_ = radius * std::sin(angle);
    has_sine_ = true;
    return radius * std::cos(angle);
  }

 private:
  double uniform() {
    state_ += base::kGoldenRatio;
    return static_cast<double>((base::mix_bits(state_) >> 11) + 1) * 0x1p-53;
  }
  std::uint64_t state_;
  double sine_ = 0.0;
  bool has_sine_ = false;
};

TEST(ConsensusRounds, NormalsAreThoseOfTheTables) {
  Normals normals(2024);
  EXPECT_NEAR(normals(), .7971867263066108, 1e-14);
  EXPECT_NEAR(normals(), .5582684630231945, 1e-14);
  EXPECT_NEAR(normals(), 1.1585873232620838, 1e-14);
}

/// Mixing of four normal numbers on every rank: the distance from the mean, relative to that at the start.
class Consensus {
 public:
  explicit Consensus(int size) : values_(static_cast<std::size_t>(size)), size_(size) {
    Normals normals(7);
    for (auto& row : values_) {
      for (double& value : row) value = normals();
    }
    for (const auto& row : values_) {
      for (std::size_t k = 0; k < 4; ++k) mean_[k] += row[k] / size;
    }
    start_ = distance();
  }
  void mix(const Topology& topology) {
    Values next(values_.size(), {0.0, 0.0, 0.0, 0.0});
    for (int rank = 0; rank < size_; ++rank) {
      add(next, rank, rank, topology.self_weight(rank));
      for (const auto& [sender, weight] : topology.in_neighbors(rank)) add(next, rank, sender, weight);
    }
    values_ = std::move(next);
  }
  [[nodiscard]] double relative_error() const { return distance() / start_; }

 private:
  using Values = std::vector<std::array<double, 4>>;
  void add(Values& next, int receiver, int sender, double weight) const {
    for (std::size_t k = 0; k < 4; ++k) {
      next[static_cast<std::size_t>(receiver)][k] += weight * values_[static_cast<std::size_t>(sender)][k];
    }
  }
  [[nodiscard]] double distance() const {
    double sum = 0.0;
    for (const auto& row : values_) {
      for (std::size_t k = 0; k < 4; ++k) sum += (row[k] - mean_[k]) * (row[k] - mean_[k]);
    }
    return std::sqrt(sum);
  }
  Values values_;
  std::array<double, 4> mean_ = {0.0, 0.0, 0.0, 0.0};
  int size_;
  double start_ = 0.0;
};

int rounds_until(const Schedule& schedule, double tolerance) {
  Consensus consensus(schedule.size());
  int rounds = 0;
  for (; consensus.relative_error() > tolerance && rounds < 100'000; ++rounds) {
    consensus.mix(schedule.round(static_cast<std::uint64_t>(rounds)));
  }
  return rounds;
}

struct RoundsRow {
  int size, ring, ring_one_way, grid, torus, star, exponential, one_peer;
};

TEST(ConsensusRounds, Table) {
  const std::vector<RoundsRow> table = {{8, 104, 284, 137, 33, 173, 32, 3},
                                        {16, 418, 1122, 154, 44, 357, 42, 4},
                                        {25, 1026, 2743, 244, 69, 564, 33, 69},
                                        {64, 6527, 17413, 648, 174, 1462, 64, 6}};
  for (const RoundsRow& row : table) {
    SCOPED_TRACE("size " + std::to_string(row.size));
    const auto rounds = [](Topology topology) {
      return rounds_until(*static_schedule(std::move(topology)), 1e-10);
    };
    EXPECT_EQ(rounds(ring_graph(row.size)), row.ring);
    EXPECT_EQ(rounds(ring_graph(row.size, RingStyle::Right)), row.ring_one_way);
    EXPECT_EQ(rounds(mesh_grid_2d_graph(row.size)), row.grid);
    EXPECT_EQ(rounds(torus_graph(row.size)), row.torus);
    EXPECT_EQ(rounds(star_graph(row.size)), row.star);
    EXPECT_EQ(rounds(exponential_graph(row.size)), row.exponential);
    EXPECT_EQ(rounds_until(*one_peer_exponential(row.size), 1e-10), row.one_peer);
  }
}

TEST(ConsensusRounds, WorstCaseOfANormalMatrixFollowsFromItsRate) {
  for (const Topology& graph :
       {ring_graph(16), ring_graph(64), exponential_graph(25), mesh_grid_2d_graph(49)}) {
    const double expected = std::ceil(std::log(1e-10) / std::log(consensus_rate(graph)));
    EXPECT_EQ(rounds_to_consensus(graph), static_cast<std::uint64_t>(expected));
  }
}

TEST(ConsensusRounds, StaticGraphsAndTheirSchedulesAgree) {
  for (const Topology& graph :
       {ring_graph(8), exponential_graph(12), star_graph(5), fully_connected_graph(6)}) {
    EXPECT_EQ(rounds_to_consensus(graph), rounds_to_consensus(*static_schedule(graph)));
  }
}

TEST(ConsensusRounds, OfSchedules) {
  EXPECT_EQ(rounds_to_consensus(*one_peer_exponential(16)), 4U);
  EXPECT_EQ(rounds_to_consensus(*one_peer_hypercube(32)), 5U);
  EXPECT_EQ(rounds_to_consensus(*one_peer_exponential(1)), 0U);
  const std::uint64_t rounds = rounds_to_consensus(*one_peer_exponential(25)).value();
  EXPECT_LE(contraction(*one_peer_exponential(25), rounds), 1e-10);
  EXPECT_GT(contraction(*one_peer_exponential(25), rounds - 1), 1e-10);
}

TEST(ConsensusRounds, NothingWhereTheMeanIsNotReached) {
  EXPECT_FALSE(rounds_to_consensus(star_graph(5).with_uniform_weights()).has_value());
  EXPECT_FALSE(rounds_to_consensus(*one_peer_dynamic(star_graph(5))).has_value());
  const Topology apart = metropolis_hastings(4, std::vector<UndirectedEdge>{{0, 1}, {2, 3}});
  EXPECT_FALSE(rounds_to_consensus(apart).has_value());
  EXPECT_FALSE(rounds_to_consensus(*static_schedule(apart), 1e-10, 1000).has_value());
}

TEST(ConsensusRounds, NothingBeyondTheLimit) {
  const std::uint64_t rounds = rounds_to_consensus(ring_graph(16)).value();
  EXPECT_EQ(rounds_to_consensus(ring_graph(16), 1e-10, rounds), rounds);
  EXPECT_FALSE(rounds_to_consensus(ring_graph(16), 1e-10, rounds - 1).has_value());
  EXPECT_EQ(rounds_to_consensus(*one_peer_exponential(16), 1e-10, 4), 4U);
  EXPECT_FALSE(rounds_to_consensus(*one_peer_exponential(16), 1e-10, 3).has_value());
  expect_invalid([] { (void)rounds_to_consensus(ring_graph(4), 0.0); }, {"tolerance is 0", "above 0"});
}

TEST(ConsensusRounds, AThousandRanksAfterTenRounds) {
  const auto error_after = [](const Schedule& schedule, int rounds) {
    Consensus consensus(schedule.size());
    for (int t = 0; t < rounds; ++t) consensus.mix(schedule.round(static_cast<std::uint64_t>(t)));
    return consensus.relative_error();
  };
  EXPECT_LT(error_after(*one_peer_exponential(1024), 10), 1e-15);
  EXPECT_LT(error_after(*one_peer_hypercube(1024), 10), 1e-15);
  EXPECT_NEAR(error_after(*static_schedule(exponential_graph(1024)), 10), 6.0e-3, 5e-4);
  EXPECT_NEAR(error_after(*static_schedule(ring_graph(1024)), 10), .343, 5e-3);
  EXPECT_NEAR(error_after(*static_schedule(ring_graph(1024)), 100), .202, 5e-3);
}

}  // namespace
}  // namespace bluefog
