#pragma once
/// @file network.hpp  The virtual network: who is connected, what goes wrong, and who learns of it.

#include <cstdint>
#include <deque>
#include <functional>
#include <iosfwd>
#include <span>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <bluefog/simulation.hpp>

#include "transport/remote/message.hpp"
#include "transport/sim/links.hpp"
#include "transport/sim/scheduler.hpp"

namespace bluefog::transport::sim {

class SimTransport;

class Network {
 public:
  Network(Scheduler& scheduler, const SimulationOptions& options);

  /// Every rank's transport says where messages and news for it go.
  void attach(int rank, SimTransport& transport) { transports_[static_cast<std::size_t>(rank)] = &transport; }
  [[nodiscard]] int host_of(int rank) const { return virtual_host(options_, rank); }
  [[nodiscard]] const LinkModel& inside_host() const { return options_.inside_host; }
  [[nodiscard]] double byte_scale() const { return options_.byte_scale; }
  [[nodiscard]] SimTransport& transport(int rank) { return *transports_[static_cast<std::size_t>(rank)]; }
  [[nodiscard]] Scheduler& scheduler() { return scheduler_; }

  void send(int from, int to, remote::Message message);
  /// Tells peers on other hosts that a rank has left.
  void announce_end(int rank, std::span<const int> peers);
  void inject(const SimulatedFault& fault);
  void kill(int rank, std::string_view reason);
  /// One line of the trace.
  void note(std::string_view what);

 private:
  struct Parcel {
    int from;
    remote::Message message;
  };
  [[nodiscard]] std::uint64_t pair(int from, int to) const {
    return static_cast<std::uint64_t>(from) * static_cast<std::uint64_t>(options_.size) +
           static_cast<std::uint64_t>(to);
  }
  [[nodiscard]] bool is_closed(int from, int to) const {
    return !closed_.empty() && closed_.contains(pair(from, to));
  }
  void deliver(int from, int to, remote::Message message);
  /// `peer` gives `rank` up; nothing passes between them any more.
  void lose(int peer, int rank);
  void freeze(int rank, Duration duration);
  void give_up_frozen(int rank);
  void thaw(int rank);
  void cut(int a, int b, Duration duration);
  void heal(int a, int b);

  Scheduler& scheduler_;
  SimulationOptions options_;
  std::vector<SimTransport*> transports_;
  Links links_;
  std::unordered_map<std::uint64_t, std::deque<remote::Message>>
      cut_;                                   ///< what waits for a cut link, by pair
  std::unordered_set<std::uint64_t> closed_;  ///< connections that broke, by pair
  std::vector<std::deque<Parcel>> inbox_;     ///< of frozen ranks
};

}  // namespace bluefog::transport::sim
