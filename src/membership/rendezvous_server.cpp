#include <algorithm>
#include <cerrno>
#include <chrono>
#include <map>
#include <string>
#include <utility>

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <sys/socket.h>

#include "membership/fd_message.hpp"
#include "membership/rendezvous.hpp"
#include "membership/rendezvous_connection.hpp"
#include "membership/rendezvous_protocol.hpp"
#include "membership/rendezvous_socket.hpp"

namespace bluefog::membership {
namespace {

using Wait = asio::posix::stream_descriptor::wait_type;

constexpr std::size_t strangers_at_a_time = 64;
constexpr auto pause_before_retry = std::chrono::milliseconds(2);

}  // namespace

class RendezvousServer::Impl : public std::enable_shared_from_this<Impl> {
 public:
  using ConnectionPtr = std::shared_ptr<Connection>;

  Impl(asio::io_context& io, ServedJob job, Upstream* upstream)
      : io_(io),
        job_(std::move(job)),
        upstream_(upstream),
        gathering_(job_.size),
        address_("unix:@bluefog-" + std::to_string(::getpid()) + "-" + hexadecimal(random_number())),
        listener_(io, listen_at(address_, job_.ranks)),
        accept_retry_(io),
        holders_(static_cast<std::size_t>(job_.ranks)) {}

  [[nodiscard]] const std::string& address() const { return address_; }

  void start() { wait_for_connection(); }

  void complete(const Generation& generation) {
    const std::vector<ConnectionPtr> receivers = members_of(generation);
    for (const ConnectionPtr& receiver : receivers) receiver->standing = Standing::member;
    protocol::RosterStart start;
    start.job = job_.id;
    start.generation = generation.number;
    std::copy_n(job_.key.reveal().begin(), start.key.size(), start.key.begin());
    for (const ConnectionPtr& receiver : receivers) {
      queue(receiver, start, nullptr);
      for (const Seat& seat : generation.seats) {
        if (seat.rank != receiver->rank) queue_member(receiver, seat);
      }
      flush(receiver);
    }
    base::wipe(start.key);
    for (const Seat& seat : generation.seats) {
      if (is_of_this_host(seat.rank)) offers_.erase(seat.ticket);
    }
  }

  void confirm_leave(int rank, std::uint64_t ticket, const MissingRanks& missing) {
    offers_.erase(ticket);
    if (!is_of_this_host(rank)) return;
    const ConnectionPtr connection = holder_of(rank);
    if (!connection || connection->ticket != ticket || connection->standing != Standing::leaving) return;
    connection->standing = Standing::refused;
    leave(connection);
    send(connection, protocol::missing_message(missing, rank));
  }

  void tell_loss(int rank, const std::string& why) {
    protocol::Loss loss;
    loss.rank = rank;
    protocol::write_text(loss.text, why);
    const std::vector<ConnectionPtr> connections = connections_;  // sending may drop one
    for (const ConnectionPtr& connection : connections) {
      if (connection->standing == Standing::member) send(connection, loss);
    }
  }

  [[nodiscard]] bool is_idle() const {
    return std::ranges::all_of(connections_, [](const auto& each) { return each->outgoing.empty(); });
  }

  void stop() {
    stopped_ = true;
    listener_.close();
    accept_retry_.cancel();
    while (!connections_.empty()) drop(connections_.front());
  }

 private:
  void wait_for_connection() {
    listener_.stream().async_wait(Wait::wait_read,
                                  [self = shared_from_this()](const asio::error_code& error) {
                                    if (!error && !self->stopped_) self->accept_all();
                                  });
  }

