#include "membership/muster.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <system_error>
#include <utility>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bluefog/error.hpp>
#include <bluefog/version.hpp>

#include "membership/fd_message.hpp"
#include "membership/host_leader.hpp"
#include "membership/muster_protocol.hpp"
#include "membership/muster_secrets.hpp"
#include "membership/rendezvous_address.hpp"
#include "membership/rendezvous_socket.hpp"

namespace bluefog::membership {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr auto time_for_answer = std::chrono::seconds(2);
constexpr int pause_between_tries_ms = 10;

/// One rank's wait for all others.
class Mustering {
 public:
  Mustering(const MusterCall& call, HostLeaders& leaders)
      : call_(call), leaders_(leaders), address_(leader_address(call)), start_(Clock::now()) {}

  Placement run() {
    while (true) {
      const base::UniqueFd socket = connect();
      if (say_arrival(socket.get())) {
        if (auto placement = wait_for_answer(socket.get())) return *std::move(placement);
      }
      // The leader has ended before it had an answer; another one takes its place.
      if (is_late()) throw Timeout(timeout_text() + "the rank that led this host ended");
      ::poll(nullptr, 0, pause_between_tries_ms);
    }
  }

 private:
  [[nodiscard]] bool is_late() const { return Clock::now() >= start_ + call_.timeout; }

  [[nodiscard]] base::UniqueFd connect() const {
    const SocketAddress name = parse_rendezvous_address(address_);
    while (true) {
      base::UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      if (!socket.valid()) throw Error(intro() + "no socket: " + std::generic_category().message(errno));
      if (::connect(socket.get(), name.get(), name.length) == 0) {
        if (peer_is_same_user(socket.get())) return socket;
        throw Error(intro() + "another user's process listens in its place on this host");
      }
      if (errno == ECONNREFUSED) {
        leaders_.lead(call_, address_);
      } else if (errno != EAGAIN && errno != EINTR) {
        throw Error(intro() +
                    "this host's leader cannot be reached: " + std::generic_category().message(errno));
      }
      if (is_late()) throw Timeout(timeout_text() + "this host's leader does not answer");
      ::poll(nullptr, 0, 1);
    }
  }

  [[nodiscard]] bool say_arrival(int socket) const {
    protocol::Arrival arrival;
    protocol::write_text(arrival.version, BLUEFOG_VERSION);
    arrival.rank = call_.rank;
    arrival.size = call_.size;
    arrival.pid = ::getpid();
    return send_message(socket, protocol::bytes_of(arrival), {}) == Transfer::done;
  }

  /// @returns nothing if the connection has ended
  [[nodiscard]] std::optional<Placement> wait_for_answer(int socket) const {
    protocol::MusterBuffer buffer;
    auto message = receive(socket, buffer, start_ + call_.timeout);
    if (!message) {
      (void)send_message(socket, protocol::bytes_of(protocol::GiveUp()), {});
      message = receive(socket, buffer, Clock::now() + time_for_answer);
      if (!message) throw Timeout(timeout_text() + "the leader of this host does not answer");
    }
    if (message->empty()) return std::nullopt;
    if (const auto placed = protocol::read_as<protocol::PlacedHere>(*message)) return placement_of(*placed);
    if (const auto refusal = protocol::read_as<protocol::NoPlace>(*message)) {
      throw InvalidArgument(intro() + "refused: " + std::string(protocol::read_text(refusal->why)));
    }
    if (const auto refusal = protocol::read_as<protocol::Refusal>(*message)) {  // also of other versions
      throw InvalidArgument(intro() + "refused: " + std::string(protocol::read_text(refusal->text)));
    }
    if (const auto missing = protocol::read_as<protocol::NotAllHere>(*message)) {
      throw Timeout(timeout_text() + text_of(*missing));
    }
    throw Error(intro() + "the leader of this host sent what no leader sends");
  }

