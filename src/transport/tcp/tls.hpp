#pragma once
/// @file tls.hpp  TLS 1.3 for a connection between ranks that have proved the job key to each other.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/job_key.hpp"

struct ssl_st;  // OpenSSL's SSL

namespace bluefog::transport::tcp {

/// A pre-shared key of one connection, with (EC)DHE: whoever learns the job key later cannot read what was
/// recorded. No certificates, no tickets, no early data. It sends and receives nothing itself: bytes of the
/// network go in and out as spans.
///
/// One thread may decrypt while another encrypts; each of both sides is one thread at a time.
class TlsSession {
 public:
  enum class End : std::uint8_t { Dialer, Listener };
  static constexpr std::size_t record_bytes = std::size_t{16} << 10;
  /// AES-GCM wears out: RFC 8446, section 5.5, allows five times as many.
  static constexpr std::uint64_t default_records_per_key = std::uint64_t{1} << 22;

  /// @param secret    of this connection alone, known to both ends
  /// @param identity  what both ends call it
  /// @throws Error if OpenSSL cannot
  TlsSession(End end, const base::JobKey& secret, std::string identity,
             std::uint64_t records_per_key = default_records_per_key);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  enum class Handshake : std::uint8_t { NeedsMore, Done, Failed };
  /// As far as what was received allows. What there is to send then is sent in any case.
  [[nodiscard]] Handshake shake_hands();

  // --- the reader
  /// Where the next bytes of the network go, once everything before is decrypted.
  [[nodiscard]] std::span<std::byte> space() noexcept { return received_; }
  void received(std::size_t bytes) noexcept { undecrypted_ = std::span(received_).first(bytes); }
  struct Read {
    enum class Status : std::uint8_t {
      Data,
      NeedsMore,
      Ended,   ///< the other end has said that it sends no more
      Forged,  ///< this comes from no one who knows the key, or not as it was sent
    };
    Status status = Status::NeedsMore;
    std::size_t bytes = 0;
    bool has_reply = false;  ///< there is something to send that nobody has encrypted
  };
  [[nodiscard]] Read decrypt(std::span<std::byte> out);

  // --- the writer
  /// At most a record of it. @returns bytes taken; 0 if the session is broken
  [[nodiscard]] std::size_t encrypt(base::Bytes data);
  /// Nothing more will be encrypted.
  void encrypt_end();
  /// What waits to be sent; part of it, if more is encrypted meanwhile.
  [[nodiscard]] base::Bytes to_send();
  void sent(std::size_t bytes) noexcept { sent_ += bytes; }
  [[nodiscard]] std::size_t unsent() const;
  void drop_unsent();

  /// @internal for OpenSSL
  struct Callbacks;

 private:
  struct Free {
    void operator()(ssl_st* ssl) const noexcept;
  };

  base::JobKey secret_;  // until the handshake is done
  std::string identity_;
  std::uint64_t records_per_key_;
  std::uint64_t records_ = 0;

  mutable std::mutex mutex_;       // guards the next two
  std::vector<std::byte> output_;  // encrypted
  std::unique_ptr<ssl_st, Free> ssl_;

  std::vector<std::byte> sending_;  // by the writer
  std::size_t sent_ = 0;            // of it
  std::vector<std::byte> received_;
  std::span<const std::byte> undecrypted_;
};

}  // namespace bluefog::transport::tcp
