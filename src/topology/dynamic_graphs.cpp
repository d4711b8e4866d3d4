#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <bluefog/dynamic_graphs.hpp>
#include <bluefog/error.hpp>

#include "topology/checks.hpp"
#include "topology/one_peer.hpp"

namespace bluefog {

namespace topology {

namespace {

/// How many of the ascending `neighbors` have a number of at most `rank`.
std::size_t count_up_to(std::span<const Topology::Neighbor> neighbors, int rank) {
  const auto first_above =
      std::upper_bound(neighbors.begin(), neighbors.end(), rank,
                       [](int wanted, const Topology::Neighbor& neighbor) { return wanted < neighbor.rank; });
  return static_cast<std::size_t>(first_above - neighbors.begin());
}

}  // namespace

int clockwise_choice(const Topology& topology, int rank, std::uint64_t t) {
  const std::span<const Topology::Neighbor> neighbors = topology.out_neighbors(rank);
  if (neighbors.empty()) return rank;
  const std::size_t turn = t % neighbors.size();
  return neighbors[(count_up_to(neighbors, rank) + turn) % neighbors.size()].rank;
}

std::uint64_t turn_of(const Topology& topology, int sender, int receiver) {
  const std::span<const Topology::Neighbor> neighbors = topology.out_neighbors(sender);
  const std::size_t position = count_up_to(neighbors, receiver) - 1;
  return (position + neighbors.size() - count_up_to(neighbors, sender)) % neighbors.size();
}

Machines::Machines(const std::string& what, int world_size, int local)
    : count(local >= 1 ? world_size / local : 0), local_size(local) {
  check_size(what, world_size);
  if (local >= 1 && world_size % local == 0) return;
  throw InvalidArgument(what + ": " + std::to_string(world_size) + " ranks do not make machines of " +
                        std::to_string(local) +
                        " ranks each: every machine must hold the same number, 1 or more");
}

}  // namespace topology

namespace {

int modulo(int a, int n) {
  return (a % n + n) % n;
}

/// Sends `distance` forwards around `size` ranks, so receives from as far back. `distance` is in [1, size].
SendRecv circulant_exchange(int size, int rank, int distance) {
  if (size == 1) return {};
  const int to_the_end = size - distance;
  const int receiver = rank < to_the_end ? rank + distance : rank - to_the_end;
  const int sender = rank >= distance ? rank - distance : rank + to_the_end;
  return {{receiver}, {sender}};
}

/// The exchange of local rank `local`, which is not `outgoing`, with those of its machine that are not
/// either: `distance` steps around the local ranks, in [1, local_size - 2], where `outgoing` does not count
/// as a step.
SendRecv inner_exchange(int local_size, int first_of_machine, int local, int outgoing, int distance) {
  const int steps_to_outgoing = modulo(outgoing - local, local_size);
  const int steps_from_outgoing = local_size - steps_to_outgoing;
  const int forwards = distance + (distance >= steps_to_outgoing ? 1 : 0);
  const int backwards = distance + (distance >= steps_from_outgoing ? 1 : 0);
  return {{first_of_machine + modulo(local + forwards, local_size)},
          {first_of_machine + modulo(local - backwards, local_size)}};
}

/// The exchange of a local rank with its likes `distance` machines away.
SendRecv outer_exchange(const topology::Machines& machines, int rank, int distance) {
  const int local = rank % machines.local_size;
  SendRecv exchange = circulant_exchange(machines.count, rank / machines.local_size, distance);
  for (int& receiver : exchange.send) receiver = receiver * machines.local_size + local;
  for (int& sender : exchange.recv) sender = sender * machines.local_size + local;
  return exchange;
}

SendRecv inner_outer_exchange(const topology::Machines& machines, int rank, std::uint64_t t,
                              int outer_distance, int inner_distance) {
  const int local = rank % machines.local_size;
  const int outgoing = static_cast<int>(t % static_cast<std::uint64_t>(machines.local_size));
  if (local == outgoing) return outer_exchange(machines, rank, outer_distance);
  return inner_exchange(machines.local_size, rank - local, local, outgoing, inner_distance);
}

}  // namespace

SendRecv dynamic_one_peer_send_recv(const Topology& topology, int rank, std::uint64_t t) {
  topology::check_rank("dynamic_one_peer_send_recv", rank, topology.size());
  SendRecv exchange;
  const int receiver = topology::clockwise_choice(topology, rank, t);
  if (receiver != rank) exchange.send.push_back(receiver);
  for (const Topology::Neighbor& sender : topology.in_neighbors(rank)) {
    if (topology::clockwise_choice(topology, sender.rank, t) == rank) exchange.recv.push_back(sender.rank);
  }
  return exchange;
}

SendRecv one_peer_exponential_send_recv(int size, int rank, std::uint64_t t) {
  topology::check_size("one_peer_exponential_send_recv", size);
  topology::check_rank("one_peer_exponential_send_recv", rank, size);
  return circulant_exchange(size, rank, topology::exponential_distance(size, t));
}

SendRecv exp2_machine_send_recv(int world_size, int local_size, int rank, int local_rank, std::uint64_t t) {
  const std::string what = "exp2_machine_send_recv";
  const topology::Machines machines(what, world_size, local_size);
  topology::check_rank(what, rank, world_size);
  if (rank % local_size != local_rank) {
    throw InvalidArgument(what + ": rank " + std::to_string(rank) + " has local rank " +
                          std::to_string(rank % local_size) + " on machines of " +
                          std::to_string(local_size) + " consecutive ranks, but " +
                          std::to_string(local_rank) + " was given: give rank mod local size");
  }
  return one_peer_exponential_send_recv(machines.count, rank / local_size, t);
}

SendRecv inner_outer_ring_send_recv(int world_size, int local_size, int rank, std::uint64_t t) {
  const topology::Machines machines("inner_outer_ring_send_recv", world_size, local_size);
  topology::check_rank("inner_outer_ring_send_recv", rank, world_size);
  if (!machines.has_inner_and_outer()) return circulant_exchange(world_size, rank, 1);
  return inner_outer_exchange(machines, rank, t, 1, 1);
}

SendRecv inner_outer_expo2_send_recv(int world_size, int local_size, int rank, std::uint64_t t) {
  const topology::Machines machines("inner_outer_expo2_send_recv", world_size, local_size);
  topology::check_rank("inner_outer_expo2_send_recv", rank, world_size);
  if (!machines.has_inner_and_outer()) return one_peer_exponential_send_recv(world_size, rank, t);
  return inner_outer_exchange(machines, rank, t, topology::exponential_distance(machines.count, t),
                              topology::exponential_distance(local_size - 1, t));
}

}  // namespace bluefog
