#pragma once
/// @file links.hpp  What messages meet on their way: latency, ports that others use too, and jitter.

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <bluefog/simulation.hpp>

#include "transport/remote/message.hpp"
#include "transport/sim/scheduler.hpp"

namespace bluefog::transport::sim {

[[nodiscard]] inline int virtual_host(const SimulationOptions& options, int rank) {
  return options.hosts.empty() ? rank / options.ranks_per_host
                               : options.hosts[static_cast<std::size_t>(rank)];
}

class Links {
 public:
  using Deliver = std::function<void(int from, int to, remote::Message message)>;

  /// @param options  must outlive the links
  Links(Scheduler& scheduler, const SimulationOptions& options, Deliver deliver);

  /// Puts a message on the link; its payload takes time, the rest of it does not.
  void send(int from, int to, remote::Message message);
  /// News that come when all that was sent before has arrived.
  void follow(int from, int to, std::function<void()> news);
  /// The same for several receivers.
  void follow_all(int from, std::span<const int> to, const std::function<void(int to)>& news);

 private:
  /// A message on its way, or news.
  struct Transit {
    int from;
    int to;
    LinkModel link;
    Duration left;   ///< of its time on the wire, before all of it has departed
    Duration piece;  ///< what the sending port gives it at a time
    bool may_overtake;
    remote::Message message;
    std::function<void()> news;
  };
  /// From one rank to another; first in, first out.
  struct Connection {
    int to;
    std::vector<Transit> waiting;  ///< for the sending port, or behind one that does
    int on_their_way = 0;          ///< to the receiving port
    TimePoint arrived{};           ///< of the last message
  };
  struct Port {
    std::deque<Connection*> turns;  ///< connections that have something to send
    TimePoint sends_until{};
    bool is_attended = false;  ///< an event will look at the turns
    TimePoint receives_until{};
  };

  [[nodiscard]] LinkModel link_between(int from, int to) const;
  [[nodiscard]] Connection* known_connection(int from, int to) const;
  [[nodiscard]] Connection& connection(int from, int to);
  [[nodiscard]] Port& port_of(int rank);
  [[nodiscard]] Duration piece_of(Duration wire) const;
  [[nodiscard]] Duration random_up_to(Duration most);
  void launch(Transit transit);
  void attend(Port& port);
  void serve(Port& port);
  /// A piece leaves for the receiving port. @param last  the message that it completes
  void travel(Connection& pair, TimePoint departs, Duration latency, Duration piece,
              std::optional<Transit> last);
  void pass_port(Connection& pair, TimePoint reached, Duration piece, std::optional<Transit> last);
  void arrive(Connection& pair, TimePoint when, Transit transit);

  Scheduler& scheduler_;
  const SimulationOptions& options_;
  Deliver deliver_;
  std::vector<Port> ports_;
  std::vector<std::vector<std::unique_ptr<Connection>>> connections_;  ///< by sender; ascending
  std::uint64_t random_state_;
};

}  // namespace bluefog::transport::sim
