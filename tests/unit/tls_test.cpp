// TLS between two ends of one process: what each may rely on.

#include "transport/tcp/tls.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace bluefog::transport::tcp {
namespace {

using Handshake = TlsSession::Handshake;
using Status = TlsSession::Read::Status;

/// Everything that waits at one end comes to the other. @returns what has travelled
std::vector<std::byte> carry(TlsSession& from, TlsSession& to) {
  const base::Bytes bytes = from.to_send();
  std::vector<std::byte> seen(bytes.begin(), bytes.end());
  EXPECT_LE(seen.size(), to.space().size());
  std::copy(seen.begin(), seen.end(), to.space().begin());
  to.received(seen.size());
  from.sent(seen.size());
  return seen;
}

struct Pair {
  explicit Pair(const base::JobKey& dialers = key(), const base::JobKey& listeners = key(),
                const std::string& listeners_identity = "a to b", std::uint64_t records_per_key = 1000)
      : dialer(TlsSession::End::Dialer, dialers, "a to b", records_per_key),
        listener(TlsSession::End::Listener, listeners, listeners_identity, records_per_key) {}

  static const base::JobKey& key() {
    static const base::JobKey key = base::JobKey::random();
    return key;
  }
  /// @returns whether both say that it is done
  bool shake_hands() {
    for (int turn = 0; turn < 4; ++turn) {
      const Handshake there = dialer.shake_hands();
      carry(dialer, listener);
      const Handshake here = listener.shake_hands();
      carry(listener, dialer);
      if (there == Handshake::Failed || here == Handshake::Failed) return false;
      if (there == Handshake::Done && here == Handshake::Done) return true;
    }
    return false;
  }

  TlsSession dialer;
  TlsSession listener;
};

base::Bytes bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string decrypt_all(TlsSession& tls) {
  std::string text;
  std::array<std::byte, 1000> space;
  while (true) {
    const TlsSession::Read read = tls.decrypt(space);
    if (read.status != Status::Data) return text;
    text.append(reinterpret_cast<const char*>(space.data()), read.bytes);
  }
}

TEST(Tls, CarriesBothWaysWhatNobodyReadsOnTheWay) {
  Pair pair;
  ASSERT_TRUE(pair.shake_hands());
  const std::string text = "the name of an operation";
  EXPECT_EQ(pair.dialer.encrypt(bytes_of(text)), text.size());
  const auto seen = carry(pair.dialer, pair.listener);
  const auto plain = bytes_of(text);
  EXPECT_EQ(std::search(seen.begin(), seen.end(), plain.begin(), plain.end()), seen.end());
  EXPECT_EQ(decrypt_all(pair.listener), text);
  EXPECT_EQ(pair.listener.encrypt(bytes_of(text)), text.size());
  carry(pair.listener, pair.dialer);
  EXPECT_EQ(decrypt_all(pair.dialer), text);
}

TEST(Tls, FailsWithAnotherKey) {
  Pair pair(Pair::key(), base::JobKey::random());
  EXPECT_FALSE(pair.shake_hands());
}

TEST(Tls, FailsWithAnotherIdentity) {
  Pair pair(Pair::key(), Pair::key(), "b to a");
  EXPECT_FALSE(pair.shake_hands());
}

TEST(Tls, NoticesWhatWasChangedOnTheWay) {
  Pair pair;
  ASSERT_TRUE(pair.shake_hands());
  EXPECT_GT(pair.dialer.encrypt(bytes_of("1000")), 0U);
  auto bytes = carry(pair.dialer, pair.listener);
  pair.listener.space()[bytes.size() - 1] ^= std::byte{1};
  std::array<std::byte, 100> space{};
  EXPECT_EQ(pair.listener.decrypt(space).status, Status::Forged);
}

TEST(Tls, NoticesWhatIsSentTwice) {
  Pair pair;
  ASSERT_TRUE(pair.shake_hands());
  EXPECT_GT(pair.dialer.encrypt(bytes_of("1000")), 0U);
  const auto bytes = carry(pair.dialer, pair.listener);
  EXPECT_EQ(decrypt_all(pair.listener), "1000");
  std::copy(bytes.begin(), bytes.end(), pair.listener.space().begin());
  pair.listener.received(bytes.size());
  std::array<std::byte, 100> space{};
  EXPECT_EQ(pair.listener.decrypt(space).status, Status::Forged);
}

TEST(Tls, TellsAnEndFromABreak) {
  Pair pair;
  ASSERT_TRUE(pair.shake_hands());
  std::array<std::byte, 100> space{};
  EXPECT_EQ(pair.listener.decrypt(space).status, Status::NeedsMore);
  pair.dialer.encrypt_end();
  carry(pair.dialer, pair.listener);
  EXPECT_EQ(pair.listener.decrypt(space).status, Status::Ended);
  // The other direction goes on.
  EXPECT_EQ(pair.listener.encrypt(bytes_of("farewell")), 8U);
  carry(pair.listener, pair.dialer);
  EXPECT_EQ(decrypt_all(pair.dialer), "farewell");
}

TEST(Tls, ChangesItsKeysInTime) {
  Pair pair(Pair::key(), Pair::key(), "a to b", 3);
  ASSERT_TRUE(pair.shake_hands());
  for (int i = 0; i < 20; ++i) {
    const std::string text = "record " + std::to_string(i);
    ASSERT_EQ(pair.dialer.encrypt(bytes_of(text)), text.size());
    carry(pair.dialer, pair.listener);
    ASSERT_EQ(decrypt_all(pair.listener), text);
    ASSERT_EQ(pair.listener.encrypt(bytes_of(text)), text.size());
    carry(pair.listener, pair.dialer);
    ASSERT_EQ(decrypt_all(pair.dialer), text);
  }
}

TEST(Tls, TakesARecordAtATime) {
  Pair pair;
  ASSERT_TRUE(pair.shake_hands());
  const std::string text(40'000, 'x');
  EXPECT_EQ(pair.dialer.encrypt(bytes_of(text)), TlsSession::record_bytes);
  const std::size_t unsent = pair.dialer.unsent();
  EXPECT_GT(unsent, TlsSession::record_bytes);
  EXPECT_LT(unsent, TlsSession::record_bytes + 100);
}

}  // namespace
}  // namespace bluefog::transport::tcp
