#pragma once
/// @file frame_reader.hpp  Cuts what comes on a connection into messages.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "transport/tcp/frame.hpp"

namespace bluefog::transport::tcp {

/// Bytes go in by space() and wrote(), in pieces of any size; messages come out of next(). Large payloads are
/// received where they stay. Holds at most a buffer, one head and one payload.
class FrameReader {
 public:
  /// @param is_for_data  nothing but bytes of tensors is taken
  explicit FrameReader(const PeerFacts& peer, bool is_for_data = false);

  /// Where the next bytes go; never empty, unless something was refused.
  [[nodiscard]] std::span<std::byte> space();
  /// So many bytes were put there.
  void wrote(std::size_t bytes);

  enum class Result : std::uint8_t {
    Incomplete,  ///< more bytes are needed
    Message,
    Heartbeat,
    Refused,  ///< no rank sends this; the connection is of no use any more
  };
  /// @param sequence  0 for a message that may overtake others
  [[nodiscard]] Result next(remote::Message& message, std::uint64_t& sequence);

 private:
  [[nodiscard]] std::size_t buffered() const { return end_ - begin_; }
  [[nodiscard]] bool read_header();
  [[nodiscard]] bool read_head();
  void read_payload();

  PeerFacts peer_;
  bool is_for_data_;
  std::vector<std::byte> buffer_;
  std::size_t begin_ = 0;  ///< of what is in the buffer and not cut yet
  std::size_t end_ = 0;
  std::optional<Header> header_;
  std::optional<remote::Message> message_;  ///< its head was read; the payload is coming
  std::size_t payload_filled_ = 0;
  bool is_refused_ = false;
};

}  // namespace bluefog::transport::tcp
