#pragma once
/// @file rendezvous_connection.hpp  What the rendezvous keeps of each process that has connected to it.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>

#include "base/fork_guard.hpp"
#include "membership/rendezvous.hpp"
#include "transport/tcp/socket.hpp"

namespace bluefog::membership {

enum class Standing {
  stranger,  ///< has not said Hello
  waiting,   ///< belongs to the generation that is forming
  leaving,   ///< has given up, but its generation may be complete already
  member,    ///< has, or is getting, the roster of a complete generation
  refused,
};

// The server may live in a rank, whose forked children must keep none of this.
struct HeldCard {
  Card facts;  // without descriptors
  base::UnsharedFd arena;
  base::UnsharedFd pidfd;
};

struct Outgoing {
  std::vector<std::byte> bytes;
  std::shared_ptr<const HeldCard> card;  // whose descriptors go along
};

struct Connection {
  Connection(asio::io_context& io, base::UniqueFd fd) : socket(io, std::move(fd)), retry(io) {}

  transport::tcp::Socket socket;
  asio::steady_timer retry;
  Standing standing = Standing::stranger;
  int rank = -1;
  std::uint64_t ticket = 0;
  std::shared_ptr<const HeldCard> card;
  std::deque<Outgoing> outgoing;
};

}  // namespace bluefog::membership
