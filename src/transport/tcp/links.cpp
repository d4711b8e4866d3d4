// How links come to be: this rank dials, or is dialled.

#include <algorithm>
#include <cstdio>
#include <utility>

#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>

#include "base/log.hpp"
#include "transport/tcp/wire_loop.hpp"

namespace bluefog::transport::tcp {

namespace {

using namespace std::chrono_literals;

constexpr auto shortest_pause = 20ms;
constexpr auto longest_pause = 1000ms;
/// Whoever has an address has listened there: if nobody does any more, it is gone. (Once may be an accident.)
constexpr int looks_at_a_deserted_address = 3;

std::string seconds_text(std::chrono::steady_clock::duration duration) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f s", std::chrono::duration<double>(duration).count());
  return text.data();
}

}  // namespace

std::string TcpWire::Impl::encryption_differs(const Link& link) const {
  const std::string peer = "rank " + std::to_string(link.peer.rank);
  const std::string self = "rank " + std::to_string(options_.identity.rank);
  return (options_.encrypts ? self + " encrypts tensors and " + peer
                            : peer + " encrypts tensors and " + self) +
         " does not; give BLUEFOG_ENCRYPT alike on all ranks (bfrun --encrypt)";
}

/// Where both ends dial, the connection of the higher rank is used. The lower rank that accepts it ends its
/// own attempt, which the peer may have accepted, and dials no more until the peer has used or ended the
/// accepted one. So two attempts never both succeed, also where only one of them gets through.
Verdict TcpWire::Impl::judge(const Hello& hello) {
  Link* const from = link(hello.from);
  if (from == nullptr) return Verdict::Refused;
  const Link::State state = from->state();
  if (hello.encrypts != options_.encrypts) {
    lose(*from, encryption_differs(*from));
    return Verdict::OtherEncryption;
  }
  // What waits for the link is to be sent before this rank goes.
  if (is_leaving_ && (hello.role == Role::Data || state != Link::State::Wanted)) return Verdict::Leaving;
  if (hello.role == Role::Data) return judge_data(*from, hello);
  if (state != Link::State::Idle && state != Link::State::Wanted) return Verdict::Refused;
  const auto attempt = from->attempt.lock();
  if (attempt && options_.identity.rank < hello.from) attempt->close();
  ++from->admissions;
  return Verdict::Accepted;
}

Verdict TcpWire::Impl::judge_data(const Link& from, const Hello& hello) const {
  const bool is_wanted = from.state() == Link::State::Up && !from.is_dialled_by_us &&
                         hello.index < from.known_connections.size() && !from.known_connections[hello.index];
  return is_wanted ? Verdict::Accepted : Verdict::Refused;
}

void TcpWire::Impl::admit(const Hello& hello, Opened opened) {
  Link& from = *link(hello.from);
  guard(from, [&] {
    if (hello.role == Role::Data) {
      if (judge_data(from, hello) != Verdict::Accepted) return opened.socket->close();
      from.known_connections[hello.index] = true;
      return use_for_data(from, std::move(opened));
    }
    --from.admissions;
    // This rank may have given it up since.
    if (from.is_lost || from.has_left || from.state() == Link::State::Up) return opened.socket->close();
    from.is_dialled_by_us = false;
    from.known_connections.assign(hello.data_connections, false);
    use_as_control(from, std::move(opened));
  });
}

void TcpWire::Impl::forgo(const Hello& hello) {
  if (hello.role == Role::Control) --link(hello.from)->admissions;
  if (is_finishing_) look_whether_finished();
}

void TcpWire::Impl::use_as_control(Link& link, Opened opened) {
  auto connection = std::make_shared<Connection>(std::move(opened), link.peer, Role::Control);
  link.was_heard = true;
  link.attach_control(connection);
  spawn(link, receive(link, std::move(connection)));
  if (is_finishing_) look_whether_finished();
}

void TcpWire::Impl::use_for_data(Link& link, Opened opened) {
  settle_congestion_control(opened.socket->fd(), options_.sockets);
  auto connection = std::make_shared<Connection>(std::move(opened), link.peer, Role::Data);
  link.attach_data(connection);
  spawn(link, receive(link, std::move(connection)));
}

Hello TcpWire::Impl::hello_to(int peer, Role role, std::uint8_t index) const {
  const Identity& self = options_.identity;
  return {role,
          index,
          static_cast<std::uint8_t>(options_.data_connections),
          options_.encrypts,
          self.rank,
          peer,
          self.size,
          self.job,
          self.generation,
          {}};
}

