#pragma once
/// @file wires.hpp  TcpWires that are connected to each other, and ends of connections that are none.

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/executor.hpp"
#include "transport/tcp/frame.hpp"
#include "transport/tcp/opened.hpp"
#include "transport/tcp/tcp_wire.hpp"

namespace bluefog::transport::tcp::test {

inline constexpr auto patience = std::chrono::seconds(30);

/// One rank's wire, and what has come on it.
struct Station {
  std::vector<Endpoint> endpoints;
  Identity identity;
  std::vector<TcpWire::News> news;

  void ring() {
    const std::lock_guard lock(mutex);
    if (fails) throw std::runtime_error(std::exchange(fails, {}).value());
    ++ring_count;
    rung.notify_all();
  }
  /// What happens next on the wire's thread throws this.
  void fail(const std::string& text) {
    const std::lock_guard lock(mutex);
    fails = text;
  }
  [[nodiscard]] int rings() {
    const std::lock_guard lock(mutex);
    return ring_count;
  }
  /// Until it rings once more.
  void wait_for_ring(int seen) {
    std::unique_lock lock(mutex);
    EXPECT_TRUE(rung.wait_for(lock, patience, [&] { return ring_count > seen; })) << "it does not ring";
  }
  void wait_for_at_least(std::size_t count) {
    const auto until = std::chrono::steady_clock::now() + patience;
    while (true) {
      const int seen = rings();
      for (auto& one : wire->take_news()) news.push_back(std::move(one));
      if (news.size() >= count) return;
      std::unique_lock lock(mutex);
      if (!rung.wait_until(lock, until, [&] { return ring_count > seen; })) {
        ADD_FAILURE() << "only " << news.size() << " of " << count << " messages have come";
        return;
      }
    }
  }
  /// The next so many news, which must come.
  std::vector<TcpWire::News> wait_for(std::size_t count) {
    wait_for_at_least(count);
    EXPECT_EQ(news.size(), count);
    news.resize(std::max(news.size(), count));
    return std::exchange(news, {});
  }
  std::vector<TcpWire::News> take() {
    for (auto& one : wire->take_news()) news.push_back(std::move(one));
    return std::exchange(news, {});
  }
  void leave() {
    std::vector<int> peers;
    for (int peer = 0; peer < identity.size; ++peer) {
      if (peer != identity.rank) peers.push_back(peer);
    }
    wire->send_left(peers);
    wire->finish(std::chrono::seconds(20));
  }

  std::mutex mutex;
  std::condition_variable rung;
  int ring_count = 0;
  std::optional<std::string> fails;
  std::unique_ptr<TcpWire> wire;  // ends before what it rings
};

class Stations {
 public:
  using Addresses = std::vector<std::vector<Endpoint>>;
  explicit Stations(int size, const std::function<void(WireOptions&)>& change = {},
                    std::string_view where = "127.0.0.1",
                    const std::function<void(Addresses&)>& redirect = {}) {
    const base::JobKey key = base::JobKey::random();
    std::vector<std::vector<Listener>> listeners;
    Addresses addresses;
    for (int rank = 0; rank < size; ++rank) {
      listeners.push_back(listen_on(parse_addresses(where), {}));
      addresses.push_back({listeners.back().front().endpoint});
    }
    if (redirect) redirect(addresses);
    for (int rank = 0; rank < size; ++rank) {
      auto& station = *stations_.emplace_back(std::make_unique<Station>());
      station.identity = {rank, size, 77, 3, Identity::handshake_key(key, 77, 3)};
      station.endpoints = addresses[static_cast<std::size_t>(rank)];
      WireOptions options;
      options.identity = station.identity;
      options.addresses = addresses;
      options.addresses[static_cast<std::size_t>(rank)].clear();
      if (change) change(options);
      station.wire =
          std::make_unique<TcpWire>(std::move(options), std::move(listeners[static_cast<std::size_t>(rank)]),
                                    executor_, [&station] { station.ring(); });
    }
  }
  [[nodiscard]] Station& operator[](int rank) { return *stations_[static_cast<std::size_t>(rank)]; }

