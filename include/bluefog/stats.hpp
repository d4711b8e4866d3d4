#pragma once
/// @file stats.hpp  What a rank has done since its Context was made, and on whom it waited.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace bluefog {

/// Between this rank and one other.
struct PeerStats {
  /// Which peer.
  int rank = -1;
  /// How it is reached: "shared memory", "tcp 10.0.0.1 to 10.0.0.2" (own address first), "simulated network",
  /// or empty where no connection is open.
  std::string path;
  /// Operations that have ended here, well or not, and that the peer took part in.
  std::uint64_t operations = 0;
  /// Bytes of tensors that this rank has read from the peer's memory, or received from it.
  std::uint64_t bytes_received = 0;
  /// Bytes of tensors that this rank has written to the peer's memory, or published or sent for it.
  std::uint64_t bytes_sent = 0;
  /// Time in which an operation of this rank could not go on, and this peer was among those that it lacked:
  /// the peer had not made the call, or not done its part. Operations that wait at the same time add up.
  std::chrono::nanoseconds waited{0};
};

/// Of one kind of operation.
struct OperationStats {
  std::uint64_t count = 0;   ///< that have ended here, well or not
  std::uint64_t failed = 0;  ///< of these
  std::uint64_t bytes = 0;   ///< of this rank's own input tensors
  std::chrono::nanoseconds time{
      0};  ///< from start to end, waiting included; operations at the same time add up
};

/// This rank's arena, in bytes.
struct MemoryStats {
  std::size_t reserved = 0;   ///< of address space
  std::size_t populated = 0;  ///< backed by memory: tensors, published chunks, the board
  std::size_t allocated = 0;  ///< handed out: by allocate_shared, and for what the rank itself needs
};

/// Slices, in which ranks of one host mix shared memory, move other bytes than messages would: a rank reads
/// its slice of every member's tensor, and writes that slice of every member's result. So do slices that
/// cross between hosts: a rank sends slices of its host's tensors, which it has read, to the ranks that mix
/// them.
struct Stats {
  /// Ascending by rank; those with which this rank has had an operation.
  std::vector<PeerStats> peers;
  /// By name ("neighbor_allreduce", ...); those of which there was one.
  std::map<std::string, OperationStats> operations;
  std::size_t in_flight = 0;  ///< operations that have not ended
  /// Of this rank's arena.
  MemoryStats memory;
};

}  // namespace bluefog
