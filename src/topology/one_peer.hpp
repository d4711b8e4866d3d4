#pragma once
/// @file one_peer.hpp  To whom one rank sends in round t, where every rank sends to at most one.

#include <bit>
#include <cstdint>
#include <string>

#include <bluefog/topology.hpp>

namespace bluefog::topology {

/// Number of distances 2^j that one-peer exponential-2 goes through, ceil(log2 size); 1 for a single rank.
[[nodiscard]] constexpr int exponential_period(int size) noexcept {
  return size == 1 ? 1 : static_cast<int>(std::bit_width(static_cast<unsigned>(size - 1)));
}

/// 2^(t mod exponential_period(size)): below size, or 1 if size is 1.
[[nodiscard]] constexpr int exponential_distance(int size, std::uint64_t t) noexcept {
  return 1 << static_cast<int>(t % static_cast<std::uint64_t>(exponential_period(size)));
}

/// The out-neighbour that `rank` sends to in round t, going around clockwise; `rank` itself if it has none.
[[nodiscard]] int clockwise_choice(const Topology& topology, int rank, std::uint64_t t);

/// The first round in which `sender` chooses `receiver`, one of its out-neighbours.
[[nodiscard]] std::uint64_t turn_of(const Topology& topology, int sender, int receiver);

/// Machines of equal size.
struct Machines {
  int count;
  int local_size;

  /// @throws InvalidArgument unless world_size is a multiple of local_size; `what` begins the message
  Machines(const std::string& what, int world_size, int local_size);
  /// Whether local ranks inside and outside can be told apart.
  [[nodiscard]] bool has_inner_and_outer() const noexcept { return count > 1 && local_size > 2; }
};

}  // namespace bluefog::topology
