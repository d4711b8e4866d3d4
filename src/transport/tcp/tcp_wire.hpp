#pragma once
/// @file tcp_wire.hpp  Messages between ranks over TCP: one control connection for each pair that talks, and
/// some for data.
///
/// Connections are opened when they are first needed, by whoever needs them first. If both ends dial at the
/// same time, the connection of the higher rank is used. One thread, the event loop, opens them, reads, and
/// watches over the peers; writing is tried on the sender's thread first.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/executor.hpp"
#include "base/fork_guard.hpp"
#include "base/job_key.hpp"
#include "transport/remote/message.hpp"
#include "transport/tcp/endpoint.hpp"
#include "transport/tcp/handshake.hpp"
#include "transport/tcp/socket.hpp"

namespace bluefog::transport::tcp {

struct WireOptions {
  Identity identity;
  SocketOptions sockets;
  bool encrypts = false;             ///< data connections too; equal on all ranks
  std::size_t data_connections = 1;  ///< for each peer that this rank dials; at most most_data_connections
  std::chrono::milliseconds start_timeout =
      std::chrono::seconds(120);  ///< until a peer must have been reached
  /// Where each rank listens; empty for this rank, and for ranks that it does not talk to by TCP.
  std::vector<std::vector<Endpoint>> addresses;
};

/// A peer that gave no sign of life in so many of this rank's heartbeats is lost.
inline constexpr int beats_until_lost = 5;

class TcpWire final : public remote::Wire {
 public:
  /// What has come from a peer: a message, or the news that it is lost.
  struct News {
    int peer = -1;
    std::optional<remote::Message> message;
    std::string loss;  ///< why it is lost, if there is no message; a second time if that is known better
  };

  /// @param ring  called on any thread when there is something to take, or room where there was none
  TcpWire(WireOptions options, std::vector<Listener> listeners, base::Executor& executor,
          std::function<void()> ring);
  ~TcpWire() override;

  void send(int peer, remote::Message message) override;
  void begin_batch() override;
  void end_batch() override;
  [[nodiscard]] bool has_room(int peer) override;
  /// Tells those peers that know of this rank.
  void send_left(std::span<const int> peers) override;

  /// Who takes notes, on the event loop's thread; nullptr: nobody.
  void set_note_sink(NoteSink* sink);

  [[nodiscard]] bool has_news() const;
  /// All news since the last time; those of one peer in their order. May be none, when there is room again.
  [[nodiscard]] std::vector<News> take_news();
  /// A peer has said what no rank says; nothing more of it is to be believed.
  void give_up(int peer, const std::string& reason);
  /// Somebody knows for certain that a peer has died, and why. What it has sent before is taken first.
  void tell_death(int peer, const std::string& reason);
  /// Writes what waits, and says good-bye; after send_left().
  void finish(base::Duration patience);

  /// "tcp <own address> to <the peer's>"; empty while there is no connection.
  [[nodiscard]] std::string path_to(int peer) const;
  /// Connections that were refused because the other end proved nothing.
  [[nodiscard]] std::uint64_t refused_strangers() const;

 private:
  class Impl;
  base::HomeProcess home_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bluefog::transport::tcp
