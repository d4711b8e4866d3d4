// What somebody on the path sees of a conversation, and what becomes of ranks that do not agree on it.

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "mixing/row.hpp"
#include "transport/tcp/frame.hpp"
#include "unit/wires.hpp"

namespace bluefog::transport::tcp {
namespace {

using namespace std::chrono_literals;
using test::RawSocket;
using test::Stations;

/// Sits where a rank is said to listen, passes everything on, and keeps a copy.
class Eavesdropper {
 public:
  Eavesdropper() : listener_(std::move(listen_on({}, {}).front())), thread_([this] { run(); }) {}
  ~Eavesdropper() {
    is_over_ = true;
    thread_.join();
  }
  [[nodiscard]] const Endpoint& endpoint() const { return listener_.endpoint; }
  void pass_on_to(const Endpoint& endpoint) {
    const std::lock_guard lock(mutex_);
    target_ = endpoint;
  }
  [[nodiscard]] bool has_seen(std::string_view text) {
    const auto bytes = std::as_bytes(std::span(text));
    const std::lock_guard lock(mutex_);
    return std::any_of(seen_.begin(), seen_.end(), [&](const auto& stream) {
      return std::search(stream.begin(), stream.end(), bytes.begin(), bytes.end()) != stream.end();
    });
  }
  [[nodiscard]] std::size_t bytes_seen() {
    const std::lock_guard lock(mutex_);
    std::size_t bytes = 0;
    for (const auto& stream : seen_) bytes += stream.size();
    return bytes;
  }
  /// Connections on which tensors went in either direction.
  [[nodiscard]] std::size_t busy_connections() {
    const std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(
        std::count_if(seen_.begin(), seen_.end(), [](const auto& stream) { return stream.size() > 50'000; }));
  }

 private:
  void run() {
    while (!is_over_) {
      pollfd entry{listener_.fd.get(), POLLIN, 0};
      if (::poll(&entry, 1, 1) == 1) {
        const std::lock_guard lock(mutex_);
        sockets_.emplace_back(listener_);
        sockets_.emplace_back(target_);
        seen_.resize(sockets_.size());
      }
      for (std::size_t i = 0; i < sockets_.size(); ++i) pass_on(i);
    }
  }
  void pass_on(std::size_t from) {
    std::array<std::byte, 1 << 16> bytes;
    if (!sockets_[from].is_readable(0ms)) return;
    const std::size_t count = sockets_[from].receive_some(bytes);
    const RawSocket& to = sockets_[from ^ 1U];
    if (count == 0) return to.finish();
    {
      const std::lock_guard lock(mutex_);
      seen_[from].insert(seen_[from].end(), bytes.begin(),
                         bytes.begin() + static_cast<std::ptrdiff_t>(count));
    }
    to.send(std::span(bytes).first(count));
  }

  Listener listener_;
  Endpoint target_;
  std::vector<RawSocket> sockets_;  // pairs of both sides
  std::mutex mutex_;
  std::vector<std::vector<std::byte>> seen_;
  std::atomic<bool> is_over_{false};
  std::thread thread_;
};

constexpr std::string_view name = "the gradient of the layer with the secret name";
constexpr std::string_view pattern = "elements of a tensor";

remote::Payload tensor(std::size_t bytes) {
  remote::Payload payload(bytes);
  for (std::size_t i = 0; i < bytes; ++i)
    payload.data()[i] = static_cast<std::byte>(pattern[i % pattern.size()]);
  return payload;
}

/// A post with an eager tensor.
remote::Message post(std::uint64_t number, std::size_t bytes) {
  mixing::MixingRow row;
  row.rank = 0;
  remote::Message message;
  message.kind = remote::Message::Kind::Post;
  message.key = {1, number};
  message.post.key = message.key;
  message.post.chunk_bytes = 65536;
  message.post.dims = 1;
  message.post.dtype = DType::UInt8;
  message.post.extents[0] = static_cast<std::int64_t>(bytes);
  message.post.is_named = 1;
  message.row = std::make_shared<const std::vector<std::uint64_t>>(mixing::encode(row));
  message.name = name;
  message.payload = tensor(bytes);
  return message;
}

remote::Message chunk(std::size_t bytes) {
  remote::Message message;
  message.kind = remote::Message::Kind::Chunk;
  message.key = {1, 1};
  message.payload = tensor(bytes);
  return message;
}

TEST(Tensors, TakeAllConnections) {
  constexpr std::size_t connections = 3;
  Eavesdropper eavesdropper;
  Stations stations(
      2, [](WireOptions& options) { options.data_connections = connections; }, "127.0.0.1",
      [&](auto& addresses) {
        eavesdropper.pass_on_to(addresses[1].front());
        addresses[1] = {eavesdropper.endpoint()};
      });
  const auto until = std::chrono::steady_clock::now() + test::patience;
  while (eavesdropper.busy_connections() < connections) {
    ASSERT_LT(std::chrono::steady_clock::now(), until);
    // More than the socket of one takes.
    for (int burst = 0; burst < 8; ++burst) stations[0].wire->send(1, chunk(4'000'000));
    stations[1].wait_for(8);
  }
}

class Secrecy : public testing::TestWithParam<bool> {};

TEST_P(Secrecy, IsOfNamesAlwaysAndOfTensorsWhereTheyAreEncrypted) {
  Eavesdropper eavesdropper;
  Stations stations(
      2, [](WireOptions& options) { options.encrypts = GetParam(); }, "127.0.0.1",
      [&](auto& addresses) {
        eavesdropper.pass_on_to(addresses[1].front());
        addresses[1] = {eavesdropper.endpoint()};
      });
  // Until the data connection is there, everything goes by the other.
  std::size_t sent = 0;
  const auto is_in_plain = [&] { return eavesdropper.has_seen(pattern); };
  const auto until = std::chrono::steady_clock::now() + 10s;
  for (int i = 1; i <= 200 && !is_in_plain() && std::chrono::steady_clock::now() < until; ++i) {
    stations[0].wire->send(1, post(static_cast<std::uint64_t>(i), 1000));
    stations[0].wire->send(1, post(static_cast<std::uint64_t>(1000 + i), 50'000));
    stations[0].wire->send(1, chunk(100'000));
    sent += 151'000;
    stations[1].wait_for_at_least(static_cast<std::size_t>(3 * i));
  }
  EXPECT_GE(eavesdropper.bytes_seen(), sent);
  EXPECT_EQ(is_in_plain(), !GetParam());
  EXPECT_FALSE(eavesdropper.has_seen(name));
  for (const auto& news : stations[1].take()) {
    ASSERT_TRUE(news.message) << news.loss;
    const auto& payload = news.message->payload;
    if (payload.empty()) continue;
    const auto expected = tensor(payload.size());
    EXPECT_TRUE(std::equal(payload.data(), payload.data() + payload.size(), expected.data()));
  }
}

INSTANTIATE_TEST_SUITE_P(Encryption, Secrecy, testing::Bool(),
                         [](const auto& info) { return info.param ? "OfAll" : "OfControl"; });

TEST(Agreement, OnEncryptionIsMissedByBothEnds) {
  int rank = 0;
  Stations stations(2, [&](WireOptions& options) { options.encrypts = rank++ == 0; });
  stations[1].wire->send(0, chunk(10));
  for (int at = 0; at < 2; ++at) {
    const std::string loss = stations[at].wait_for(1).front().loss;
    EXPECT_NE(loss.find("rank 0 encrypts tensors and rank 1 does not"), std::string::npos) << loss;
    EXPECT_NE(loss.find("BLUEFOG_ENCRYPT"), std::string::npos) << loss;
  }
}

TEST(Agreement, OnTheKeyIsMissedByBothEnds) {
  Stations stations(2, [](WireOptions& options) {
    options.start_timeout = 200ms;
    options.identity.key = base::JobKey::random();
  });
  stations[0].wire->send(1, chunk(10));
  stations[1].wire->send(0, chunk(10));
  for (int at = 0; at < 2; ++at) {
    const std::string loss = stations[at].wait_for(1).front().loss;
    EXPECT_NE(loss.find("does not know the key of this job"), std::string::npos) << loss;
  }
}

/// Where rank 1 has proved the key, and then goes on in a way of its own.
struct Proven {
  explicit Proven(bool encrypts = false)
      : stations(2, [&](WireOptions& options) { options.encrypts = encrypts; }) {}
  void expect_undisturbed() {
    stations[1].wire->send(0, chunk(10));
    const auto news = stations[0].wait_for(1);
    EXPECT_TRUE(news.front().message) << news.front().loss;
  }
  Stations stations;
};

TEST(Garbage, AfterTheProofOpensNothing) {
  Proven job;
  const Identity& identity = job.stations[1].identity;
  const RawSocket garbage(job.stations[0].endpoints.front());
  ASSERT_EQ(test::ask(garbage, test::hello_of(identity, 0), identity.key), Verdict::Accepted);
  garbage.send(std::vector<std::byte>(100'000, std::byte{0x42}));
  EXPECT_TRUE(garbage.is_closed_by_peer());
  job.expect_undisturbed();
}

TEST(Garbage, AMessageInPlainTextOpensNoControlConnection) {
  Proven job;
  const Identity& identity = job.stations[1].identity;
  const RawSocket plain(job.stations[0].endpoints.front());
  ASSERT_EQ(test::ask(plain, test::hello_of(identity, 0), identity.key), Verdict::Accepted);
  std::vector<std::byte> farewell{use_byte};
  encode(remote::Message{}, 1, farewell);
  plain.send(farewell);
  EXPECT_TRUE(plain.is_closed_by_peer());
  job.expect_undisturbed();
}

TEST(Garbage, WithinAnEncryptedConnectionLosesThePeer) {
  Proven job;
  const test::RawRank rank(job.stations, 1, 0);
  rank.socket().send(std::vector<std::byte>(1000, std::byte{0x17}));
  const std::string loss = job.stations[0].wait_for(1).front().loss;
  EXPECT_NE(loss.find("changed on the way, or forged"), std::string::npos) << loss;
}

TEST(Garbage, ADataConnectionCarriesNothingButChunks) {
  Proven job;
  const Identity& identity = job.stations[1].identity;
  const test::RawRank control(job.stations, 1, 0);
  Hello hello = test::hello_of(identity, 0);
  hello.role = Role::Data;
  test::RawDial data(job.stations[0].endpoints.front(), hello, identity.key);
  ASSERT_TRUE(data.use());
  // What anybody on the path could write into it.
  std::vector<std::byte> farewell;
  encode(remote::Message{}, 1, farewell);
  data.send(farewell);
  const auto news = job.stations[0].wait_for(1);
  EXPECT_FALSE(news.front().message);
  EXPECT_NE(news.front().loss.find("what no rank sends"), std::string::npos) << news.front().loss;
}

TEST(Breaks, AnEncryptedConnectionThatEndsWithoutAWordIsNoFarewell) {
  Proven job;
  const test::RawRank rank(job.stations, 1, 0);
  rank.socket().finish();
  const auto news = job.stations[0].wait_for(1);
  EXPECT_FALSE(news.front().message);
  EXPECT_NE(news.front().loss, "");
}

}  // namespace
}  // namespace bluefog::transport::tcp
