#pragma once
/// @file connection.hpp  One connection of a link: what is written to it, encrypted or not, and what waits.

#include <cstddef>
#include <deque>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "transport/remote/message.hpp"
#include "transport/tcp/frame_reader.hpp"
#include "transport/tcp/opened.hpp"

namespace bluefog::transport::tcp {

/// A message on its way: its header and head, then its payload.
struct Outgoing {
  std::vector<std::byte> head;
  remote::Payload payload;
  std::size_t sent = 0;  ///< of both
  [[nodiscard]] std::size_t left() const { return head.size() + payload.size() - sent; }
};

/// Messages that wait for each other are written when they are so many bytes.
inline constexpr std::size_t most_held_bytes = std::size_t{64} << 10;

/// What is written is guarded by the link; the rest belongs to the event loop.
struct Connection {
  Connection(Opened opened, const PeerFacts& peer, Role role)
      : socket(std::move(opened.socket)), tls(std::move(opened.tls)), reader(peer, role == Role::Data) {}

  /// Writes at once what the socket takes; keeps the rest. Takes a copy of the head if it must.
  void send(const std::vector<std::byte>& head, remote::Payload payload);
  /// Lets a message wait for write_held(), flush() or send(), which come before long.
  void hold(const std::vector<std::byte>& head, const remote::Payload& payload);
  /// Writes what hold() took, by one system call.
  void write_held();
  /// Writes what waits for the socket, as far as that takes it.
  void flush();
  /// No more is written: the peer sees the end once it has read all.
  void finish();
  /// Writes at once what the socket takes; keeps the rest, as a copy.
  void write(const std::vector<std::byte>& head, remote::Payload payload);
  /// What waits here, outside of the kernel.
  [[nodiscard]] std::size_t unsent_bytes() const { return held.size() + unwritten_bytes(); }
  /// Whether the socket took less than it was given. What hold() took has not been given to it.
  [[nodiscard]] bool waits_for_socket() const { return unwritten_bytes() > 0; }
  /// Where the next bytes of the network go.
  [[nodiscard]] std::span<std::byte> space() { return tls != nullptr ? tls->space() : reader.space(); }

  std::shared_ptr<Socket> socket;
  std::unique_ptr<TlsSession> tls;  ///< none: what is written goes as it is
  std::deque<Outgoing> queue;
  std::size_t queued_bytes = 0;
  std::vector<std::byte> held;  ///< behind the queue; keeps its memory
  bool is_broken = false;       ///< for writing; reading will tell why
  bool is_ending = false;       ///< the end is encrypted, but may wait
  bool is_finished = false;     ///< nothing more is written
  bool is_waiting = false;      ///< until the socket takes more

  FrameReader reader;
  bool has_ended = false;      ///< the peer sends no more on it
  bool is_broken_off = false;  ///< it has ended without the peer's doing so

 private:
  [[nodiscard]] std::size_t unwritten_bytes() const {
    return queued_bytes + (tls != nullptr ? tls->unsent() : 0);
  }
};

}  // namespace bluefog::transport::tcp
