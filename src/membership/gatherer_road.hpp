#pragma once
/// @file gatherer_road.hpp  How the leader of a host reaches the one that gathers the job.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>

#include "membership/host_line.hpp"
#include "membership/host_messages.hpp"
#include "membership/muster.hpp"
#include "transport/tcp/endpoint.hpp"
#include "transport/tcp/handshake.hpp"

namespace bluefog::membership {

/// All addresses and ports of a meeting point, address by address within each port.
/// @param problem  why there is none
[[nodiscard]] asio::awaitable<std::vector<transport::tcp::Endpoint>> resolve(asio::io_context& io,
                                                                             const MeetingPoint& point,
                                                                             std::string& problem);

/// Lives on the thread of the event loop.
class GathererRoad {
 public:
  struct Callbacks {
    std::function<void()> on_open;  ///< the first report may be sent
    std::function<void(const HostOrder& order)> on_order;
    std::function<void()> on_end;  ///< of what was open
  };
  GathererRoad(asio::io_context& io, const MusterCall& call, Callbacks callbacks);

  /// Tries all places again and again until stop(). Goes on after an end.
  [[nodiscard]] asio::awaitable<void> travel();
  void stop();
  void send(const HostReport& report);
  /// This is not the right place.
  void turn_back(const std::string& why);
  /// What is wrong with the places so far; empty where nothing is known.
  [[nodiscard]] std::string problems() const;
  /// The address of this host on the way there; empty while there is none.
  [[nodiscard]] const std::string& own_address() const { return own_address_; }

 private:
  [[nodiscard]] asio::awaitable<void> try_all(const std::vector<transport::tcp::Endpoint>& places);
  [[nodiscard]] asio::awaitable<void> talk(transport::tcp::Opened opened);

  asio::io_context& io_;
  MeetingPoint point_;
  int rank_;
  transport::tcp::SocketOptions sockets_;
  transport::tcp::Identity identity_;
  Callbacks callbacks_;
  asio::steady_timer pause_;
  std::shared_ptr<HostLine> line_;
  std::string present_place_;
  std::map<std::string, std::string> problems_;  ///< by place
  std::string own_address_;
  bool is_stopped_ = false;
};

}  // namespace bluefog::membership
