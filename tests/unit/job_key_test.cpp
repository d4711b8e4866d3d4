// What is computed with the job key, against the published examples.

#include "base/job_key.hpp"

#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace bluefog::base {
namespace {

std::vector<std::byte> bytes_of(const std::string& hexadecimal) {
  std::vector<std::byte> bytes;
  for (std::size_t at = 0; at < hexadecimal.size(); at += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(hexadecimal.substr(at, 2), nullptr, 16)));
  }
  return bytes;
}

Digest digest_of(const std::string& hexadecimal) {
  Digest digest{};
  const auto bytes = bytes_of(hexadecimal);
  std::copy(bytes.begin(), bytes.end(), digest.begin());
  return digest;
}

JobKey key_of(const std::string& hexadecimal) {
  return JobKey(digest_of(hexadecimal));  // the rest is zero, which is how HMAC pads shorter keys
}

TEST(JobKey, AuthenticatesAsHmacSha256) {
  // RFC 4231, test case 2: the parts are what is authenticated, wherever they are cut.
  const auto text = bytes_of("7768617420646f2079612077616e7420666f72206e6f7468696e673f");
  const Digest expected = digest_of("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  const JobKey key = key_of("4a656665");
  EXPECT_EQ(authenticate(key, {text}), expected);
  EXPECT_EQ(authenticate(key, {Bytes(text).first(5), {}, Bytes(text).subspan(5)}), expected);
}

TEST(JobKey, DerivesAsHkdfSha256) {
  // RFC 5869, test case 1, the first 32 of its 42 bytes.
  const std::vector<std::byte> secret(22, std::byte{0x0b});
  EXPECT_EQ(hkdf_sha256(secret, bytes_of("000102030405060708090a0b0c"), bytes_of("f0f1f2f3f4f5f6f7f8f9")),
            digest_of("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"));
}

TEST(JobKey, IsRandomAndDiffersByPurpose) {
  const JobKey key = JobKey::random();
  EXPECT_TRUE(key.is_set());
  EXPECT_FALSE(JobKey().is_set());
  const auto text_of = [](const JobKey& any) {
    return std::vector<std::byte>(any.reveal().begin(), any.reveal().end());
  };
  EXPECT_NE(text_of(key), text_of(JobKey::random()));
  const auto salt = bytes_of("01");
  EXPECT_NE(text_of(key.derive(salt, "a")), text_of(key.derive(salt, "b")));
  EXPECT_NE(text_of(key.derive(salt, "a")), text_of(key.derive({}, "a")));
  EXPECT_EQ(text_of(key.derive(salt, "a")), text_of(key.derive(salt, "a")));
}

template <class T>
concept Printable = requires(std::ostream& out, const T& value) {
  out << value;
};
static_assert(!Printable<JobKey>, "a key must not come into any log");

}  // namespace
}  // namespace bluefog::base
