#include "membership/gatherer_road.hpp"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include <asio/ip/tcp.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>

#include "membership/muster_secrets.hpp"
#include "transport/tcp/dialer.hpp"
#include "transport/tcp/interfaces.hpp"

namespace bluefog::membership {
namespace {

namespace tcp = transport::tcp;

constexpr auto patience_with_a_place = std::chrono::seconds(5);
constexpr auto pause_between_rounds = std::chrono::milliseconds(200);

tcp::Endpoint endpoint_of(const asio::ip::address& address) {
  tcp::Endpoint endpoint;
  endpoint.is_set = 1;
  if (address.is_v6()) {
    endpoint.is_v6 = 1;
    std::ranges::copy(address.to_v6().to_bytes(), endpoint.address.begin());
  } else {
    std::ranges::copy(address.to_v4().to_bytes(), endpoint.address.begin());
  }
  return endpoint;
}

}  // namespace

asio::awaitable<std::vector<tcp::Endpoint>> resolve(asio::io_context& io, const MeetingPoint& point,
                                                    std::string& problem) {
  asio::ip::tcp::resolver resolver(io);
  asio::error_code error;
  const auto found =
      co_await resolver.async_resolve(point.host, "", asio::redirect_error(asio::use_awaitable, error));
  std::vector<tcp::Endpoint> addresses;
  for (const auto& entry : found) {
    const tcp::Endpoint endpoint = endpoint_of(entry.endpoint().address());
    if (std::ranges::find(addresses, endpoint) == addresses.end()) addresses.push_back(endpoint);
  }
  problem = addresses.empty()
                ? "the name " + point.host + " means no address on this host: " + error.message()
                : std::string();
  std::vector<tcp::Endpoint> places;
  for (std::uint32_t port = point.ports.first; port <= point.ports.last; ++port) {
    for (tcp::Endpoint address : addresses) {
      address.port = static_cast<std::uint16_t>(port);
      places.push_back(address);
    }
  }
  co_return places;
}

GathererRoad::GathererRoad(asio::io_context& io, const MusterCall& call, Callbacks callbacks)
    : io_(io),
      point_(*call.point),
      rank_(call.rank),
      sockets_(call.sockets),
      identity_{call.rank, call.size, job_number(call), 0, handshake_key(call)},
      callbacks_(std::move(callbacks)),
      pause_(io) {}

asio::awaitable<void> GathererRoad::travel() {
  while (!is_stopped_) {
    std::string problem;
    const std::vector<tcp::Endpoint> places = co_await resolve(io_, point_, problem);
    if (is_stopped_) break;
    if (!problem.empty()) problems_ = {{point_.host, problem}};
    co_await try_all(places);
    if (is_stopped_) break;
    asio::error_code ignored;
    pause_.expires_after(pause_between_rounds);
    co_await pause_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

void GathererRoad::stop() {
  is_stopped_ = true;
  pause_.cancel();
  if (line_) line_->close();
}

void GathererRoad::send(const HostReport& report) {
  if (line_) line_->send(encode(report));
}

void GathererRoad::turn_back(const std::string& why) {
  problems_[present_place_] = present_place_ + ": " + why;
  if (line_) line_->close();
}

std::string GathererRoad::problems() const {
  std::string text;
  for (const auto& [place, problem] : problems_) text.append(text.empty() ? "" : "; ").append(problem);
  return text;
}

asio::awaitable<void> GathererRoad::try_all(const std::vector<tcp::Endpoint>& places) {
  std::set<std::string> silent;  // an address that does not answer at one port does not at the others
  for (const tcp::Endpoint& place : places) {
    tcp::Endpoint address = place;
    address.port = 0;
    if (is_stopped_ || silent.contains(address.to_string())) continue;
    tcp::Hello hello;
    hello.from = rank_;
    hello.to = 0;
    hello.size = identity_.size;
    hello.job = identity_.job;
    hello.role = tcp::Role::Control;
    hello.data_connections = 1;
    const auto before = std::chrono::steady_clock::now();
    std::weak_ptr<tcp::Socket> attempt;
    tcp::Dialled dialled =
        co_await tcp::dial(io_, place, hello, identity_.key, sockets_, patience_with_a_place, attempt);
    if (is_stopped_) co_return;
    present_place_ = place.to_string();
    if (!dialled.opened.socket) {
      problems_[present_place_] = dialled.problem;
      if (std::chrono::steady_clock::now() - before >= patience_with_a_place)
        silent.insert(address.to_string());
      continue;
    }
    problems_.clear();
    co_await talk(std::move(dialled.opened));
  }
}

asio::awaitable<void> GathererRoad::talk(tcp::Opened opened) {
  own_address_ = tcp::own_address_of(opened.socket->fd());
  line_ = std::make_shared<HostLine>(io_, std::move(opened), longest_host_message(identity_.size));
  callbacks_.on_open();
  co_await line_->read_all([this](std::span<const std::byte> message) {
    const auto order = decode_order(message, identity_.size);
    if (order) callbacks_.on_order(*order);
    return order.has_value();
  });
  line_.reset();
  if (!is_stopped_) callbacks_.on_end();
}

}  // namespace bluefog::membership
