#pragma once
/// @file rendezvous.hpp  How the ranks of one host find each other: a UNIX socket that hands out file
/// descriptors.
///
/// The server (inside bfrun's agent of the host, or in the rank that leads it: muster.hpp) waits until every
/// rank of a generation has joined, then gives each the cards of all. In a job of several hosts it serves the
/// ranks of its own, and learns of others through its Upstream; their cards hold no descriptors. A generation
/// is one init() ... shutdown() of the job; ranks may join again after a shutdown. On the way of an operation
/// the server plays no part.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "base/fork_guard.hpp"
#include "base/job_key.hpp"
#include "base/unique_fd.hpp"
#include "membership/gathering.hpp"
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
  base::UniqueFd arena;                             ///< memfd of the arena; none of another host's rank
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

/// What a rendezvous serves.
struct ServedJob {
  std::uint64_t id = 0;  ///< random, differs from job to job
  base::JobKey key;
  int size = 0;
  int first_rank = 0;  ///< of this host
  int ranks = 0;       ///< of this host

  /// A new job whose ranks are all of this host.
  [[nodiscard]] static ServedJob on_one_host(int size);
};

/// Whoever gathers the ranks of all hosts. Each call of on_left() is answered by confirm_leave(), in the
/// order of the calls and of complete().
class Upstream {
 public:
  virtual ~Upstream() = default;
  virtual void on_waiting(const Seat& seat) = 0;
  virtual void on_left(int rank, std::uint64_t ticket) = 0;
};

/// Which ranks have not joined.
struct MissingRanks {
  std::vector<int> ranks;
  std::string hosts;  ///< names of hosts of which no rank has joined
};

/// Hosts the rendezvous of one job on an abstract UNIX socket. Only processes of the same user
/// may join. Everything happens in handlers of `io`, which one thread must run; that thread, or nobody else,
/// may destroy it.
class RendezvousServer {
 public:
  /// @throws std::system_error  if the socket cannot be made
  /// @param upstream  of a job of several hosts, outlives the server; nullptr for a job of this host alone
  RendezvousServer(asio::io_context& io, ServedJob job, Upstream* upstream = nullptr);
  ~RendezvousServer();
  RendezvousServer(const RendezvousServer&) = delete;
  RendezvousServer& operator=(const RendezvousServer&) = delete;
  /// For BLUEFOG_RENDEZVOUS, "unix:@bluefog-...".
  [[nodiscard]] const std::string& address() const noexcept;
  /// On the thread of `io`: whether all that ranks are to be told is on its way.
  [[nodiscard]] bool is_idle() const;

  // What comes from upstream, on the thread of `io`.
  void complete(const Generation& generation);
  /// @param missing  at that moment
  void confirm_leave(int rank, std::uint64_t ticket, const MissingRanks& missing);
  /// A rank of another host is lost; the ranks of this host are told.
  void tell_loss(int rank, const std::string& why);

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
  /// A rank of another host that is lost.
  struct Loss {
    int rank = -1;
    std::string why;
  };
  /// Readable when take_loss() may have something to tell.
  [[nodiscard]] int fd() const noexcept { return socket_.get(); }
  /// The next one that has been told; never waits. @returns nothing if there is none now
  [[nodiscard]] std::optional<Loss> take_loss();
  /// Whether no more can come.
  [[nodiscard]] bool has_ended() const noexcept { return has_ended_; }

  /// Leaves the job. A forked child has no part in it.
  ~RendezvousClient();
  RendezvousClient(const RendezvousClient&) = delete;
  RendezvousClient& operator=(const RendezvousClient&) = delete;
  /// For join(), which alone gets such a socket.
  RendezvousClient(base::UniqueFd socket, int size);

 private:
  base::UnsharedFd socket_;
  int size_;
  bool has_ended_ = false;
  base::HomeProcess home_;
};

}  // namespace bluefog::membership
