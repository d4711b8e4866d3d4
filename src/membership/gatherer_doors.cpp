#include "membership/gatherer_doors.hpp"

#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>

#include <bluefog/error.hpp>

#include "membership/muster_secrets.hpp"
#include "transport/tcp/interfaces.hpp"

namespace bluefog::membership {
namespace {

namespace tcp = transport::tcp;

constexpr auto pause_between_tries = std::chrono::milliseconds(100);

/// At one port of all addresses: a host may know itself by one at which nobody else reaches it. What it hears
/// there it believes only of who proves the key. @returns none if somebody holds a part of it
std::vector<tcp::Listener> listen_at(std::uint16_t port, int& reason) {
  std::vector<tcp::Listener> listeners;
  for (const std::uint8_t is_v6 : {std::uint8_t{0}, std::uint8_t{1}}) {
    tcp::Endpoint any;
    any.is_set = 1;
    any.is_v6 = is_v6;
    try {
      std::vector<tcp::Listener> one = tcp::listen_on({any}, {port, port});
      listeners.push_back(std::move(one.front()));
    } catch (const Error&) {
      reason = errno;
      if (reason == EADDRINUSE || reason == EACCES) return {};
      // Else this host lacks one of the two families.
    }
  }
  return listeners;
}

std::vector<tcp::Listener> listen_at_one_of(tcp::PortRange ports, int& reason) {
  for (std::uint32_t port = ports.first; port <= ports.last; ++port) {
    std::vector<tcp::Listener> listeners = listen_at(static_cast<std::uint16_t>(port), reason);
    if (!listeners.empty()) return listeners;
  }
  return {};
}

}  // namespace

GathererDoors::GathererDoors(asio::io_context& io, const MusterCall& call, JobGatherer& gatherer)
    : io_(io),
      gatherer_(gatherer),
      point_(*call.point),
      size_(call.size),
      sockets_(call.sockets),
      identity_{0, call.size, job_number(call), 0, handshake_key(call)},
      time_for_port_(call.timeout / 4),
      retry_(io) {}

asio::awaitable<std::string> GathererDoors::open() {
  const auto deadline = std::chrono::steady_clock::now() + time_for_port_;
  while (!is_finished_) {
    int reason = 0;
    std::vector<tcp::Listener> listeners = listen_at_one_of(point_.ports, reason);
    if (!listeners.empty()) {
      doorman_ = std::make_unique<tcp::Doorman>(
          io_, std::move(listeners), identity_, sockets_,
          tcp::Doorman::Callbacks{
              [](const tcp::Hello& hello) {
                return tcp::is_encrypted(hello) ? tcp::Verdict::Accepted : tcp::Verdict::Refused;
              },
              [this](const tcp::Hello& /*hello*/, tcp::Opened opened) { admit(std::move(opened)); },
              [](const tcp::Hello& /*hello*/) {}});
      doorman_->start();
      break;
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      co_return "this host is that of rank 0, but can listen at none of the ports " +
          std::to_string(point_.ports.first) + " to " + std::to_string(point_.ports.last) + ": " +
          std::generic_category().message(reason) +
          "; BLUEFOG_RENDEZVOUS=host:port or MASTER_PORT may name others";
    }
    asio::error_code ignored;
    retry_.expires_after(pause_between_tries);
    co_await retry_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  co_return std::string();
}

void GathererDoors::finish() {
  is_finished_ = true;
  retry_.cancel();
  if (doorman_) doorman_->stop();
  for (const auto& [host, line] : lines_) line->finish();
}

void GathererDoors::send(int host, const HostOrder& order) {
  const auto found = lines_.find(host);
  if (found != lines_.end()) found->second->send(encode(order));
}

void GathererDoors::admit(tcp::Opened opened) {
  if (reached_at_.empty()) reached_at_ = tcp::own_address_of(opened.socket->fd());
  const int host = gatherer_.add_host(tcp::address_of_peer(opened.socket->fd()));
  auto line = std::make_shared<HostLine>(io_, std::move(opened), longest_host_message(size_));
  lines_[host] = line;
  asio::co_spawn(io_, listen_to(host, std::move(line)), asio::detached);
}

asio::awaitable<void> GathererDoors::listen_to(int host, std::shared_ptr<HostLine> line) {
  co_await line->read_all([this, host](std::span<const std::byte> message) {
    const auto report = decode_report(message, size_);
    if (report) gatherer_.take(host, *report);
    return report.has_value();
  });
  lines_.erase(host);
  gatherer_.end_host(host);
}

}  // namespace bluefog::membership
