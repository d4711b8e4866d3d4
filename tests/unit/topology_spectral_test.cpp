#include <bit>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/graphs.hpp>
#include <bluefog/spectral.hpp>

#include "unit/topology_support.hpp"

namespace bluefog {
namespace {

using std::numbers::pi;
using testing::averaging_matrix;
using testing::expect_invalid;
using testing::largest_difference;

constexpr double kNone = -1.0;

bool is_power_of_two(int size) {
  return std::has_single_bit(static_cast<unsigned>(size));
}

int ceil_log2(int size) {
  int exponent = 0;
  while ((1 << exponent) < size) ++exponent;
  return exponent;
}

struct GapRow {
  int size;
  double ring, ring_one_way, torus, grid, star, hypercube, exponential;
};

/// Spectral gaps 1 - ||W - J||_2, found by an independent program; six digits.
const std::vector<GapRow> kGaps = {
    {4, .666667, .292893, kNone, .666667, .250000, .666667, .666667},
    {5, .460655, .190983, kNone, kNone, .200000, kNone, .750000},
    {6, .333333, .133975, kNone, .250000, .166667, kNone, .500000},
    {7, .251007, .099031, kNone, kNone, .142857, kNone, .646447},
    {8, .195262, .076120, kNone, .146447, .125000, .500000, .500000},
    {9, .155970, .060307, .600000, .232577, .111111, kNone, .558213},
    {10, .127322, .048943, kNone, .095492, .100000, kNone, .400000},
    {12, .089316, .034074, .400000, .136417, .083333, kNone, .400000},
    {15, .057636, .021852, .276393, .089009, .066667, kNone, .510102},
    {16, .050747, .019215, .400000, .131359, .062500, .400000, .400000},
    {20, .032629, .012312, .276393, .085748, .050000, kNone, .333333},
    {24, .022716, .008555, .200000, .060191, .041667, kNone, .333333},
    {25, .020945, .007885, .276393, .083787, .040000, kNone, .489139},
    {27, .017970, .006762, .093582, .028131, .037037, kNone, .437089},
    {31, .013647, .005131, kNone, kNone, .032258, kNone, .437739},
    {32, .012810, .004815, .117157, .034222, .031250, .333333, .333333},
    {36, .010128, .003805, .200000, .057913, .027778, kNone, .285714},
    {48, .005703, .002141, .117157, .032938, .020833, kNone, .285714},
    {49, .005473, .002055, .150604, .042355, .020408, kNone, .423039},
    {63, .003313, .001243, .093582, .025813, .015873, kNone, .389131},
    {64, .003210, .001205, .117157, .032295, .015625, .285714, .285714},
};

TEST(SpectralGap, Table) {
  constexpr double half_a_digit = 5.1e-7;
  for (const GapRow& row : kGaps) {
    SCOPED_TRACE("size " + std::to_string(row.size));
    EXPECT_NEAR(spectral_gap(ring_graph(row.size)), row.ring, half_a_digit);
    EXPECT_NEAR(spectral_gap(ring_graph(row.size, RingStyle::Left)), row.ring_one_way, half_a_digit);
    EXPECT_NEAR(spectral_gap(ring_graph(row.size, RingStyle::Right)), row.ring_one_way, half_a_digit);
    EXPECT_NEAR(spectral_gap(star_graph(row.size)), row.star, half_a_digit);
    EXPECT_NEAR(spectral_gap(exponential_graph(row.size)), row.exponential, half_a_digit);
    if (row.torus != kNone) {
      EXPECT_NEAR(spectral_gap(torus_graph(row.size)), row.torus, half_a_digit);
    }
    if (row.grid != kNone) {
      EXPECT_NEAR(spectral_gap(mesh_grid_2d_graph(row.size)), row.grid, half_a_digit);
    }
    if (row.hypercube != kNone) {
      EXPECT_NEAR(spectral_gap(hypercube_graph(row.size)), row.hypercube, half_a_digit);
    }
  }
}

double torus_rate(const GridShape& shape) {
  double largest = 0.0;
  for (int p = 0; p < shape.rows; ++p) {
    for (int q = 0; q < shape.columns; ++q) {
      if (p == 0 && q == 0) continue;
      const double sum =
          1.0 + 2.0 * std::cos(2.0 * pi * p / shape.rows) + 2.0 * std::cos(2.0 * pi * q / shape.columns);
      largest = std::max(largest, std::abs(sum) / 5.0);
    }
  }
  return largest;
}

TEST(SpectralGap, ClosedForms) {
  constexpr double tolerance = 1e-12;
  for (int size = 4; size <= 128; ++size) {
    SCOPED_TRACE("size " + std::to_string(size));
    EXPECT_NEAR(spectral_gap(ring_graph(size)), 2.0 / 3.0 * (1.0 - std::cos(2.0 * pi / size)), tolerance);
    EXPECT_NEAR(spectral_gap(ring_graph(size, RingStyle::Right)), 1.0 - std::cos(pi / size), tolerance);
    EXPECT_NEAR(spectral_gap(star_graph(size)), 1.0 / size, tolerance);
    const double exponential = 2.0 / (1.0 + ceil_log2(size));
    if (size % 2 == 0) {
      EXPECT_NEAR(spectral_gap(exponential_graph(size)), exponential, tolerance);
    } else {
      EXPECT_GT(spectral_gap(exponential_graph(size)), exponential + 1e-3);
    }
    const GridShape shape = closest_grid_shape(size);
    if (shape.rows >= 3) {
      EXPECT_NEAR(consensus_rate(torus_graph(size)), torus_rate(shape), tolerance);
    }
    if (is_power_of_two(size)) {
      EXPECT_NEAR(spectral_gap(hypercube_graph(size)), 2.0 / (ceil_log2(size) + 1), tolerance);
    }
  }
}

TEST(SpectralGap, ExactAveragingHasRateZeroToWithinRounding) {
  for (const int size : {1, 2, 3, 7, 64, 100}) {
    EXPECT_LT(consensus_rate(fully_connected_graph(size)), 1e-15);
  }
  EXPECT_EQ(consensus_rate(ring_graph(1)), 0.0);
  EXPECT_EQ(spectral_gap(ring_graph(1)), 1.0);
}

TEST(SpectralGap, MetropolisHastingsOnAPathAndAStar) {
  std::vector<UndirectedEdge> path;
  std::vector<UndirectedEdge> star;
  for (int rank = 1; rank < 16; ++rank) {
    path.push_back({rank - 1, rank});
    star.push_back({0, rank});
  }
  EXPECT_NEAR(spectral_gap(metropolis_hastings(16, path)), .0128, 5e-5);
  EXPECT_NEAR(spectral_gap(metropolis_hastings(16, star)), .0625, 1e-12);
}

TEST(SpectralNorm, OfMatricesThatAreNotNormal) {
  EXPECT_NEAR(spectral_norm(2, std::vector<double>{0.0, 3.0, 0.0, 0.0}), 3.0, 1e-15);
  EXPECT_NEAR(spectral_norm(2, std::vector<double>{3.0, 0.0, 4.0, 5.0}), 3.0 * std::sqrt(5.0), 1e-14);
  EXPECT_NEAR(spectral_norm(1, std::vector<double>{-2.0}), 2.0, 1e-15);
  // A row of ones gives sqrt(n), whatever the other entries of rank one.
  std::vector<double> one_row(9, 0.0);
  one_row[3] = one_row[4] = one_row[5] = 1.0;
  EXPECT_NEAR(spectral_norm(3, one_row), std::sqrt(3.0), 1e-15);
}

TEST(SpectralNorm, KeepsItsDigitsHoweverSmallOrLargeTheEntries) {
  for (const double scale : {1e-300, 1e-17, 1.0, 1e300}) {
    EXPECT_NEAR(spectral_norm(2, std::vector<double>{3.0 * scale, 0.0, 4.0 * scale, 5.0 * scale}) / scale,
                3.0 * std::sqrt(5.0), 1e-14);
  }
  EXPECT_EQ(spectral_norm(2, std::vector<double>(4, 0.0)), 0.0);
  expect_invalid([] { (void)spectral_norm(2, std::vector<double>(5)); }, {"spectral_norm", "5 entries", "4"});
}

/// Largest |sin(pi l 2^t / n) / (2^t sin(pi l / n))| over l = 1 ... n - 1, t = ceil(log2 n): the Dirichlet
/// kernel.
double dirichlet_contraction(int size) {
  const double power = std::exp2(ceil_log2(size));
  double largest = 0.0;
  for (int l = 1; l < size; ++l) {
    // l 2^t mod n keeps the argument of the sine small.
    const double turns = std::fmod(l * power, size) / size;
    largest = std::max(largest, std::abs(std::sin(pi * turns) / (power * std::sin(pi * l / size))));
  }
  return largest;
}

/// Norm of a circulant matrix minus J: the largest modulus of the discrete Fourier transform of its first
/// column but the one at frequency 0.
double circulant_contraction(int size, const std::vector<double>& matrix) {
  double largest = 0.0;
  for (int frequency = 1; frequency <= size / 2; ++frequency) {
    double real = 0.0;
    double imaginary = 0.0;
    for (int i = 0; i < size; ++i) {
      const double angle = 2.0 * pi * (static_cast<std::int64_t>(i) * frequency % size) / size;
      const double entry = matrix[static_cast<std::size_t>(i) * static_cast<std::size_t>(size)];
      real += entry * std::cos(angle);
      imaginary += entry * std::sin(angle);
    }
    largest = std::max(largest, std::hypot(real, imaginary));
  }
  return largest;
}

TEST(Contraction, OnePeerExponentialIsTheDirichletKernelForEverySize) {
  for (int size = 3; size <= 512; ++size) {
    const std::vector<double> matrix =
        product(*one_peer_exponential(size), static_cast<std::uint64_t>(ceil_log2(size)));
    const double expected = dirichlet_contraction(size);
    EXPECT_NEAR(circulant_contraction(size, matrix), expected, 1e-12) << "size " << size;
    EXPECT_LE(expected, 0.25 + 1e-12) << "size " << size;
  }
}

TEST(Contraction, NormOfTheProductAgreesWithTheDirichletKernel) {
  for (int size = 3; size <= 130; ++size) {
    EXPECT_NEAR(contraction(*one_peer_exponential(size), static_cast<std::uint64_t>(ceil_log2(size))),
                dirichlet_contraction(size), 1e-12)
        << "size " << size;
  }
}

TEST(Contraction, OnePeerExponentialTable) {
  const std::vector<std::pair<int, double>> table = {{3, .2500},  {5, .2023},  {6, .2165},
                                                     {7, .1250},  {9, .1175},  {12, .2091},
                                                     {25, .1921}, {31, .0313}, {100, .1916}};
  for (const auto& [size, expected] : table) {
    EXPECT_NEAR(contraction(*one_peer_exponential(size), static_cast<std::uint64_t>(ceil_log2(size))),
                expected, 5.1e-5)
        << "size " << size;
  }
}

TEST(Contraction, OnePeerExponentialAndHypercubeAreExactForPowersOfTwo) {
  for (int exponent = 0; exponent <= 8; ++exponent) {
    const int size = 1 << exponent;
    SCOPED_TRACE("size " + std::to_string(size));
    const auto rounds = static_cast<std::uint64_t>(exponent);
    for (const SchedulePtr& schedule : {one_peer_exponential(size), one_peer_hypercube(size)}) {
      const std::vector<double> matrix = product(*schedule, rounds);
      EXPECT_LT(largest_difference(matrix, averaging_matrix(size)), 1e-14);
      EXPECT_LT(contraction(*schedule, rounds), 1e-14);
      if (exponent > 0) {
        EXPECT_GT(contraction(*schedule, rounds - 1), 0.5);
      }
      for (std::uint64_t t = 0; t < schedule->period(); ++t) {
        EXPECT_LE(schedule->round(t).max_out_degree(), 1);
        EXPECT_TRUE(schedule->round(t).preserves_constants());
        EXPECT_TRUE(schedule->round(t).preserves_mean());
      }
    }
  }
}

TEST(Contraction, ProductAppliesLaterRoundsFromTheLeft) {
  // Rank 0 gives to 1, then 1 gives to 2: what 0 had must have reached 2 by then, and only in this order.
  const Topology give(3, std::vector<Topology::Edge>{{1, 0, 0.5}, {0, 0, 1.0}, {1, 1, 0.5}, {2, 2, 1.0}});
  const Topology pass(3, std::vector<Topology::Edge>{{2, 1, 0.5}, {0, 0, 1.0}, {1, 1, 1.0}, {2, 2, 0.5}});
  class GiveAndPass final : public Schedule {
   public:
    GiveAndPass(Topology give, Topology pass) : rounds_{std::move(give), std::move(pass)} {}
    [[nodiscard]] std::string_view name() const override { return "give and pass"; }
    [[nodiscard]] int size() const override { return 3; }
    [[nodiscard]] std::uint64_t period() const override { return 2; }
    [[nodiscard]] Topology round(std::uint64_t t) const override { return rounds_[t % 2]; }

   private:
    std::vector<Topology> rounds_;
  };
  const GiveAndPass schedule(give, pass);
  EXPECT_EQ(product(schedule, 2)[2 * 3 + 0], 0.25);
  EXPECT_EQ(product(schedule, 2, 1)[2 * 3 + 0], 0.0);
  EXPECT_EQ(product(schedule, 1), give.to_matrix());
  EXPECT_EQ(product(schedule, 0), (std::vector<double>{1, 0, 0, 0, 1, 0, 0, 0, 1}));
  EXPECT_TRUE(schedule.preserves_constants());
  EXPECT_FALSE(schedule.preserves_mean());
}

TEST(Contraction, InnerOuterExponentialPerRound) {
  // The geometric mean over 50 rounds, as one round alone does not contract at all.
  const std::vector<std::pair<int, double>> table = {{32, .937}, {64, .964}, {128, .965}};
  for (const auto& [size, expected] : table) {
    const SchedulePtr schedule = inner_outer_expo2(size, 8);
    EXPECT_NEAR(std::pow(contraction(*schedule, 50), 1.0 / 50.0), expected, 5.1e-4) << "size " << size;
  }
}

}  // namespace
}  // namespace bluefog
