#include "transport/sim/network.hpp"

#include <algorithm>
#include <cmath>
#include <ostream>
#include <string>

#include "base/hash.hpp"
#include "transport/sim/sim_transport.hpp"

namespace bluefog::transport::sim {

namespace {

Duration time_of(double bytes, double bandwidth) {
  if (bandwidth <= 0) return Duration::zero();
  return Duration(std::llround(bytes / bandwidth * 1e9));
}

std::string text(int rank) {
  return std::to_string(rank);
}

std::string describe(int from, int to, const remote::Message& message) {
  constexpr const char* kinds[] = {"post", "chunk", "progress", "passed", "complaint", "left"};
  return text(from) + ">" + text(to) + " " + kinds[static_cast<int>(message.kind)] + " " +
         std::to_string(message.key.stream) + ":" + std::to_string(message.key.count) + " " +
         std::to_string(message.payload.size());
}

}  // namespace

Network::Network(Scheduler& scheduler, const SimulationOptions& options)
    : scheduler_(scheduler),
      options_(options),
      transports_(static_cast<std::size_t>(options.size)),
      ports_(static_cast<std::size_t>(options.size)),
      last_arrivals_(static_cast<std::size_t>(options.size)),
      inbox_(static_cast<std::size_t>(options.size)),
      random_state_(options.seed) {}

void Network::note(std::string_view what) {
  if (options_.trace == nullptr) return;
  *options_.trace << scheduler_.now().time_since_epoch().count() << " " << what << "\n";
}

Duration Network::random_up_to(Duration most) {
  random_state_ += base::kGoldenRatio;
  const double unit = static_cast<double>(base::mix_bits(random_state_) >> 11) * 0x1.0p-53;
  return Duration(static_cast<std::int64_t>(unit * static_cast<double>(most.count())));
}

TimePoint& Network::last_arrival(int from, int to) {
  auto& of_sender = last_arrivals_[static_cast<std::size_t>(from)];
  if (of_sender.empty()) of_sender.resize(static_cast<std::size_t>(options_.size));
  return of_sender[static_cast<std::size_t>(to)];
}

void Network::send(int from, int to, remote::Message message) {
  if (scheduler_.is_killed(from) || is_closed(from, to)) return;
  const LinkModel link = options_.link ? options_.link(from, to) : options_.between_hosts;
  const Duration wire =
      time_of(static_cast<double>(message.payload.size()) * options_.byte_scale, link.bandwidth);
  TimePoint arrival = scheduler_.now() + link.latency;
  if (wire > Duration::zero()) {
    // Bits flow through: the receiving port is busy while the sending one is, only later.
    Port& out = port_of(from);
    Port& in = port_of(to);
    const TimePoint departs = std::max(scheduler_.now(), out.sends_until);
    out.sends_until = departs + wire;
    arrival = std::max(departs + link.latency, in.receives_until) + wire;
    in.receives_until = arrival;
  }
  if (link.jitter > Duration::zero()) arrival += random_up_to(link.jitter);
  if (!message.may_overtake()) {
    TimePoint& last = last_arrival(from, to);
    arrival = std::max(arrival, last);
    last = arrival;
  }
  scheduler_.at(arrival, [this, from, to, moved = std::move(message)]() mutable {
    deliver(from, to, std::move(moved));
  });
}

void Network::deliver(int from, int to, remote::Message message) {
  if (scheduler_.is_killed(to) || is_closed(from, to)) return;
  if (!cut_.empty()) {
    if (const auto waiting = cut_.find(pair(from, to)); waiting != cut_.end()) {
      waiting->second.push_back(std::move(message));
      return;
    }
  }
  if (scheduler_.is_frozen(to)) {
    inbox_[static_cast<std::size_t>(to)].push_back({from, std::move(message)});
    return;
  }
  if (options_.trace != nullptr) note(describe(from, to, message));
  transport(to).receive(from, std::move(message));
}

void Network::inject(const SimulatedFault& fault) {
  scheduler_.at(TimePoint{} + fault.at, [this, fault] {
    switch (fault.kind) {
      case SimulatedFault::Kind::Kill:
        return kill(fault.rank, "killed");
      case SimulatedFault::Kind::Freeze:
        return freeze(fault.rank, fault.duration);
      case SimulatedFault::Kind::Cut:
        return cut(fault.rank, fault.peer, fault.duration);
      case SimulatedFault::Kind::Late:
        return;  // whoever starts the bodies looks at it
    }
  });
}

void Network::lose(int peer, int rank) {
  if (is_closed(rank, peer) && is_closed(peer, rank)) return;
  closed_.insert(pair(rank, peer));
  closed_.insert(pair(peer, rank));
  if (scheduler_.is_killed(peer)) return;
  note(text(peer) + " loses " + text(rank));
  transport(peer).set_lost(rank);
}

void Network::kill(int rank, std::string_view reason) {
  if (scheduler_.is_killed(rank)) return;
  note(text(rank) + " " + std::string(reason));
  scheduler_.kill(rank);
  transport(rank).die();
  for (int peer = 0; peer < options_.size; ++peer) {
    if (peer == rank) continue;
    // Inside a host a death shows at once; between hosts the connection breaks, after what was sent before.
    const bool is_near = host_of(peer) == host_of(rank);
    const LinkModel link = is_near         ? LinkModel{}
                           : options_.link ? options_.link(rank, peer)
                                           : options_.between_hosts;
    TimePoint when = scheduler_.now() + link.latency + link.jitter;
    if (!is_near) when = std::max(when, last_arrival(rank, peer));
    scheduler_.at(when, [this, peer, rank] { lose(peer, rank); });
  }
}

void Network::freeze(int rank, Duration duration) {
  if (scheduler_.is_killed(rank) || scheduler_.is_frozen(rank)) return;
  note(text(rank) + " frozen");
  scheduler_.freeze(rank);
  if (duration >= options_.liveness) {
    scheduler_.at(scheduler_.now() + options_.liveness, [this, rank] { give_up_frozen(rank); });
  }
  scheduler_.at(scheduler_.now() + duration, [this, rank] { thaw(rank); });
}

void Network::give_up_frozen(int rank) {
  if (scheduler_.is_killed(rank) || !scheduler_.is_frozen(rank)) return;
  for (int peer = 0; peer < options_.size; ++peer) {
    // Whoever shares its memory makes sure of its death first.
    if (peer != rank && host_of(peer) == host_of(rank) && !scheduler_.is_killed(peer) &&
        !scheduler_.is_frozen(peer)) {
      return kill(rank, "fenced");
    }
  }
  for (int peer = 0; peer < options_.size; ++peer) {
    if (host_of(peer) == host_of(rank)) continue;  // frozen itself: it looks when it thaws
    lose(peer, rank);
    transport(rank).set_lost(peer);
  }
}

void Network::thaw(int rank) {
  if (scheduler_.is_killed(rank) || !scheduler_.is_frozen(rank)) return;
  note(text(rank) + " thaws");
  scheduler_.thaw(rank);
  auto waiting = std::move(inbox_[static_cast<std::size_t>(rank)]);
  inbox_[static_cast<std::size_t>(rank)].clear();
  for (Parcel& parcel : waiting) deliver(parcel.from, rank, std::move(parcel.message));
  for (int peer = 0; peer < options_.size; ++peer) {
    if (host_of(peer) != host_of(rank) || !scheduler_.is_frozen(peer)) continue;
    scheduler_.at(scheduler_.now() + options_.liveness, [this, peer] { give_up_frozen(peer); });
  }
}

void Network::cut(int a, int b, Duration duration) {
  if (host_of(a) == host_of(b)) return;  // shared memory has no link
  note(text(a) + "-" + text(b) + " cut");
  cut_[pair(a, b)];
  cut_[pair(b, a)];
  if (duration >= options_.liveness) {
    scheduler_.at(scheduler_.now() + options_.liveness, [this, a, b] {
      lose(a, b);
      transport(b).set_lost(a);
    });
  }
  scheduler_.at(scheduler_.now() + duration, [this, a, b] { heal(a, b); });
}

void Network::heal(int a, int b) {
  note(text(a) + "-" + text(b) + " healed");
  for (const auto& [from, to] : {std::pair(a, b), std::pair(b, a)}) {
    const auto found = cut_.find(pair(from, to));
    if (found == cut_.end()) continue;
    auto waiting = std::move(found->second);
    cut_.erase(found);
    for (remote::Message& message : waiting) deliver(from, to, std::move(message));
  }
}

}  // namespace bluefog::transport::sim
