#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bluefog/error.hpp>
#include <bluefog/version.hpp>

#include "membership/fd_message.hpp"
#include "membership/rendezvous.hpp"
#include "membership/rendezvous_address.hpp"
#include "membership/rendezvous_protocol.hpp"

namespace bluefog::membership {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// After the deadline: for the server's list of missing ranks, or for a roster that is under way.
constexpr auto time_for_answer = std::chrono::seconds(2);
constexpr auto time_for_roster = std::chrono::seconds(30);

class Joining {
 public:
  Joining(const std::string& address, int size, const Card& own, milliseconds timeout)
      : address_(address), size_(size), own_(own), start_(Clock::now()), timeout_(timeout) {}

  base::UniqueFd connect() {
    const SocketAddress name = parse_rendezvous_address(address_);
    socket_.reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket_.valid()) throw Error(intro() + "no socket: " + std::generic_category().message(errno));
    while (::connect(socket_.get(), name.get(), name.length) != 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN && Clock::now() < start_ + timeout_) {
        ::poll(nullptr, 0, 2);  // the queue of connections is full, and poll() cannot tell when it is not
        continue;
      }
      throw Error(intro() + "no rendezvous answers there (" + std::generic_category().message(errno) +
                  "); has bfrun ended, or the rank that led this host?");
    }
    if (!peer_is_same_user(socket_.get())) throw Error(intro() + "another user's process listens there");
    return std::move(socket_);
  }

  void say_hello(int socket) const {
    protocol::Hello hello;
    protocol::write_text(hello.version, BLUEFOG_VERSION);
    hello.rank = own_.rank;
    hello.size = size_;
    hello.pid = own_.pid;
    hello.arena_bytes = own_.arena_bytes;
    hello.presence = protocol::presence_of(own_);
    const std::array fds{own_.arena.get(), own_.pidfd.get()};
    Transfer state = Transfer::again;
    while ((state = send_message(socket, protocol::bytes_of(hello), fds)) == Transfer::again) {
      if (Clock::now() >= start_ + timeout_) throw Timeout(intro() + "the rendezvous takes no messages");
      ::poll(nullptr, 0, 2);
    }
    if (state == Transfer::closed) throw Error(intro() + vanished);
  }

  // The first message that is no refusal, waited for until the deadline and, after GiveUp, a little longer.
  protocol::RosterStart wait_for_roster(int socket) const {
    std::optional<Incoming> message = receive(socket, start_ + timeout_);
    if (!message) {
      const protocol::GiveUp give_up;
      (void)send_message(socket, protocol::bytes_of(give_up),
                         {});  // if it fails, receive() finds the socket closed
      message = receive(socket, Clock::now() + time_for_answer);
    }
    if (!message) throw Timeout(timeout_text() + "the rendezvous does not answer");
    if (const auto start = message->as<protocol::RosterStart>()) return *start;
    if (const auto refusal = message->as<protocol::Refusal>()) {
      throw InvalidArgument(intro() + "refused: " + std::string(protocol::read_text(refusal->text)));
    }
    if (const auto missing = message->as<protocol::Missing>())
      throw Timeout(timeout_text() + text_of(*missing));
    throw Error(intro() + nonsense);
  }

  Card receive_member(int socket) const {
    std::optional<Incoming> message = receive(socket, Clock::now() + time_for_roster);
    if (!message) throw Timeout(intro() + "the rendezvous stopped in the middle of the list of ranks");
    const auto member = message->as<protocol::Member>();
    const bool is_near = member && member->is_near != 0;
    if (is_near && message->received.fds.size() < 2) {
      throw Error(intro() + "descriptors were lost on the way: too many open files? (ulimit -n)");
    }
    if (!member || member->rank < 0 || member->rank >= size_ || member->rank == own_.rank) {
      throw Error(intro() + nonsense);
    }
    Card card;
    card.rank = static_cast<int>(member->rank);
    card.pid = static_cast<pid_t>(member->pid);
    card.arena_bytes = member->arena_bytes;
    if (is_near) {
      card.arena = std::move(message->received.fds[0]);
      card.pidfd = std::move(message->received.fds[1]);
    }
    protocol::read_presence(member->presence, card);
    return card;
  }

 private:
  static constexpr const char* vanished =
      "the rendezvous vanished; has bfrun ended, or the rank that led this host?";
  static constexpr const char* nonsense = "the rendezvous sent what no rendezvous sends";

  struct Incoming {
    Incoming() = default;
    Incoming(Incoming&&) = default;
    Incoming& operator=(Incoming&&) = default;
    ~Incoming() { base::wipe(buffer); }  // the key may be in it

    protocol::Buffer buffer{};
    Received received;

    template <typename Message>
    [[nodiscard]] std::optional<Message> as() const {
      return protocol::read_as<Message>(std::span(buffer).first(std::min(received.bytes, buffer.size())));
    }
  };

  [[nodiscard]] std::string intro() const {
    return "rank " + std::to_string(own_.rank) + " of " + std::to_string(size_) + " joining at " + address_ +
           ": ";
  }

  [[nodiscard]] std::string timeout_text() const {
    std::array<char, 64> seconds{};
    const std::chrono::duration<double> elapsed = Clock::now() - start_;
    std::snprintf(seconds.data(), seconds.size(), "gave up after %.1f s, ", elapsed.count());
    return intro() + seconds.data();
  }

  static std::string text_of(const protocol::Missing& missing) {
    const auto listed = std::min<std::size_t>(static_cast<std::size_t>(missing.count), missing.ranks.size());
    std::string text = missing.count == 1 ? "still missing: rank" : "still missing: ranks";
    for (std::size_t index = 0; index < listed; ++index) {
      text += (index == 0 ? " " : ", ") + std::to_string(missing.ranks[index]);
    }
    if (listed < static_cast<std::size_t>(missing.count)) text += ", ...";
    if (const std::string_view hosts = protocol::read_text(missing.hosts); !hosts.empty()) {
      text.append("; none has joined on ").append(hosts);
    }
    return text + ". Did it call init()? BLUEFOG_START_TIMEOUT sets how long to wait";
  }

  // Nothing once the deadline has passed.
  [[nodiscard]] std::optional<Incoming> receive(int socket, Clock::time_point deadline) const {
    Incoming message;
    while (true) {
      message.received = receive_message(socket, message.buffer);
      if (message.received.state == Transfer::done) return message;
      if (message.received.state == Transfer::closed) throw Error(intro() + vanished);
      const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
      if (left.count() <= 0) return std::nullopt;
      pollfd entry{socket, POLLIN, 0};
      ::poll(&entry, 1,
             static_cast<int>(std::min<std::int64_t>(left.count(), 60'000)));  // EINTR: the loop goes on
    }
  }

  const std::string& address_;
  int size_;
  const Card& own_;
  Clock::time_point start_;
  milliseconds timeout_;
  base::UniqueFd socket_;
};

void check_arguments(int size, const Card& own) {
  if (size < 1 || own.rank < 0 || own.rank >= size) {
    throw InvalidArgument("rank " + std::to_string(own.rank) + " of " + std::to_string(size) +
                          " cannot join: a rank lies between 0 and size - 1");
  }
  if (!own.arena.valid() || !own.pidfd.valid()) {
    throw InvalidArgument("rank " + std::to_string(own.rank) + " cannot join without an arena and a pidfd");
  }
}

}  // namespace

RendezvousClient::RendezvousClient(base::UniqueFd socket, int size)
    : socket_(std::move(socket)), size_(size) {}

std::optional<RendezvousClient::Loss> RendezvousClient::take_loss() {
  protocol::Buffer buffer;
  const Received received = receive_message(socket_.get(), buffer);
  if (received.state == Transfer::closed) has_ended_ = true;
  if (received.state != Transfer::done) return std::nullopt;
  const auto loss = protocol::read_as<protocol::Loss>(
      std::span<const std::byte>(buffer).first(std::min(received.bytes, buffer.size())));
  if (!loss || loss->rank < 0 || loss->rank >= size_) return std::nullopt;
  return Loss{static_cast<int>(loss->rank), std::string(protocol::read_text(loss->text))};
}

RendezvousClient::~RendezvousClient() {
  // Also where somebody else holds a copy of the connection.
  if (socket_.valid() && home_.is_surely_here()) ::shutdown(socket_.get(), SHUT_RDWR);
}

std::unique_ptr<RendezvousClient> RendezvousClient::join(const std::string& address, int size, Card own,
                                                         std::chrono::milliseconds timeout, Roster& roster) {
  check_arguments(size, own);
  Joining joining(address, size, own, timeout);
  auto client = std::make_unique<RendezvousClient>(joining.connect(), size);
  const int socket = client->socket_.get();
  joining.say_hello(socket);

  protocol::RosterStart start = joining.wait_for_roster(socket);
  Roster complete;
  complete.job = start.job;
  complete.generation = start.generation;
  complete.key = base::JobKey(start.key);
  base::wipe(start.key);
  complete.size = size;
  complete.members.resize(static_cast<std::size_t>(size));
  for (int received = 1; received < size; ++received) {
    Card card = joining.receive_member(socket);
    complete.members[static_cast<std::size_t>(card.rank)] = std::move(card);
  }
  Card& self = complete.members[static_cast<std::size_t>(own.rank)];
  self.rank = own.rank;
  self.pid = own.pid;
  self.arena_bytes = own.arena_bytes;
  self.placement = own.placement;
  self.endpoints = own.endpoints;
  roster = std::move(complete);
  return client;
}

}  // namespace bluefog::membership
