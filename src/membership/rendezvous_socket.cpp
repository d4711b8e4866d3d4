#include "membership/rendezvous_socket.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <system_error>

#include <poll.h>
#include <sys/socket.h>

#include <bluefog/version.hpp>

#include "membership/rendezvous.hpp"
#include "membership/rendezvous_address.hpp"
#include "membership/rendezvous_protocol.hpp"

namespace bluefog::membership {

std::uint64_t random_number() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

std::string hexadecimal(std::uint64_t number) {
  std::string text;
  for (int shift = 60; shift >= 0; shift -= 4) text += "0123456789abcdef"[(number >> shift) & 15];
  return text;
}

bool is_readable(int fd) {
  pollfd entry{fd, POLLIN, 0};
  return fd >= 0 && ::poll(&entry, 1, 0) > 0;
}

bool has_hung_up(int socket) {
  pollfd entry{socket, POLLRDHUP, 0};
  return ::poll(&entry, 1, 0) > 0 && (entry.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

base::UniqueFd listen_at(const std::string& address, int ranks) {
  base::UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const SocketAddress name = parse_rendezvous_address(address);
  if (!socket.valid() || ::bind(socket.get(), name.get(), name.length) != 0 ||
      ::listen(socket.get(), std::max(ranks, 128)) != 0) {
    throw std::system_error(errno, std::generic_category(), "the rendezvous cannot listen at " + address);
  }
  return socket;
}

ServedJob ServedJob::on_one_host(int size) {
  return {random_number(), base::JobKey::random(), size, 0, size};
}

std::string problem_of_version(std::span<const std::byte> message) {
  protocol::Header header;
  protocol::Version version;
  if (message.size() < sizeof(header) + sizeof(version)) return {};
  std::memcpy(static_cast<void*>(&header), message.data(), sizeof(header));
  std::memcpy(version.data(), message.data() + sizeof(header), sizeof(version));
  const std::string theirs(protocol::read_text(version));
  const bool is_first = header.magic == protocol::magic &&
                        (header.kind == protocol::Kind::hello || header.kind == protocol::Kind::arrival);
  if (!is_first || theirs == BLUEFOG_VERSION) return {};
  return "its version is " + theirs +
         ", but the rendezvous is of " BLUEFOG_VERSION ": install one version for both";
}

}  // namespace bluefog::membership
