#pragma once
/// @file fd_message.hpp  Messages with file descriptors between processes of one host (SOCK_SEQPACKET,
/// SCM_RIGHTS).

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/unique_fd.hpp"

namespace bluefog::membership {

/// Most descriptors that one message carries.
inline constexpr std::size_t max_fds_per_message = 4;

enum class Transfer {
  done,
  again,   ///< would block, or too many descriptors are under way: try once more later
  closed,  ///< the other end has closed, or the connection is broken
};

struct Received {
  Transfer state = Transfer::again;
  std::size_t bytes = 0;
  bool truncated = false;  ///< longer than the buffer, or with more descriptors than allowed
  std::vector<base::UniqueFd> fds;
};

/// Sends one message whole, or not at all. Never blocks, never raises SIGPIPE.
[[nodiscard]] Transfer send_message(int socket, std::span<const std::byte> message, std::span<const int> fds);

/// Receives one message; descriptors come close-on-exec. Never blocks.
[[nodiscard]] Received receive_message(int socket, std::span<std::byte> buffer);

/// True if a process of this effective user holds the other end.
[[nodiscard]] bool peer_is_same_user(int socket);

}  // namespace bluefog::membership