asio::awaitable<void> TcpWire::Impl::sleep(Clock::duration duration) {
  asio::steady_timer timer(io_, duration);
  co_await timer.async_wait(asio::use_awaitable);
}

asio::awaitable<void> TcpWire::Impl::open(Link& link) {
  const auto start = Clock::now();
  const auto patience = std::min<Clock::duration>(handshake_time, options_.start_timeout);
  Clock::duration pause = shortest_pause;
  int deserted = 0;
  while (true) {
    bool is_deserted = true;
    std::string problem;
    for (const Endpoint& endpoint : addresses_of(link)) {
      if (link.state() != Link::State::Wanted) co_return;
      if (link.admissions > 0) {
        is_deserted = false;
        pause = shortest_pause;
        problem = "it has dialled, but does not use its connection";
        break;
      }
      Dialled dialled = co_await dial(io_, endpoint, hello_to(link.peer.rank, Role::Control, 0),
                                      options_.identity.key, options_.sockets, patience, link.attempt);
      is_deserted = is_deserted && dialled.outcome == Dialled::Outcome::Deserted;
      problem += (problem.empty() ? "" : "; ") + dialled.problem;
      if (link.state() != Link::State::Wanted || conclude(link, std::move(dialled))) co_return;
    }
    deserted = is_deserted ? deserted + 1 : 0;
    if (deserted >= looks_at_a_deserted_address)
      co_return lose(link, "nobody listens there any more: " + problem);
    if (Clock::now() - start >= options_.start_timeout) {
      co_return lose(link, "rank " + std::to_string(options_.identity.rank) + " could not reach it within " +
                               seconds_text(Clock::now() - start) + ": " + problem);
    }
    co_await sleep(pause);
    pause = std::min<Clock::duration>(2 * pause, longest_pause);
  }
}

bool TcpWire::Impl::conclude(Link& link, Dialled dialled) {
  // The peer may have refused because it uses the connection that it has opened itself.
  if (link.admissions > 0 && dialled.outcome != Dialled::Outcome::Accepted) return false;
  switch (dialled.outcome) {
    case Dialled::Outcome::Accepted:
      log::debug("rank " + std::to_string(link.peer.rank) + " is reached at " + dialled.address);
      link.is_dialled_by_us = true;
      use_as_control(link, std::move(dialled.opened));
      for (std::size_t index = 0; index < options_.data_connections; ++index) {
        spawn(link, open_data(link, static_cast<std::uint8_t>(index)));
      }
      return true;
    case Dialled::Outcome::Leaving: {
      static_cast<void>(link.close());
      std::vector<News> news(1);
      news.front() = {link.peer.rank, remote::Message{}, {}};
      report(std::move(news));
      if (is_finishing_) look_whether_finished();
      return true;
    }
    case Dialled::Outcome::OtherEncryption:
      lose(link, encryption_differs(link));
      return true;
    case Dialled::Outcome::Refused:
      lose(link, dialled.problem);
      return true;
    case Dialled::Outcome::Deserted:
    case Dialled::Outcome::Failed:
      return false;
  }
  return false;
}

/// Without it the control connection carries everything.
asio::awaitable<void> TcpWire::Impl::open_data(Link& link, std::uint8_t index) {
  const auto until = Clock::now() + options_.start_timeout;
  std::string problem;
  std::weak_ptr<Socket> attempt;
  while (Clock::now() < until) {
    for (const Endpoint& endpoint : addresses_of(link)) {
      if (link.state() != Link::State::Up || is_finishing_) co_return;
      Dialled dialled = co_await dial(io_, endpoint, hello_to(link.peer.rank, Role::Data, index),
                                      options_.identity.key, options_.sockets, handshake_time, attempt);
      if (link.state() != Link::State::Up) co_return;
      if (dialled.outcome == Dialled::Outcome::Accepted)
        co_return use_for_data(link, std::move(dialled.opened));
      if (dialled.outcome == Dialled::Outcome::Leaving) co_return;
      problem = dialled.problem;
    }
    co_await sleep(longest_pause);
  }
  log::warning("no data connection to rank " + std::to_string(link.peer.rank) + ": " + problem);
}

}  // namespace bluefog::transport::tcp
