#pragma once
/// @file spectral.hpp  How fast mixing brings the ranks together.
///
/// W is a mixing matrix, J the matrix that averages exactly (1/n everywhere), and the error of a matrix is
/// the spectral norm of its difference to J: the largest factor by which it can shrink, or grow, the distance
/// of the ranks' values from their mean. Errors are exact to about 1e-13, and 0 to within rounding where the
/// average is exact.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <bluefog/ceca.hpp>
#include <bluefog/export.hpp>
#include <bluefog/schedule.hpp>
#include <bluefog/topology.hpp>

namespace bluefog {

/// The largest singular value of a dense matrix of size * size entries, exact to about size * 1e-16 of
/// itself. Takes O(size^3). @throws InvalidArgument for a wrong number of entries
[[nodiscard]] BLUEFOG_API double spectral_norm(int size, std::span<const double> matrix);

/// ||W - J||_2: every round shrinks the distance from the mean at least by this factor, if W preserves both
/// constants and the mean. 0 for a job of one.
[[nodiscard]] BLUEFOG_API double consensus_rate(const Topology& topology);

/// 1 - consensus_rate(topology).
[[nodiscard]] BLUEFOG_API double spectral_gap(const Topology& topology);

/// What `rounds` rounds from round `first` on do together: W_(first + rounds - 1) ... W_first, row-major,
/// [receiver * size + sender]. The identity for no rounds. Takes O(size * edges) a round.
[[nodiscard]] BLUEFOG_API std::vector<double> product(const Schedule& schedule, std::uint64_t rounds,
                                                      std::uint64_t first = 0);

/// What every rank's x holds after `rounds` rounds from round 0 on, if h = x at the start: row-major,
/// [rank * size + whose value at the start]. Takes O(size^2) a round.
[[nodiscard]] BLUEFOG_API std::vector<double> product(const CecaSchedule& schedule, std::uint64_t rounds);

/// ||W_(rounds - 1) ... W_0 - J||_2. For no rounds 1 (0 for a job of one).
[[nodiscard]] BLUEFOG_API double contraction(const Schedule& schedule, std::uint64_t rounds);

/// How many rounds it takes until the distance from the mean, over all ranks and whatever the values at the
/// start, is at most `tolerance` times that at the start: the smallest t with ||W^t - J||_2 <= tolerance.
/// (Where weights of mixed sign let the norm rise on the way: some t at which it sinks below.) Takes O(log t)
/// products of matrices.
/// @return nothing if W does not preserve both constants and the mean, or if it takes more than max_rounds
/// @throws InvalidArgument unless tolerance is above 0
[[nodiscard]] BLUEFOG_API std::optional<std::uint64_t> rounds_to_consensus(
    const Topology& topology, double tolerance = 1e-10, std::uint64_t max_rounds = std::uint64_t{1} << 40);

/// The same for a schedule: the smallest t with ||W_(t - 1) ... W_0 - J||_2 <= tolerance. Goes round by
/// round, in O(size * edges) each.
/// @return nothing if some round does not preserve both constants and the mean, or if it takes more than
/// max_rounds
/// @throws InvalidArgument unless tolerance is above 0
[[nodiscard]] BLUEFOG_API std::optional<std::uint64_t> rounds_to_consensus(
    const Schedule& schedule, double tolerance = 1e-10, std::uint64_t max_rounds = 100'000);

}  // namespace bluefog