  /// @returns nothing after the deadline; an empty message if the connection has ended
  static std::optional<std::span<const std::byte>> receive(int socket, protocol::MusterBuffer& buffer,
                                                           Clock::time_point deadline) {
    while (true) {
      const Received received = receive_message(socket, buffer);
      if (received.state == Transfer::done) {
        return std::span<const std::byte>(buffer).first(std::min(received.bytes, buffer.size()));
      }
      if (received.state == Transfer::closed) return std::span<const std::byte>();
      const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
      if (left.count() <= 0) return std::nullopt;
      pollfd entry{socket, POLLIN, 0};
      ::poll(&entry, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 60'000)));
    }
  }

  static Placement placement_of(const protocol::PlacedHere& placed) {
    Placement placement;
    placement.rendezvous = protocol::read_text(placed.rendezvous);
    placement.listen = protocol::read_text(placed.listen);
    for (const int ranks : placed.ranks_of_hosts) {
      if (ranks > 0) placement.ranks_of_hosts.push_back(ranks);
    }
    return placement;
  }

  [[nodiscard]] static std::string text_of(const protocol::NotAllHere& missing) {
    std::string text = missing.count == 1 ? "still missing: rank" : "still missing: ranks";
    const auto listed = std::min<std::size_t>(static_cast<std::size_t>(missing.count), missing.ranks.size());
    for (std::size_t index = 0; index < listed; ++index) {
      text += (index == 0 ? " " : ", ") + std::to_string(missing.ranks[index]);
    }
    if (listed < static_cast<std::size_t>(missing.count)) text += ", ...";
    text += ". Did it call init()? BLUEFOG_START_TIMEOUT sets how long to wait";
    const std::string_view note = protocol::read_text(missing.note);
    return note.empty() ? text : text + ". " + std::string(note);
  }

  [[nodiscard]] std::string intro() const {
    std::string text =
        "rank " + std::to_string(call_.rank) + " of " + std::to_string(call_.size) + " joining ";
    if (!call_.point) return text + "on this host: ";
    const auto [first, last] = call_.point->ports;
    text += "at " + call_.point->host + ", port " + std::to_string(first);
    return (first == last ? text : text + " to " + std::to_string(last)) + ": ";
  }

  [[nodiscard]] std::string timeout_text() const {
    std::array<char, 64> seconds{};
    const std::chrono::duration<double> elapsed = Clock::now() - start_;
    std::snprintf(seconds.data(), seconds.size(), "gave up after %.1f s, ", elapsed.count());
    return intro() + seconds.data();
  }

  const MusterCall& call_;
  HostLeaders& leaders_;
  std::string address_;
  Clock::time_point start_;
};

bool parse_port(std::string_view text, std::uint16_t& port) {
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && stop == text.data() + text.size() && port > 0;
}

}  // namespace

MeetingPoint parse_meeting_point(const std::string& text) {
  const std::string_view view = text;
  const std::size_t colon = view.rfind(':');
  MeetingPoint point;
  bool is_valid = colon != std::string_view::npos && colon > 0;
  if (is_valid) {
    std::string_view host = view.substr(0, colon);
    const bool has_brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
    // Else the last part of an IPv6 address would be taken for a port.
    is_valid = has_brackets || host.find(':') == std::string_view::npos;
    if (has_brackets) host = host.substr(1, host.size() - 2);
    point.host = host;
    const std::string_view ports = view.substr(colon + 1);
    const std::size_t dash = ports.find('-');
    is_valid =
        is_valid && parse_port(ports.substr(0, dash), point.ports.first) &&
        parse_port(dash == std::string_view::npos ? ports : ports.substr(dash + 1), point.ports.last) &&
        point.ports.first <= point.ports.last;
  }
  if (!is_valid) {
    throw InvalidArgument("BLUEFOG_RENDEZVOUS is \"" + text +
                          "\", but must be host:port, host:first-last, or what bfrun sets");
  }
  return point;
}

HostLeaders::HostLeaders() = default;

HostLeaders::~HostLeaders() {
  forget_those_of_the_parent();
}

HostLeaders& HostLeaders::of_this_process() {
  static HostLeaders leaders;
  return leaders;
}

void HostLeaders::lead(const MusterCall& call, const std::string& address) {
  const std::lock_guard lock(mutex_);
  forget_those_of_the_parent();
  base::UniqueFd listener;
  try {
    listener = listen_at(address, call.size);
  } catch (const std::system_error& error) {
    if (error.code().value() == EADDRINUSE) return;
    throw;
  }
  leaders_[address] = std::make_unique<HostLeader>(call, std::move(listener));
}

void HostLeaders::forget_those_of_the_parent() {
  if (home_.is_surely_here()) return;
  for (const auto& [address, leader] : leaders_) leader->abandon();
  leaders_.clear();
  home_ = base::HomeProcess();
}

Placement muster(const MusterCall& call, HostLeaders& leaders) {
  if (call.size > most_ranks) {
    throw InvalidArgument("a job can have at most " + std::to_string(most_ranks) + " ranks, not " +
                          std::to_string(call.size));
  }
  return Mustering(call, leaders).run();
}

}  // namespace bluefog::membership
