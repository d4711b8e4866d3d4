#include "transport/sim/network.hpp"

#include <algorithm>
#include <ostream>
#include <string>

#include "transport/sim/sim_transport.hpp"

namespace bluefog::transport::sim {

namespace {

std::string text(int rank) {
  return std::to_string(rank);
}

std::string describe(int from, int to, const remote::Message& message) {
  constexpr const char* kinds[] = {"post", "chunk", "progress", "passed", "complaint", "left", "note"};
  return text(from) + ">" + text(to) + " " + kinds[static_cast<int>(message.kind)] + " " +
         std::to_string(message.key.stream) + ":" + std::to_string(message.key.count) + " " +
         std::to_string(message.payload.size());
}

}  // namespace

Network::Network(Scheduler& scheduler, const SimulationOptions& options)
    : scheduler_(scheduler),
      options_(options),
      transports_(static_cast<std::size_t>(options.size)),
      links_(scheduler_, options_,
             [this](int from, int to, remote::Message message) { deliver(from, to, std::move(message)); }),
      inbox_(static_cast<std::size_t>(options.size)) {}

void Network::note(std::string_view what) {
  if (options_.trace == nullptr) return;
  *options_.trace << scheduler_.now().time_since_epoch().count() << " " << what << "\n";
}

void Network::send(int from, int to, remote::Message message) {
  if (scheduler_.is_killed(from) || is_closed(from, to)) return;
  links_.send(from, to, std::move(message));
}

void Network::announce_end(int rank, std::span<const int> peers) {
  if (scheduler_.is_killed(rank)) return;
  links_.follow_all(rank, peers, [this, rank](int peer) { deliver(rank, peer, {}); });
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
    const auto news = [this, peer, rank] { lose(peer, rank); };
    if (host_of(peer) == host_of(rank)) {
      scheduler_.at(scheduler_.now(), news);
    } else {
      links_.follow(rank, peer, news);
    }
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