 private:
  base::ThreadExecutor executor_;
  std::vector<std::unique_ptr<Station>> stations_;
};

/// A blocking socket.
class RawSocket {
 public:
  explicit RawSocket(const Endpoint& endpoint)
      : fd_(::socket(endpoint.is_v6 != 0 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const SocketName name = name_of(endpoint);
    is_connected_ = ::connect(fd_.get(), name.get(), name.length) == 0;
  }
  /// What has connected to a listener.
  explicit RawSocket(const Listener& listener) {
    pollfd entry{listener.fd.get(), POLLIN, 0};
    if (::poll(&entry, 1, static_cast<int>(std::chrono::milliseconds(patience).count())) != 1) return;
    fd_ = base::UniqueFd(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
    is_connected_ = fd_.valid();
  }
  [[nodiscard]] bool is_connected() const { return is_connected_; }
  void send(std::span<const std::byte> bytes) const {
    static_cast<void>(::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
  }
  /// Sends nothing more.
  void finish() const { ::shutdown(fd_.get(), SHUT_WR); }
  /// Fills `bytes`, unless the other end closes before, or says nothing for long.
  [[nodiscard]] bool receive(std::span<std::byte> bytes) const {
    while (!bytes.empty()) {
      if (!is_readable(patience)) return false;
      const ssize_t count = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
      if (count <= 0) return false;
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
    return true;
  }
  /// @returns bytes; 0 if the other end closes before, or says nothing for long
  [[nodiscard]] std::size_t receive_some(std::span<std::byte> bytes) const {
    if (!is_readable(patience)) return 0;
    const ssize_t count = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
    return count > 0 ? static_cast<std::size_t>(count) : 0;
  }
  /// Whether the other end ends the connection, with or without having said something.
  [[nodiscard]] bool is_closed_by_peer(std::chrono::milliseconds time = patience) const {
    std::array<std::byte, 512> ignored{};
    while (is_readable(time)) {
      if (::recv(fd_.get(), ignored.data(), ignored.size(), 0) <= 0) return true;
    }
    return false;
  }
  [[nodiscard]] bool is_readable(std::chrono::milliseconds time) const {
    pollfd entry{fd_.get(), POLLIN, 0};
    return ::poll(&entry, 1, static_cast<int>(time.count())) > 0;
  }
  /// Takes what there is.
  void drain() const {
    static thread_local std::array<std::byte, 1 << 16> ignored;
    if (is_readable(std::chrono::milliseconds(10))) {
      static_cast<void>(::recv(fd_.get(), ignored.data(), ignored.size(), 0));
    }
  }

 private:
  base::UniqueFd fd_;
  bool is_connected_ = false;
};

/// What a dialler says first, as `rank` to `peer`.
inline Hello hello_of(const Identity& identity, int peer) {
  Hello hello;
  hello.from = identity.rank;
  hello.to = peer;
  hello.size = identity.size;
  hello.job = identity.job;
  hello.generation = identity.generation;
  hello.data_connections = 1;
  base::fill_random(hello.nonce);
  return hello;
}

/// The dialler's part of a handshake, without its last word. @returns the verdict; nothing if the listener
/// hangs up
/// @param secret  gets that of the connection
inline std::optional<Verdict> ask(const RawSocket& socket, const Hello& hello, const base::JobKey& key,
                                  base::JobKey* secret = nullptr) {
  const HelloBytes text = encode(hello);
  socket.send(text);
  ChallengeBytes challenge{};
  if (!socket.receive(challenge)) return {};
  socket.send(make_proof(key, text, challenge));
  VerdictBytes verdict{};
  if (!socket.receive(verdict)) return {};
  if (secret != nullptr) *secret = connection_secret(key, text, challenge);
  return read_verdict(key, verdict, text, challenge);
}

/// The listener's part, up to the verdict. @returns what the dialler has said
inline std::optional<Hello> answer(const RawSocket& socket, const base::JobKey& key, Verdict verdict) {
  HelloBytes hello{};
  if (!socket.receive(hello)) return {};
  const ChallengeBytes challenge = make_challenge(key, hello, {});
  socket.send(challenge);
  ProofBytes proof{};
  if (!socket.receive(proof) || !base::equal(proof, make_proof(key, hello, challenge))) return {};
  socket.send(make_verdict(key, verdict, hello, challenge));
  return decode_hello(hello);
}

/// A connection that a member of the job dials by hand, and on which it does only what the test says.
class RawDial {
 public:
  RawDial(const Endpoint& endpoint, const Hello& hello, const base::JobKey& key)
      : socket_(endpoint), hello_(hello), verdict_(ask(socket_, hello, key, &secret_)) {}

  [[nodiscard]] std::optional<Verdict> verdict() const { return verdict_; }
  [[nodiscard]] const RawSocket& socket() const { return socket_; }

  /// Says the last word. @returns whether the connection is open
  [[nodiscard]] bool use() {
    if (!is_encrypted(hello_)) {
      socket_.send(std::span(&use_byte, 1));
      return true;
    }
    tls_ = std::make_unique<TlsSession>(TlsSession::End::Dialer, secret_, tls_identity(hello_));
    while (true) {
      const auto state = tls_->shake_hands();
      send_encrypted();
      if (state != TlsSession::Handshake::NeedsMore) return state == TlsSession::Handshake::Done;
      if (!read_some()) return false;
    }
  }
  void send(std::string_view text) const { send(std::as_bytes(std::span(text))); }
  void send(std::span<const std::byte> bytes) const {
    if (tls_ == nullptr) return socket_.send(bytes);
    while (!bytes.empty()) bytes = bytes.subspan(tls_->encrypt(bytes));
    send_encrypted();
  }
  /// Sends nothing more, and says so.
  void finish() const {
    if (tls_ != nullptr) {
      tls_->encrypt_end();
      send_encrypted();
    }
    socket_.finish();
  }
  /// Fills `bytes`, unless the other end closes before, or says nothing for long.
  [[nodiscard]] bool receive(std::span<std::byte> bytes) const {
    if (tls_ == nullptr) return socket_.receive(bytes);
    while (!bytes.empty()) {
      const auto read = tls_->decrypt(bytes);
      bytes = bytes.subspan(read.bytes);
      if (read.bytes == 0 && !read_some()) return false;
    }
    return true;
  }

 private:
  void send_encrypted() const {
    const base::Bytes bytes = tls_->to_send();
    socket_.send(bytes);
    tls_->sent(bytes.size());
  }
  [[nodiscard]] bool read_some() const {
    const std::size_t bytes = socket_.receive_some(tls_->space());
    tls_->received(bytes);
    return bytes > 0;
  }

  RawSocket socket_;
  Hello hello_;
  base::JobKey secret_;
  std::optional<Verdict> verdict_;
  std::unique_ptr<TlsSession> tls_;
};

/// A member of the job that has proved who it is, and does only what the test says. Its station stands idle.
class RawRank {
 public:
  RawRank(Stations& stations, int rank, int peer)
      : RawRank(stations[peer].endpoints.front(), stations[rank].identity, peer) {}
  RawRank(const Endpoint& endpoint, const Identity& identity, int peer)
      : dial_(endpoint, hello_of(identity, peer), identity.key) {
    EXPECT_EQ(dial_.verdict(), Verdict::Accepted);
    EXPECT_TRUE(dial_.use());
  }
  void send(std::string_view text) const { dial_.send(text); }
  void send(std::span<const std::byte> bytes) const { dial_.send(bytes); }
  void finish() const { dial_.finish(); }
  /// Gives signs of life and no others.
  void stay_alive(int beats, std::chrono::milliseconds heartbeat) const {
    std::vector<std::byte> beat;
    encode_heartbeat(beat);
    for (int i = 0; i < beats; ++i) {
      send(beat);
      std::this_thread::sleep_for(heartbeat);
    }
  }
  void read_until(const std::function<bool()>& condition) const {
    const auto until = std::chrono::steady_clock::now() + patience;
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), until);
      dial_.socket().drain();
    }
  }
  [[nodiscard]] const RawSocket& socket() const { return dial_.socket(); }

 private:
  RawDial dial_;
};

}  // namespace bluefog::transport::tcp::test
