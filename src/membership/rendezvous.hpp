#pragma once
/// @file rendezvous.hpp  How the ranks of one host find each other: a UNIX socket that hands out file
/// descriptors.
///
/// The server (inside bfrun) waits until every rank of a generation has joined, then gives each the cards of
/// all. A generation is one init() ... shutdown() of the job; ranks may join again after a shutdown. On the
/// way of an operation the server plays no part.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

#include "base/fork_guard.hpp"
#include "base/job_key.hpp"
#include "base/unique_fd.hpp"
#include "transport/tcp/endpoint.hpp"

namespace asio {
class io_context;
}

namespace bluefog::membership {

/// What one rank brings when it joins.
struct Card {
  int rank = -1;
  pid_t pid = 0;
  std::uint64_t arena_bytes = 0;                    ///< reserved size of the arena
  base::UniqueFd arena;                             ///< memfd of the arena
  base::UniqueFd pidfd;                             ///< readable when the process has died, zombies included
  std::uint64_t placement = 0;                      ///< hash of which ranks share memory, as it believes
  std::vector<transport::tcp::Endpoint> endpoints;  ///< where it listens; at most most_endpoints
};
inline constexpr std::size_t most_endpoints = 8;

/// All ranks of one generation, as one of them sees it.
struct Roster {
  std::uint64_t job = 0;         ///< random, differs from job to job
  std::uint64_t generation = 0;  ///< counts from 0
  base::JobKey key;              ///< of the job, known to its ranks and to the rendezvous alone
  int size = 0;
  std::vector<Card> members;  ///< by rank; the own card has no descriptors
};

/// Hosts the rendezvous of one job of one host on an abstract UNIX socket. Only processes of the same user
/// may join. Everything happens in handlers of `io`, which one thread must run; that thread, or nobody else,
/// may destroy it.
class RendezvousServer {
 public:
  /// @throws std::system_error  if the socket cannot be made
  RendezvousServer(asio::io_context& io, int size);
  ~RendezvousServer();
  RendezvousServer(const RendezvousServer&) = delete;
  RendezvousServer& operator=(const RendezvousServer&) = delete;
  /// For BLUEFOG_RENDEZVOUS, "unix:@bluefog-...".
  [[nodiscard]] const std::string& address() const noexcept;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;  // shared with the handlers that the io_context may still hold
};

/// A rank's open connection to the rendezvous; closing it is how the server learns that the rank has left.
class RendezvousClient {
 public:
  /// Joins the next generation and waits until all ranks have. Closes the descriptors of `own` (pass
  /// duplicates). `roster` is written only on success.
  /// @throws InvalidArgument  rank out of range or alive already, size or version differs, a malformed
  /// address
  /// @throws Timeout          not all ranks joined before `timeout`; names those that are missing
  /// @throws Error            no server at that address, or it vanished
  static std::unique_ptr<RendezvousClient> join(const std::string& address, int size, Card own,
                                                std::chrono::milliseconds timeout, Roster& roster);
  /// Leaves the job. A forked child has no part in it.
  ~RendezvousClient();
  RendezvousClient(const RendezvousClient&) = delete;
  RendezvousClient& operator=(const RendezvousClient&) = delete;
  /// For join(), which alone gets such a socket.
  explicit RendezvousClient(base::UniqueFd socket);

 private:
  base::UnsharedFd socket_;
  base::HomeProcess home_;
};

}  // namespace bluefog::membership
