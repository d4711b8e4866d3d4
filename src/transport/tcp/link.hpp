#pragma once
/// @file link.hpp  The connections between this rank and one other, and what waits for them.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <asio/io_context.hpp>

#include "transport/remote/message.hpp"
#include "transport/tcp/connection.hpp"

namespace bluefog::transport::tcp {

class Link {
 public:
  enum class State : std::uint8_t {
    Idle,    ///< nobody wanted it yet
    Wanted,  ///< being opened
    Up,
    Closed,  ///< for good: the peer is lost, or one of both has left
  };

  explicit Link(const PeerFacts& facts) : peer(facts) {}

  // --- any thread
  /// Writes a message at once, or keeps it. @param may_wait  for write_held(), if it is small
  /// @returns whether the link has to be opened now
  [[nodiscard]] bool send(remote::Message message, bool may_wait = false);
  /// Writes the messages that have waited.
  void write_held();
  /// Says that this rank has left, to a peer that knows it.
  void leave();
  /// Whether more chunks had better not wait here already; if not, somebody is told when that changes.
  [[nodiscard]] bool has_room();
  /// "tcp <own address> to <the peer's>"; empty while it is not up.
  [[nodiscard]] std::string path() const;

  // --- the event loop's thread
  void attach_control(std::shared_ptr<Connection> opened);
  void attach_data(std::shared_ptr<Connection> opened);
  /// Drops everything. @returns whether it was not closed before
  bool close();
  /// Nothing more will be sent. @returns whether all is written that was there to be
  bool finish();
  void send_heartbeat();
  /// The socket takes more. @returns whether somebody waits for room that there is now
  [[nodiscard]] bool flush(Connection& connection);
  [[nodiscard]] State state() const;
  /// The control connection is the last.
  [[nodiscard]] std::vector<std::shared_ptr<Connection>> connections() const;
  /// Puts a message in its place in the order. @returns whether it can have this number
  [[nodiscard]] bool sort_in(std::uint64_t sequence, remote::Message message,
                             std::vector<remote::Message>& ready);

  const PeerFacts peer;
  /// Called with the link's lock held, when a connection has something to write that its socket does not
  /// take.
  std::function<void(std::shared_ptr<Connection>)> on_full;

  // What the event loop remembers of the peer.
  bool is_dialled_by_us = false;
  std::weak_ptr<Socket> attempt;  ///< the own dialling, while it is under way
  int admissions = 0;             ///< dials of the peer for control that were accepted, but not used yet
  std::vector<bool> known_connections;  ///< for data, by index
  bool has_left = false;                ///< the peer has said so
  bool is_lost = false;
  std::string reason_of_death;  ///< if somebody else knows that it has died
  bool was_heard = false;       ///< since the last tick
  int silent_ticks = 0;
  int ticks_since_end = 0;  ///< since one of the connections has ended

 private:
  [[nodiscard]] Connection& connection_for(const remote::Message& message);
  void send_locked(remote::Message message, bool may_wait = false);
  void write(Connection& connection, const std::vector<std::byte>& head, remote::Payload payload);
  void wait_if_full(Connection& connection);
  [[nodiscard]] std::size_t unsent_bytes() const;

  std::atomic<bool> holds_messages_{false};
  mutable std::mutex mutex_;
  State state_ = State::Idle;
  std::shared_ptr<Connection> control_;
  std::vector<std::shared_ptr<Connection>> data_;
  std::deque<Outgoing> waiting_;  ///< for the link to be open
  std::size_t waiting_bytes_ = 0;
  std::uint64_t sent_ = 0;  ///< messages that keep their order
  bool wants_room_ = false;
  bool is_leaving_ = false;
  bool is_finishing_ = false;
  std::vector<std::byte> head_;  ///< the last one; kept for its memory

  std::uint64_t received_ = 0;  ///< in their order
  std::map<std::uint64_t, remote::Message> early_;
  std::size_t early_bytes_ = 0;
};

}  // namespace bluefog::transport::tcp
