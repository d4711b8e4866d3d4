#include "membership/muster_secrets.hpp"

#include <array>
#include <cstring>
#include <string_view>
#include <vector>

#include <unistd.h>

#include "base/little_endian.hpp"
#include "transport/tcp/handshake.hpp"

namespace bluefog::membership {
namespace {

std::vector<std::byte> bytes_of(std::uint64_t number) {
  std::vector<std::byte> bytes;
  base::ByteWriter(bytes).put(number);
  return bytes;
}

base::Bytes bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// Hosts may know rank 0's under different names, so only the ports count.
std::uint64_t ports_of(const MusterCall& call) {
  if (!call.point) return 0;
  return std::uint64_t{call.point->ports.first} << 16 | call.point->ports.last;
}

}  // namespace

std::string leader_address(const MusterCall& call) {
  const auto ports = bytes_of(ports_of(call));
  const auto restarts = bytes_of(static_cast<std::uint64_t>(call.restart_count));
  const auto user = bytes_of(std::uint64_t{::geteuid()});
  const auto id_length = bytes_of(std::uint64_t{call.job_id.size()});
  const base::Digest digest =
      base::authenticate(call.key, {bytes_of("bluefog host"), ports, restarts, user, id_length,
                                    bytes_of(call.job_id), bytes_of(call.host)});
  std::string address = "unix:@bluefog-";
  constexpr std::size_t enough_bytes = 16;
  for (const std::byte byte : std::span(digest).first(enough_bytes)) {
    address += "0123456789abcdef"[std::to_integer<unsigned>(byte) >> 4U];
    address += "0123456789abcdef"[std::to_integer<unsigned>(byte) & 15U];
  }
  return address;
}

std::uint64_t job_number(const MusterCall& call) {
  const base::Digest digest = base::authenticate(call.key, {bytes_of("bluefog job"), bytes_of(call.job_id)});
  return base::ByteReader(digest).take<std::uint64_t>();
}

base::JobKey handshake_key(const MusterCall& call) {
  return transport::tcp::Identity::handshake_key(call.key.derive({}, "bluefog muster"), job_number(call), 0);
}

base::JobKey rank_key(const MusterCall& call, std::uint64_t job) {
  return call.key.derive(bytes_of(job), "bluefog ranks");
}

}  // namespace bluefog::membership
