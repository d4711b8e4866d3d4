#include "transport/tcp/connection.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <sys/socket.h>
#include <sys/uio.h>

namespace bluefog::transport::tcp {

namespace {

constexpr std::size_t parts_at_a_time = 32;
using Parts = std::array<iovec, parts_at_a_time>;

/// What is left of a message, as parts for one system call.
void add_parts(const Outgoing& message, Parts& parts, std::size_t& count) {
  std::size_t skip = message.sent;
  const auto add = [&](const std::byte* data, std::size_t bytes) {
    const std::size_t skipped = std::min(skip, bytes);
    skip -= skipped;
    if (skipped < bytes) parts[count++] = {const_cast<std::byte*>(data) + skipped, bytes - skipped};
  };
  add(message.head.data(), message.head.size());
  add(message.payload.data(), message.payload.size());
}

/// @returns bytes written, 0 if the socket takes none, or -1 if it is broken
ssize_t write_plain(int fd, iovec* parts, std::size_t count) {
  msghdr header{};
  header.msg_iov = parts;
  header.msg_iovlen = count;
  ssize_t written = 0;
  do {
    written = ::sendmsg(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (written < 0 && errno == EINTR);
  if (written >= 0) return written;
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? 0 : -1;
}

// --- encrypted

/// A system call for each record would cost more than the encryption of it.
constexpr int records_at_a_time = 8;

/// Writes what is encrypted. @returns 0 if something is left, 1 if nothing is, -1 if the socket is broken
int write_encrypted_rest(TlsSession& tls, int fd) {
  for (base::Bytes rest = tls.to_send(); !rest.empty(); rest = tls.to_send()) {
    iovec part{const_cast<std::byte*>(rest.data()), rest.size()};
    const ssize_t written = write_plain(fd, &part, 1);
    if (written < 0) return -1;
    tls.sent(static_cast<std::size_t>(written));
    if (static_cast<std::size_t>(written) < rest.size()) return 0;
  }
  return 1;
}

/// The parts one behind the other in `record`, if they fit.
base::Bytes gather(std::span<const iovec> parts, std::span<std::byte> record) {
  std::size_t bytes = 0;
  for (const iovec& part : parts) {
    if (part.iov_len > record.size() - bytes) return {};
    std::memcpy(record.data() + bytes, part.iov_base, part.iov_len);
    bytes += part.iov_len;
  }
  return record.first(bytes);
}

/// @returns bytes encrypted, which may wait in part; fewer than all if the socket takes no more, or -1 if it
/// is broken
ssize_t write_encrypted(TlsSession& tls, int fd, const Parts& parts, std::size_t count) {
  std::array<std::byte, 5120> record;  // a small payload and its head
  iovec together{};
  std::span<const iovec> all(parts.data(), count);
  if (const base::Bytes gathered = count > 1 ? gather(all, record) : base::Bytes(); !gathered.empty()) {
    together = {record.data(), gathered.size()};
    all = std::span(&together, 1);
  }
  int state = write_encrypted_rest(tls, fd);
  ssize_t taken = 0;
  int records = 0;
  for (const iovec& part : all) {
    base::Bytes left(static_cast<const std::byte*>(part.iov_base), part.iov_len);
    while (!left.empty() && state > 0) {
      const std::size_t bytes = tls.encrypt(left);
      if (bytes == 0) return -1;
      left = left.subspan(bytes);
      taken += static_cast<ssize_t>(bytes);
      if (++records % records_at_a_time == 0) state = write_encrypted_rest(tls, fd);
    }
  }
  if (state > 0) state = write_encrypted_rest(tls, fd);
  return state < 0 ? -1 : taken;
}

ssize_t write_parts(const Connection& connection, Parts& parts, std::size_t count) {
  const int fd = connection.socket->fd();
  return connection.tls != nullptr ? write_encrypted(*connection.tls, fd, parts, count)
                                   : write_plain(fd, parts.data(), count);
}

}  // namespace

void Connection::send(const std::vector<std::byte>& head, remote::Payload payload) {
  write_held();
  write(head, std::move(payload));
}

void Connection::hold(const std::vector<std::byte>& head, const remote::Payload& payload) {
  if (is_broken || is_ending) return;
  held.insert(held.end(), head.begin(), head.end());
  held.insert(held.end(), payload.data(), payload.data() + payload.size());
  if (held.size() >= most_held_bytes) write_held();
}

void Connection::write_held() {
  if (held.empty()) return;
  write(held, {});
  held.clear();
}

void Connection::write(const std::vector<std::byte>& head, remote::Payload payload) {
  if (is_broken || is_ending) return;
  std::size_t sent = 0;
  if (queue.empty()) {
    Parts parts;
    parts[0] = {const_cast<std::byte*>(head.data()), head.size()};
    parts[1] = {const_cast<std::byte*>(std::as_const(payload).data()), payload.size()};
    const ssize_t written = write_parts(*this, parts, payload.empty() ? 1 : 2);
    if (written < 0) {
      is_broken = true;
      return;
    }
    sent = static_cast<std::size_t>(written);
    if (sent == head.size() + payload.size()) return;
  }
  payload.own();
  queue.push_back({head, std::move(payload), sent});
  queued_bytes += queue.back().left();
}

void Connection::flush() {
  if (tls != nullptr && !is_broken) is_broken = write_encrypted_rest(*tls, socket->fd()) < 0;
  while (!queue.empty() && !is_broken) {
    Parts parts;
    std::size_t count = 0;
    std::size_t bytes = 0;
    for (auto at = queue.begin(); at != queue.end() && count + 2 <= parts.size(); ++at) {
      add_parts(*at, parts, count);
      bytes += at->left();
    }
    const ssize_t written = write_parts(*this, parts, count);
    if (written < 0) is_broken = true;
    std::size_t left = written > 0 ? static_cast<std::size_t>(written) : 0;
    queued_bytes -= left;
    const bool is_full = left < bytes;
    while (!queue.empty() && left >= queue.front().left()) {
      left -= queue.front().left();
      queue.pop_front();
    }
    if (!queue.empty()) queue.front().sent += left;
    if (is_full) break;
  }
  if (!is_broken) return;
  queue.clear();
  held.clear();
  queued_bytes = 0;
  if (tls != nullptr) tls->drop_unsent();
}

void Connection::finish() {
  if (is_finished) return;
  if (tls != nullptr && !is_broken) {
    if (!is_ending) tls->encrypt_end();
    is_ending = true;
    const int state = write_encrypted_rest(*tls, socket->fd());
    if (state == 0) return;
    if (state < 0) tls->drop_unsent();
  }
  is_ending = is_finished = true;
  ::shutdown(socket->fd(), SHUT_WR);
}

}  // namespace bluefog::transport::tcp
