#include "transport/tcp/doorman.hpp"

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include <asio/buffer.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/read.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/log.hpp"

namespace bluefog::transport::tcp {

namespace {

constexpr std::size_t strangers_beside_ranks = 64;
constexpr auto pause_without_descriptors = std::chrono::milliseconds(50);

bool is_loopback(const sockaddr_storage& name) {
  Endpoint endpoint;
  if (name.ss_family == AF_INET6) {
    endpoint.is_v6 = 1;
    const auto& in = reinterpret_cast<const sockaddr_in6&>(name);
    std::copy_n(in.sin6_addr.s6_addr, 16, endpoint.address.begin());
  } else {
    const auto& in = reinterpret_cast<const sockaddr_in&>(name);
    std::copy_n(reinterpret_cast<const std::uint8_t*>(&in.sin_addr), 4, endpoint.address.begin());
  }
  return endpoint.is_loopback();
}

}  // namespace

Doorman::Doorman(asio::io_context& io, std::vector<Listener> listeners, const Identity& self,
                 const SocketOptions& options, Callbacks callbacks)
    : io_(io),
      self_(self),
      options_(options),
      callbacks_(std::move(callbacks)),
      // All ranks may come at once, each with several connections.
      most_strangers_(strangers_beside_ranks + 2 * static_cast<std::size_t>(self.size)) {
  for (Listener& listener : listeners) doors_.push_back(std::make_unique<Door>(io, std::move(listener.fd)));
}

void Doorman::start() {
  for (const auto& door : doors_) wait_for_connection(*door);
}

void Doorman::wait_for_connection(Door& door) {
  door.listener.stream().async_wait(asio::posix::stream_descriptor::wait_read,
                                    [this, &door](const asio::error_code& error) {
                                      if (!error) accept_some(door);
                                    });
}

void Doorman::accept_some(Door& door) {
  // Those who are in have a right to the event loop too.
  constexpr int at_a_time = 16;
  for (int accepted = 0; accepted < at_a_time; ++accepted) {
    sockaddr_storage name{};
    socklen_t length = sizeof(name);
    base::UniqueFd fd(::accept4(door.listener.fd(), reinterpret_cast<sockaddr*>(&name), &length,
                                SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd.valid()) {
      meet(std::move(fd), is_loopback(name));
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) break;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      return pause_accepting(door);
    }
    // Else a connection that broke before it was accepted, accept(2).
  }
  wait_for_connection(door);
}

void Doorman::pause_accepting(Door& door) {
  door.retry.expires_after(pause_without_descriptors);
  door.retry.async_wait([this, &door](const asio::error_code& error) {
    if (!error) accept_some(door);
  });
}

void Doorman::meet(base::UniqueFd fd, bool is_loopback) {
  if (strangers_.size() >= most_strangers_) {
    strangers_.front()->close();  // its coroutine ends soon, but its place is free now
    strangers_.pop_front();
  }
  configure(fd.get(), options_, is_loopback);
  auto stranger = std::make_shared<Socket>(io_, std::move(fd));
  strangers_.push_back(stranger);
  asio::co_spawn(io_, question(std::move(stranger)), asio::detached);
}

asio::awaitable<void> Doorman::question(std::shared_ptr<Socket> stranger) {
  bool is_member = false;
  try {
    const std::optional<Proven> proven = co_await hear(stranger);
    strangers_.remove(stranger);  // nobody who is silent takes the place of a rank
    is_member = proven && co_await receive(*proven, stranger);
  } catch (const std::exception& error) {
    strangers_.remove(stranger);
    log::error(std::string("a connection is given up: ") + error.what());
  }
  if (is_member) co_return;
  refused_.fetch_add(1, std::memory_order_relaxed);
  stranger->close();
}

asio::awaitable<std::optional<Doorman::Proven>> Doorman::hear(std::shared_ptr<Socket> stranger) {
  const Alarm alarm(io_, stranger, handshake_time);
  asio::error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  Proven rank;
  co_await asio::async_read(stranger->stream(), asio::buffer(rank.hello_text), token);
  if (error) co_return std::nullopt;
  const auto hello = decode_hello(rank.hello_text);
  if (!hello || !is_for(self_, *hello)) co_return std::nullopt;
  rank.hello = *hello;
  Nonce nonce{};
  base::fill_random(nonce);
  rank.challenge = make_challenge(self_.key, rank.hello_text, nonce);
  // A socket that is new has room for a hundred bytes.
  if (::send(stranger->fd(), rank.challenge.data(), rank.challenge.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(rank.challenge.size())) {
    co_return std::nullopt;
  }
  ProofBytes proof{};
  co_await asio::async_read(stranger->stream(), asio::buffer(proof), token);
  if (error || !stranger->is_open()) co_return std::nullopt;
  if (!base::equal(proof, make_proof(self_.key, rank.hello_text, rank.challenge))) co_return std::nullopt;
  co_return rank;
}

asio::awaitable<bool> Doorman::receive(Proven rank, std::shared_ptr<Socket> socket) {
  const Verdict verdict = callbacks_.judge(rank.hello);
  const VerdictBytes bytes = make_verdict(self_.key, verdict, rank.hello_text, rank.challenge);
  bool is_open =
      ::send(socket->fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  if (verdict != Verdict::Accepted) co_return false;
  Opened opened{std::move(socket), nullptr};
  if (is_open) {
    // However long that takes: the dialer may use it already. If it is gone, keepalive tells.
    const std::string problem =
        co_await open_as(TlsSession::End::Listener, opened, rank.hello,
                         connection_secret(self_.key, rank.hello_text, rank.challenge));
    is_open = problem.empty();
  }
  if (is_open) {
    callbacks_.admit(rank.hello, std::move(opened));
  } else {
    callbacks_.forgo(rank.hello);
  }
  co_return is_open;
}

}  // namespace bluefog::transport::tcp
