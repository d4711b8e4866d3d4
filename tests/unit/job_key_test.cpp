// What is computed with the job key, against the published examples.

#include "base/job_key.hpp"

#include <algorithm>
#include <fstream>
#include <ostream>
#include <string>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bluefog/error.hpp>

#include "base/key_file.hpp"
#include "base/unique_fd.hpp"

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

/// A file of this process's own, gone at the end.
class KeyFile {
 public:
  KeyFile(const std::string& text, mode_t mode) : path_("/tmp/bluefog-key-" + std::to_string(::getpid())) {
    std::ofstream(path_, std::ios::binary) << text;
    ::chmod(path_.c_str(), mode);
  }
  ~KeyFile() { ::unlink(path_.c_str()); }
  KeyFile(const KeyFile&) = delete;
  KeyFile& operator=(const KeyFile&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::string problem_of(const std::string& path) {
  try {
    (void)read_key_file(path);
    return {};
  } catch (const InvalidArgument& error) {
    return error.what();
  }
}

TEST(KeyFile, GivesTheSameKeyForTheSameBytes) {
  const std::string text = "0123456789abcdef0123456789abcdef\n";
  const auto key_of = [](const std::string& content) {
    const KeyFile file(content, 0600);
    const JobKey key = read_key_file(file.path());
    return std::vector<std::byte>(key.reveal().begin(), key.reveal().end());
  };
  EXPECT_EQ(key_of(text), key_of(text));
  EXPECT_NE(key_of(text), key_of(text + "x"));
  const KeyFile file(text, 0400);
  const UniqueFd inherited(::open(file.path().c_str(), O_RDONLY));
  EXPECT_TRUE(read_key_file("/dev/fd/" + std::to_string(inherited.get())).is_set());
}

TEST(KeyFile, IsOfItsOwnerAlone) {
  const std::string text(32, 'x');
  for (const mode_t mode : {0640U, 0604U, 0620U, 0666U}) {
    const KeyFile file(text, mode);
    const std::string problem = problem_of(file.path());
    EXPECT_NE(
        problem.find("BLUEFOG_JOB_KEY_FILE: " + file.path() + " may be read or changed by others: chmod 600"),
        std::string::npos)
        << problem;
    EXPECT_EQ(problem.find(text), std::string::npos);
  }
}

TEST(KeyFile, IsLongEnoughAndNotTooLong) {
  for (const std::size_t length : {std::size_t{0}, std::size_t{31}, std::size_t{4097}}) {
    const KeyFile file(std::string(length, 'x'), 0600);
    EXPECT_NE(problem_of(file.path()).find("must hold 32 to 4096 bytes"), std::string::npos) << length;
  }
  EXPECT_NE(problem_of("/no/such/file").find("/no/such/file cannot be read: No such file"),
            std::string::npos);
  EXPECT_NE(problem_of("/tmp").find("/tmp is no file"), std::string::npos);
}

template <class T>
concept Printable = requires(std::ostream& out, const T& value) {
  out << value;
};
static_assert(!Printable<JobKey>, "a key must not come into any log");

}  // namespace
}  // namespace bluefog::base
