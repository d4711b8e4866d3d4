#pragma once
/// @file dialer.hpp  Opens a connection to a rank, and proves the job key to it.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>

#include "transport/tcp/endpoint.hpp"
#include "transport/tcp/handshake.hpp"
#include "transport/tcp/opened.hpp"
#include "transport/tcp/socket.hpp"

namespace bluefog::transport::tcp {

struct Dialled {
  enum class Outcome : std::uint8_t {
    Accepted,
    Refused,          ///< the peer wants none
    Leaving,          ///< the peer leaves the job
    OtherEncryption,  ///< only one of both encrypts data connections
    Deserted,         ///< nobody listens there
    Failed,           ///< may be better next time
  };
  Outcome outcome = Outcome::Failed;
  std::string address;
  std::string problem;  ///< where it failed, and why
  Opened opened;        ///< if accepted
};

/// One attempt.
/// @param key       of handshakes
/// @param patience  with the peer, until it has answered
/// @param attempt   the socket, for as long as the attempt is under way: whoever closes it ends the attempt
[[nodiscard]] asio::awaitable<Dialled> dial(asio::io_context& io, Endpoint endpoint, Hello hello,
                                            const base::JobKey& key, const SocketOptions& options,
                                            std::chrono::nanoseconds patience,
                                            std::weak_ptr<Socket>& attempt);

}  // namespace bluefog::transport::tcp
