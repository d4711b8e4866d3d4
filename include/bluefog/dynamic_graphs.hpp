#pragma once
/// @file dynamic_graphs.hpp  With whom one rank talks in round t of a time-varying graph.
///
/// Pure functions of the round. The lists of all ranks agree: b is in a's `send` exactly if a is in b's
/// `recv`. No rank is in its own lists, so in a job of one they are empty. The lists leave the weights to the
/// caller; schedule.hpp has the same graphs as objects that own their weights.

#include <cstdint>
#include <vector>

#include <bluefog/export.hpp>
#include <bluefog/topology.hpp>

namespace bluefog {

/// The ranks that one rank sends to and receives from in one round, each ascending.
struct SendRecv {
  /// To whom.
  std::vector<int> send;
  /// From whom.
  std::vector<int> recv;
  friend bool operator==(const SendRecv&, const SendRecv&) = default;
};

/// Every rank sends to one out-neighbour, going around them clockwise: its entry t mod degree of the list
/// ordered by (neighbour - rank) mod size. On an irregular graph a rank may receive from several or from
/// none. Nothing if `rank` has no out-neighbour.
/// @throws InvalidArgument for a rank out of range
[[nodiscard]] BLUEFOG_API SendRecv dynamic_one_peer_send_recv(const Topology& topology, int rank,
                                                              std::uint64_t t);

/// In round t rank i sends to i + 2^(t mod ceil(log2 size)). @throws InvalidArgument for a rank out of range
[[nodiscard]] BLUEFOG_API SendRecv one_peer_exponential_send_recv(int size, int rank, std::uint64_t t);

/// One-peer exponential-2 over machines: the lists hold machine numbers.
/// @param world_size  number of ranks, a multiple of local_size
/// @param local_rank  rank mod local_size
/// @throws InvalidArgument if the machines are not of equal size, a rank is out of range or contradicts
/// local_rank
[[nodiscard]] BLUEFOG_API SendRecv exp2_machine_send_recv(int world_size, int local_size, int rank,
                                                          int local_rank, std::uint64_t t);

/// In round t local rank t mod local_size of each machine sends to its like on the next machine; the others
/// form a ring within the machine. On one machine, or with fewer than three ranks a machine: a ring of all
/// ranks, rank i sends to i + 1.
/// @throws InvalidArgument if the machines are not of equal size or a rank is out of range
[[nodiscard]] BLUEFOG_API SendRecv inner_outer_ring_send_recv(int world_size, int local_size, int rank,
                                                              std::uint64_t t);

/// In round t local rank t mod local_size of each machine sends to its like 2^j machines further; the others
/// do one-peer exponential-2 among themselves. On one machine, or with fewer than three ranks a machine: the
/// same as one_peer_exponential_send_recv over all ranks.
/// @throws InvalidArgument if the machines are not of equal size or a rank is out of range
[[nodiscard]] BLUEFOG_API SendRecv inner_outer_expo2_send_recv(int world_size, int local_size, int rank,
                                                               std::uint64_t t);

}  // namespace bluefog
