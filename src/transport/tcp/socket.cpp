#include "transport/tcp/socket.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <string_view>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <bluefog/error.hpp>

namespace bluefog::transport::tcp {

namespace {

/// Of a network inside one building, queues in its switches included.
constexpr std::chrono::microseconds short_round_trip{2000};

void set(int fd, int level, int option, int value) {
  ::setsockopt(fd, level, option, &value,
               sizeof(value));  // a refusal costs speed, or time until a loss shows
}

bool set_congestion(int fd, std::string_view name) {
  return ::setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(), static_cast<socklen_t>(name.size())) == 0;
}

std::string congestion_of(int fd) {
  std::array<char, 32> name{};
  socklen_t length = name.size() - 1;
  ::getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(), &length);
  return name.data();
}

std::string allowed_congestion_controls() {
  std::ifstream file("/proc/sys/net/ipv4/tcp_allowed_congestion_control");
  std::string line;
  std::getline(file, line);
  return line;
}

void replace_bbr(int fd) {
  if (congestion_of(fd) == "bbr")
    static_cast<void>(set_congestion(fd, "cubic") || set_congestion(fd, "reno"));
}

std::chrono::microseconds round_trip_time(int fd) {
  tcp_info info{};
  socklen_t length = sizeof(info);
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return std::chrono::microseconds::max();
  return std::chrono::microseconds(info.tcpi_rtt);
}

int whole_seconds(std::chrono::milliseconds duration) {
  return static_cast<int>(
      std::clamp<std::int64_t>(std::chrono::ceil<std::chrono::seconds>(duration).count(), 1, 32767));
}

}  // namespace

void configure(int fd, const SocketOptions& options, bool is_loopback) {
  set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (options.congestion != "auto") {
    set_congestion(fd, options.congestion);
  } else if (is_loopback) {
    replace_bbr(fd);
  }
  if (options.buffer_bytes > 0) {
    const auto bytes = static_cast<int>(std::min<std::size_t>(options.buffer_bytes, 1U << 30));
    set(fd, SOL_SOCKET, SO_SNDBUF, bytes);
    set(fd, SOL_SOCKET, SO_RCVBUF, bytes);
  }
  // Our own heartbeats come first; these end what they cannot see. A peer's event loop always reads, so a
  // window that stays shut is a peer that does not run.
  constexpr std::int64_t least_timeout = 10'000;
  const std::int64_t timeout =
      std::clamp<std::int64_t>(10 * options.heartbeat.count(), least_timeout, 1 << 30);
  set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(timeout));
  set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(fd, IPPROTO_TCP, TCP_KEEPIDLE, whole_seconds(2 * options.heartbeat));
  set(fd, IPPROTO_TCP, TCP_KEEPINTVL, whole_seconds(options.heartbeat));
  set(fd, IPPROTO_TCP, TCP_KEEPCNT, 5);
}

void settle_congestion_control(int fd, const SocketOptions& options) {
  if (options.congestion == "auto" && round_trip_time(fd) < short_round_trip) replace_bbr(fd);
}

void check(const SocketOptions& options) {
  if (options.congestion == "auto") return;
  const base::UniqueFd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (probe.valid() && set_congestion(probe.get(), options.congestion)) return;
  throw InvalidArgument("BLUEFOG_TCP_CONGESTION is \"" + options.congestion +
                        "\", which this kernel does not grant; it allows: " + allowed_congestion_controls() +
                        "; or \"auto\"");
}

}  // namespace bluefog::transport::tcp
