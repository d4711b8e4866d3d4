#include "base/key_file.hpp"

#include <array>
#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bluefog/error.hpp>

#include "base/unique_fd.hpp"

namespace bluefog::base {
namespace {

constexpr std::size_t least_bytes = 32;
constexpr std::size_t most_bytes = 4096;

[[noreturn]] void fail(const std::string& path, const std::string& problem) {
  throw InvalidArgument("BLUEFOG_JOB_KEY_FILE: " + path + " " + problem);
}

void check_access(int fd, const std::string& path) {
  struct stat facts {};
  if (::fstat(fd, &facts) != 0 || S_ISDIR(facts.st_mode)) fail(path, "is no file");
  if (facts.st_uid != ::geteuid() && facts.st_uid != 0) {
    fail(path, "belongs to another user, who may know the key; make one of your own");
  }
  if ((facts.st_mode & 077U) != 0) fail(path, "may be read or changed by others: chmod 600 " + path);
}

}  // namespace

JobKey read_key_file(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!file.valid()) fail(path, "cannot be read: " + std::generic_category().message(errno));
  check_access(file.get(), path);
  std::array<std::byte, most_bytes + 1> text{};
  std::size_t length = 0;
  while (length < text.size()) {
    const ssize_t bytes = ::read(file.get(), text.data() + length, text.size() - length);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) fail(path, "cannot be read: " + std::generic_category().message(errno));
    if (bytes == 0) break;
    length += static_cast<std::size_t>(bytes);
  }
  if (length < least_bytes || length > most_bytes) {
    wipe(text);
    fail(path, "must hold 32 to 4096 bytes that nobody can guess: (umask 077; head -c 32 /dev/urandom > " +
                   path + ")");
  }
  constexpr std::string_view purpose = "bluefog job key file";
  Digest derived = hkdf_sha256(std::span(text).first(length), {}, std::as_bytes(std::span(purpose)));
  const JobKey key(derived);
  wipe(derived);
  wipe(text);
  return key;
}

}  // namespace bluefog::base