  void accept_all() {
    while (true) {
      base::UniqueFd fd(::accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (fd.valid()) {
        if (peer_is_same_user(fd.get())) admit(std::move(fd));
        continue;
      }
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return wait_for_connection();
      return pause_accepting();  // out of descriptors or memory
    }
  }

  void pause_accepting() {
    accept_retry_.expires_after(std::chrono::milliseconds(50));
    accept_retry_.async_wait([self = shared_from_this()](const asio::error_code& error) {
      if (!error && !self->stopped_) self->accept_all();
    });
  }

  void admit(base::UniqueFd fd) {
    const auto is_stranger = [](const ConnectionPtr& other) { return other->standing == Standing::stranger; };
    if (static_cast<std::size_t>(std::count_if(connections_.begin(), connections_.end(), is_stranger)) >=
        strangers_at_a_time + static_cast<std::size_t>(job_.ranks)) {
      drop(*std::find_if(connections_.begin(), connections_.end(),
                         is_stranger));  // the one silent for longest
    }
    auto connection = std::make_shared<Connection>(io_, std::move(fd));
    connections_.push_back(connection);
    wait_for_message(connection);
  }

  void wait_for_message(const ConnectionPtr& connection) {
    connection->socket.stream().async_wait(
        Wait::wait_read, [self = shared_from_this(), connection](const asio::error_code& error) {
          if (!error && connection->socket.is_open()) self->receive(connection);
        });
  }

  void receive(const ConnectionPtr& connection) {
    protocol::Buffer buffer;
    Received received = receive_message(connection->socket.fd(), buffer);
    if (received.state == Transfer::closed) return drop(connection);
    if (received.state == Transfer::done) {
      handle(connection, std::span(buffer).first(std::min(received.bytes, buffer.size())), received);
    }
    if (connection->socket.is_open()) wait_for_message(connection);
  }

  void handle(const ConnectionPtr& connection, std::span<const std::byte> message, Received& received) {
    if (connection->standing == Standing::stranger && !received.truncated) {
      if (const std::string problem = greet(connection, message, received.fds); !problem.empty()) {
        refuse(connection, problem);
      } else if (connection->standing == Standing::waiting) {
        offer(connection);
      }
    } else if (protocol::read_as<protocol::GiveUp>(message)) {
      if (connection->standing == Standing::waiting) give_up(connection);
    } else {
      drop(connection);
    }
  }

  // Why the Hello is refused; empty if it is not. Who does not speak the protocol is dropped without a word.
  std::string greet(const ConnectionPtr& connection, std::span<const std::byte> message,
                    std::vector<base::UniqueFd>& fds) {
    if (std::string problem = problem_of_version(message); !problem.empty()) return problem;
    const auto hello = protocol::read_as<protocol::Hello>(message);
    if (!hello || fds.size() != 2) {
      drop(connection);
      return {};
    }
    if (hello->size != job_.size) {
      return "it expects " + std::to_string(hello->size) + " ranks, but this job has " +
             std::to_string(job_.size);
    }
    if (!is_of_this_host(hello->rank)) {
      return "its rank is outside of " + std::to_string(job_.first_rank) + " to " +
             std::to_string(job_.first_rank + job_.ranks - 1);
    }
    if (is_alive(hello->rank)) {
      return "a process of that rank is in the job and alive (pid " +
             std::to_string(holder_of(hello->rank)->card->facts.pid) + ")";
    }
    enter(connection, *hello, fds);
    return {};
  }

  void enter(const ConnectionPtr& connection, const protocol::Hello& hello,
             std::vector<base::UniqueFd>& fds) {
    Card card;
    card.rank = hello.rank;
    card.pid = static_cast<pid_t>(hello.pid);
    card.arena_bytes = hello.arena_bytes;
    protocol::read_presence(hello.presence, card);
    connection->rank = hello.rank;
    connection->card = std::make_shared<const HeldCard>(
        HeldCard{std::move(card), base::UnsharedFd(std::move(fds[0])), base::UnsharedFd(std::move(fds[1]))});
    connection->standing = Standing::waiting;
    connection->ticket = ++last_ticket_;
    offers_[connection->ticket] = connection->card;
    holder_of(hello.rank) = connection;
  }

  void offer(const ConnectionPtr& connection) {
    Seat seat{connection->rank, connection->ticket, connection->card->facts.placement,
              connection->card->facts.endpoints};
    if (upstream_ != nullptr) return upstream_->on_waiting(seat);
    gathering_.take(std::move(seat));
    if (const auto generation = gathering_.complete()) complete(*generation);
  }

  // Whether it was in time is not for this host to say.
  void withdraw(int rank, std::uint64_t ticket) {
    if (upstream_ != nullptr) return upstream_->on_left(rank, ticket);
    gathering_.leave(rank, ticket);
    confirm_leave(rank, ticket, {gathering_.missing(), {}});
  }

  [[nodiscard]] bool is_of_this_host(int rank) const {
    return rank >= job_.first_rank && rank < job_.first_rank + job_.ranks;
  }
  [[nodiscard]] ConnectionPtr& holder_of(int rank) {
    return holders_[static_cast<std::size_t>(rank - job_.first_rank)];
  }

  // Those of this host that are still there. Who has gone meanwhile is in the generation all the same.
  std::vector<ConnectionPtr> members_of(const Generation& generation) {
    std::vector<ConnectionPtr> members;
    for (const Seat& seat : generation.seats) {
      if (!is_of_this_host(seat.rank)) continue;
      const ConnectionPtr& holder = holder_of(seat.rank);
      if (holder && holder->ticket == seat.ticket) members.push_back(holder);
    }
    return members;
  }

  void queue_member(const ConnectionPtr& receiver, const Seat& seat) {
    const auto offer = is_of_this_host(seat.rank) ? offers_.find(seat.ticket) : offers_.end();
    const std::shared_ptr<const HeldCard> card = offer == offers_.end() ? nullptr : offer->second;
    Card presence;
    presence.placement = seat.placement;
    presence.endpoints = seat.endpoints;
    protocol::Member line;
    line.rank = seat.rank;
    line.presence = protocol::presence_of(presence);
    if (card) {
      line.is_near = 1;
      line.pid = card->facts.pid;
      line.arena_bytes = card->facts.arena_bytes;
    }
    queue(receiver, line, card);
  }

  // A rank that has left may be back before its old connection's end has been handled; and a child that it
  // forked may keep that connection open after its death.
  bool is_alive(int rank) {
    const ConnectionPtr holder = holder_of(rank);
    if (!holder) return false;
    if (!has_hung_up(holder->socket.fd()) && !is_readable(holder->card->pidfd.get())) return true;
    drop(holder);
    return false;
  }

  void refuse(const ConnectionPtr& connection, const std::string& problem) {
    protocol::Refusal refusal;
    protocol::write_text(refusal.text, problem);
    connection->standing = Standing::refused;
    send(connection, refusal);
  }

  void give_up(const ConnectionPtr& connection) {
    connection->standing = Standing::leaving;
    withdraw(connection->rank, connection->ticket);
  }

  template <typename Message>
  void send(const ConnectionPtr& connection, const Message& message) {
    queue(connection, message, nullptr);
    flush(connection);
  }

  template <typename Message>
  void queue(const ConnectionPtr& connection, const Message& message, std::shared_ptr<const HeldCard> card) {
    const std::span<const std::byte> bytes = protocol::bytes_of(message);
    connection->outgoing.push_back({{bytes.begin(), bytes.end()}, std::move(card)});
  }

  void flush(const ConnectionPtr& connection) {
    while (connection->socket.is_open() && !connection->outgoing.empty()) {
      const Outgoing& next = connection->outgoing.front();
      std::vector<int> fds;
      if (next.card) fds = {next.card->arena.get(), next.card->pidfd.get()};
      switch (send_message(connection->socket.fd(), next.bytes, fds)) {
        case Transfer::done:
          base::wipe(connection->outgoing.front().bytes);  // the key may be in it
          connection->outgoing.pop_front();
          break;
        case Transfer::again:
          return flush_later(connection);
        case Transfer::closed:
          return drop(connection);
      }
    }
    if (connection->standing == Standing::refused) drop(connection);
  }

  // By time, not by writability: a socket stays writable when only the descriptors under way are too many.
  void flush_later(const ConnectionPtr& connection) {
    connection->retry.expires_after(pause_before_retry);
    connection->retry.async_wait([self = shared_from_this(), connection](const asio::error_code& error) {
      if (!error) self->flush(connection);
    });
  }

  void leave(const ConnectionPtr& connection) {
    if (connection->rank < 0) return;
    ConnectionPtr& holder = holder_of(connection->rank);
    if (holder == connection) holder.reset();
  }

  // By value: the caller's may be an element of what is erased here.
  void drop(ConnectionPtr connection) {  // NOLINT(performance-unnecessary-value-param)
    leave(connection);
    const bool has_waited = connection->standing == Standing::waiting;
    connection->standing = Standing::refused;
    if (has_waited && !stopped_) withdraw(connection->rank, connection->ticket);
    connection->outgoing.clear();
    connection->retry.cancel();
    connection->socket.close();
    connections_.erase(std::remove(connections_.begin(), connections_.end(), connection), connections_.end());
  }

  asio::io_context& io_;
  const ServedJob job_;
  Upstream* const upstream_;
  Gathering gathering_;  // without an upstream
  std::uint64_t last_ticket_ = 0;
  std::map<std::uint64_t, std::shared_ptr<const HeldCard>>
      offers_;  // by ticket, until it is decided who is in
  std::string address_;
  transport::tcp::Socket listener_;
  asio::steady_timer accept_retry_;
  bool stopped_ = false;
  std::vector<ConnectionPtr> connections_;  // oldest first
  std::vector<ConnectionPtr> holders_;      // by local rank; null: no living process of it has joined
};

RendezvousServer::RendezvousServer(asio::io_context& io, ServedJob job, Upstream* upstream)
    : impl_(std::make_shared<Impl>(io, std::move(job), upstream)) {
  impl_->start();
}

RendezvousServer::~RendezvousServer() {
  impl_->stop();
}

const std::string& RendezvousServer::address() const noexcept {
  return impl_->address();
}

bool RendezvousServer::is_idle() const {
  return impl_->is_idle();
}

void RendezvousServer::complete(const Generation& generation) {
  impl_->complete(generation);
}

void RendezvousServer::confirm_leave(int rank, std::uint64_t ticket, const MissingRanks& missing) {
  impl_->confirm_leave(rank, ticket, missing);
}

void RendezvousServer::tell_loss(int rank, const std::string& why) {
  impl_->tell_loss(rank, why);
}

}  // namespace bluefog::membership
