#include "transport/sim/links.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/hash.hpp"

namespace bluefog::transport::sim {

namespace {

Duration time_of(double bytes, double bandwidth) {
  if (bandwidth <= 0) return Duration::zero();
  return Duration(std::llround(bytes / bandwidth * 1e9));
}

}  // namespace

Links::Links(Scheduler& scheduler, const SimulationOptions& options, Deliver deliver)
    : scheduler_(scheduler),
      options_(options),
      deliver_(std::move(deliver)),
      ports_(static_cast<std::size_t>(options.size)),
      connections_(static_cast<std::size_t>(options.size)),
      random_state_(options.seed) {}

LinkModel Links::link_between(int from, int to) const {
  return options_.link ? options_.link(from, to) : options_.between_hosts;
}

Links::Connection* Links::known_connection(int from, int to) const {
  const auto& of_sender = connections_[static_cast<std::size_t>(from)];
  const auto at = std::lower_bound(of_sender.begin(), of_sender.end(), to,
                                   [](const auto& known, int peer) { return known->to < peer; });
  return at != of_sender.end() && (*at)->to == to ? at->get() : nullptr;
}

Links::Connection& Links::connection(int from, int to) {
  if (Connection* const known = known_connection(from, to)) return *known;
  auto& of_sender = connections_[static_cast<std::size_t>(from)];
  const auto at = std::lower_bound(of_sender.begin(), of_sender.end(), to,
                                   [](const auto& known, int peer) { return known->to < peer; });
  auto opened = std::make_unique<Connection>();
  opened->to = to;
  return **of_sender.insert(at, std::move(opened));
}

Links::Port& Links::port_of(int rank) {
  return ports_[static_cast<std::size_t>(options_.hosts_share_port ? virtual_host(options_, rank) : rank)];
}

Duration Links::piece_of(Duration wire) const {
  const bool is_shared =
      options_.hosts_share_port && (options_.ranks_per_host > 1 || !options_.hosts.empty());
  const int turns = is_shared ? options_.port_turns : 1;
  return (wire + Duration(turns - 1)) / turns;
}

Duration Links::random_up_to(Duration most) {
  random_state_ += base::kGoldenRatio;
  const double unit = static_cast<double>(base::mix_bits(random_state_) >> 11) * 0x1.0p-53;
  return Duration(static_cast<std::int64_t>(unit * static_cast<double>(most.count())));
}

void Links::send(int from, int to, remote::Message message) {
  const LinkModel link = link_between(from, to);
  const double bytes = static_cast<double>(message.payload.size()) * options_.byte_scale;
  const Duration wire = time_of(bytes, link.bandwidth);
  const bool may_overtake = message.may_overtake();
  launch({from, to, link, wire, piece_of(wire), may_overtake, std::move(message), nullptr});
}

void Links::follow(int from, int to, std::function<void()> news) {
  launch({from, to, link_between(from, to), {}, {}, false, {}, std::move(news)});
}

void Links::follow_all(int from, std::span<const int> to, const std::function<void(int)>& news) {
  const TimePoint when = scheduler_.now() + options_.between_hosts.latency + options_.between_hosts.jitter;
  std::vector<int> idle;
  for (const int peer : to) {
    const Connection* const pair = known_connection(from, peer);
    const bool is_idle =
        pair == nullptr || (pair->waiting.empty() && pair->on_their_way == 0 && pair->arrived <= when);
    if (is_idle && !options_.link) {
      idle.push_back(peer);
    } else {
      follow(from, peer, [news, peer] { news(peer); });
    }
  }
  // One event for most: in a large job everybody has something to tell everybody in the end.
  scheduler_.at(when, [idle = std::move(idle), news] {
    for (const int peer : idle) news(peer);
  });
}

void Links::launch(Transit transit) {
  Connection& pair = connection(transit.from, transit.to);
  const bool waits = !transit.may_overtake && !pair.waiting.empty();
  if (transit.left == Duration::zero() && !waits) {
    const Duration latency = transit.link.latency;
    return travel(pair, scheduler_.now(), latency, {}, std::move(transit));
  }
  Port& port = port_of(transit.from);
  if (pair.waiting.empty()) port.turns.push_back(&pair);
  pair.waiting.push_back(std::move(transit));
  attend(port);
}

void Links::attend(Port& port) {
  if (port.is_attended || port.turns.empty()) return;
  if (port.sends_until <= scheduler_.now()) return serve(port);
  port.is_attended = true;
  scheduler_.at(port.sends_until, [this, &port] {
    port.is_attended = false;
    serve(port);
  });
}

void Links::serve(Port& port) {
  Connection& pair = *port.turns.front();
  port.turns.pop_front();
  const auto take_first = [&pair] {
    Transit first = std::move(pair.waiting.front());
    pair.waiting.erase(pair.waiting.begin());
    return first;
  };
  Transit& first = pair.waiting.front();
  const TimePoint departs = scheduler_.now();
  const Duration latency = first.link.latency;
  const Duration piece = std::min(first.left, first.piece);
  first.left -= piece;
  port.sends_until = departs + piece;
  if (first.left > Duration::zero()) {
    travel(pair, departs, latency, piece, std::nullopt);
  } else {
    travel(pair, departs, latency, piece, take_first());
    // What has no bytes leaves right behind.
    while (!pair.waiting.empty() && pair.waiting.front().left == Duration::zero()) {
      travel(pair, port.sends_until, latency, {}, take_first());
    }
  }
  if (!pair.waiting.empty()) port.turns.push_back(&pair);
  attend(port);
}

void Links::travel(Connection& pair, TimePoint departs, Duration latency, Duration piece,
                   std::optional<Transit> last) {
  const TimePoint reaches_port = departs + latency;
  // Where all links have one latency, what departs later also comes later: the order at the port is known.
  if (!options_.link || (piece == Duration::zero() && pair.on_their_way == 0)) {
    return pass_port(pair, reaches_port, piece, std::move(last));
  }
  ++pair.on_their_way;
  scheduler_.at(reaches_port, [this, &pair, piece, moved = std::move(last)]() mutable {
    --pair.on_their_way;
    pass_port(pair, scheduler_.now(), piece, std::move(moved));
  });
}

void Links::pass_port(Connection& pair, TimePoint reached, Duration piece, std::optional<Transit> last) {
  TimePoint arrival = reached;
  if (piece > Duration::zero()) {
    // Bits flow through: the receiving port is busy while the sending one is, only later.
    Port& in = port_of(pair.to);
    arrival = std::max(reached, in.receives_until) + piece;
    in.receives_until = arrival;
  }
  if (last) arrive(pair, arrival, std::move(*last));
}

void Links::arrive(Connection& pair, TimePoint when, Transit transit) {
  if (transit.link.jitter > Duration::zero()) when += random_up_to(transit.link.jitter);
  if (!transit.may_overtake) {
    when = std::max(when, pair.arrived);
    pair.arrived = when;
  }
  scheduler_.at(when, [this, moved = std::move(transit)]() mutable {
    if (moved.news) return moved.news();
    deliver_(moved.from, moved.to, std::move(moved.message));
  });
}

}  // namespace bluefog::transport::sim
