#pragma once
/// @file frame.hpp  How messages look on a connection. All numbers are little-endian.
///
/// A frame is a header, a head (everything of the message but tensor bytes), and a payload. Nothing that
/// comes from the network is believed: what no rank sends is refused, and memory is taken only up to the
/// limits.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "transport/remote/message.hpp"

namespace bluefog::transport::tcp {

/// Of handshake and frames. Ranks of different versions do not talk.
inline constexpr std::uint8_t protocol_version = 4;

inline constexpr std::size_t header_bytes = 24;
/// Error texts are cut to this length.
inline constexpr std::size_t longest_text = 4096;
/// A payload is at most one chunk.
inline constexpr std::size_t longest_payload = std::size_t{4} << 20;

/// What a rank believes of the other end of a connection.
struct PeerFacts {
  int rank = -1;  ///< the other end, as it has proved
  int size = 0;   ///< ranks of the job
};

struct Header {
  enum class Kind : std::uint8_t {
    // As remote::Message::Kind.
    Post,
    Chunk,
    Progress,
    Passed,
    Complaint,
    Left,
    Note,
    Heartbeat,  ///< nothing but a sign of life
  };
  Kind kind = Kind::Heartbeat;
  Phase phase = Phase::Posted;
  std::uint32_t head_bytes = 0;
  std::uint32_t payload_bytes = 0;
  /// Number of the message among those from rank to rank that keep their order, from 1; else 0.
  std::uint64_t sequence = 0;
};

[[nodiscard]] constexpr std::size_t longest_head(int size) {
  constexpr std::size_t fixed = 256;
  return fixed + sizeof(std::uint64_t) * (3 + 4 * static_cast<std::size_t>(size)) + longest_shown_name +
         longest_text;
}

/// Appends header and head of a message; its payload comes right behind them.
void encode(const remote::Message& message, std::uint64_t sequence, std::vector<std::byte>& out);
void encode_heartbeat(std::vector<std::byte>& out);

/// @returns nothing if these bytes are no header of this version, or announce more than is allowed
[[nodiscard]] std::optional<Header> decode_header(std::span<const std::byte, header_bytes> bytes,
                                                  const PeerFacts& peer);
/// The message that belongs to a header, without its payload; nothing if no rank sends such a head.
[[nodiscard]] std::optional<remote::Message> decode_head(const Header& header,
                                                         std::span<const std::byte> head,
                                                         const PeerFacts& peer);

}  // namespace bluefog::transport::tcp
