#include <algorithm>
#include <limits>
#include <numeric>
#include <tuple>
#include <utility>
#include <vector>

#include <bluefog/dynamic_graphs.hpp>
#include <bluefog/graphs.hpp>
#include <bluefog/schedule.hpp>

#include "base/hash.hpp"
#include "topology/checks.hpp"
#include "topology/one_peer.hpp"

namespace bluefog {

namespace {

/// Rank i keeps half and sends half to receiver_of(i), or keeps all where that is i. Columns sum to 1
/// whatever the choices; rows do where no two ranks choose alike.
template <class ReceiverOf>
Topology split_in_halves(int size, ReceiverOf receiver_of) {
  std::vector<Topology::Edge> edges;
  edges.reserve(2 * static_cast<std::size_t>(size));
  for (int sender = 0; sender < size; ++sender) {
    const int receiver = receiver_of(sender);
    edges.push_back({sender, sender, receiver == sender ? 1.0 : 0.5});
    if (receiver != sender) edges.push_back({receiver, sender, 0.5});
  }
  return {size, edges};
}

int only_receiver(const SendRecv& exchange, int rank) {
  return exchange.send.empty() ? rank : exchange.send.front();
}

/// Least common multiple, or the largest number if that is smaller.
std::uint64_t saturating_lcm(std::uint64_t a, std::uint64_t b) {
  const std::uint64_t factor = b / std::gcd(a, b);
  constexpr std::uint64_t largest = std::numeric_limits<std::uint64_t>::max();
  return a > largest / factor ? largest : a * factor;
}

class StaticSchedule final : public Schedule {
 public:
  explicit StaticSchedule(Topology topology) : topology_(std::move(topology)) {}
  [[nodiscard]] std::string_view name() const override { return "static"; }
  [[nodiscard]] int size() const override { return topology_.size(); }
  [[nodiscard]] std::uint64_t period() const override { return 1; }
  [[nodiscard]] Topology round(std::uint64_t /*t*/) const override { return topology_; }

 private:
  Topology topology_;
};

class OnePeerExponential final : public Schedule {
 public:
  explicit OnePeerExponential(int size) : size_(size) { topology::check_size("one_peer_exponential", size); }
  [[nodiscard]] std::string_view name() const override { return "one-peer exponential-2"; }
  [[nodiscard]] int size() const override { return size_; }
  [[nodiscard]] std::uint64_t period() const override {
    return static_cast<std::uint64_t>(topology::exponential_period(size_));
  }
  [[nodiscard]] Topology round(std::uint64_t t) const override {
    return split_in_halves(
        size_, [&](int rank) { return only_receiver(one_peer_exponential_send_recv(size_, rank, t), rank); });
  }

 private:
  int size_;
};

class OnePeerHypercube final : public Schedule {
 public:
  explicit OnePeerHypercube(int size)
      : size_(size), dimensions_(topology::hypercube_dimensions("one_peer_hypercube", size)) {}
  [[nodiscard]] std::string_view name() const override { return "one-peer hypercube"; }
  [[nodiscard]] int size() const override { return size_; }
  [[nodiscard]] std::uint64_t period() const override {
    return dimensions_ == 0 ? 1 : static_cast<std::uint64_t>(dimensions_);
  }
  [[nodiscard]] Topology round(std::uint64_t t) const override {
    const int bit = size_ == 1 ? 0 : 1 << static_cast<int>(t % period());
    return split_in_halves(size_, [&](int rank) { return rank ^ bit; });
  }

 private:
  int size_;
  int dimensions_;
};

class OnePeerDynamic final : public Schedule {
 public:
  explicit OnePeerDynamic(Topology topology) : topology_(std::move(topology)) {
    for (int rank = 0; rank < size(); ++rank) {
      const std::size_t degree = topology_.out_neighbors(rank).size();
      if (degree > 0) period_ = saturating_lcm(period_, degree);
    }
  }
  [[nodiscard]] std::string_view name() const override { return "one-peer dynamic"; }
  [[nodiscard]] int size() const override { return topology_.size(); }
  [[nodiscard]] std::uint64_t period() const override { return period_; }
  [[nodiscard]] Topology round(std::uint64_t t) const override {
    return split_in_halves(size(), [&](int rank) { return topology::clockwise_choice(topology_, rank, t); });
  }

 protected:
  /// The period, a least common multiple of degrees, may be astronomic; the choices depend on the edges
  /// alone.
  [[nodiscard]] Facts find_facts() const override {
    Facts facts;
    facts.hash = base::hash_bytes(name().data(), name().size());
    facts.hash = base::hash_combine(facts.hash, topology_.with_uniform_weights().hash());
    facts.preserves_mean = true;
    facts.preserves_constants = !some_choices_collide();
    return facts;
  }

 private:
  /// In which rounds a sender chooses the receiver at hand: turn, turn + degree, turn + 2 degree, ...
  struct Turns {
    std::uint64_t degree;
    std::uint64_t turn;
    friend bool operator==(const Turns&, const Turns&) = default;
    friend bool operator<(const Turns& a, const Turns& b) {
      return std::tie(a.degree, a.turn) < std::tie(b.degree, b.turn);
    }
  };

  /// Whether in some round two ranks choose the same one, or a rank that keeps all receives something. If
  /// never, every rank that sends also receives from exactly one.
  [[nodiscard]] bool some_choices_collide() const {
    std::vector<Turns> senders;
    for (int rank = 0; rank < size(); ++rank) {
      senders.clear();
      for (const Topology::Neighbor& sender : topology_.in_neighbors(rank)) {
        senders.push_back(
            {topology_.out_neighbors(sender.rank).size(), topology::turn_of(topology_, sender.rank, rank)});
      }
      if (topology_.out_neighbors(rank).empty() && !senders.empty()) return true;
      if (some_turns_meet(senders)) return true;
    }
    return false;
  }

  /// t = turn(a) mod degree(a) and t = turn(b) mod degree(b) have a common solution exactly if the turns are
  /// equal modulo the greatest common divisor of the degrees (Chinese remainder theorem).
  [[nodiscard]] static bool some_turns_meet(std::vector<Turns>& senders) {
    std::sort(senders.begin(), senders.end());
    if (std::adjacent_find(senders.begin(), senders.end()) != senders.end()) return true;
    if (senders.empty() || senders.front().degree == senders.back().degree) return false;
    for (const Turns& a : senders) {
      for (const Turns& b : senders) {
        const std::uint64_t divisor = std::gcd(a.degree, b.degree);
        if (a.degree < b.degree && a.turn % divisor == b.turn % divisor) return true;
      }
    }
    return false;
  }

  Topology topology_;
  std::uint64_t period_ = 1;
};

class InnerOuterRing final : public Schedule {
 public:
  explicit InnerOuterRing(const topology::Machines& machines) : machines_(machines) {}
  [[nodiscard]] std::string_view name() const override { return "inner-outer ring"; }
  [[nodiscard]] int size() const override { return machines_.count * machines_.local_size; }
  [[nodiscard]] std::uint64_t period() const override {
    return static_cast<std::uint64_t>(machines_.local_size);
  }
  [[nodiscard]] Topology round(std::uint64_t t) const override {
    return split_in_halves(size(), [&](int rank) {
      return only_receiver(inner_outer_ring_send_recv(size(), machines_.local_size, rank, t), rank);
    });
  }

 private:
  topology::Machines machines_;
};

class InnerOuterExpo2 final : public Schedule {
 public:
  explicit InnerOuterExpo2(const topology::Machines& machines) : machines_(machines) {}
  [[nodiscard]] std::string_view name() const override { return "inner-outer exponential-2"; }
  [[nodiscard]] int size() const override { return machines_.count * machines_.local_size; }
  [[nodiscard]] std::uint64_t period() const override {
    const auto outgoing = static_cast<std::uint64_t>(machines_.local_size);
    const auto outer = static_cast<std::uint64_t>(topology::exponential_period(machines_.count));
    const auto inner = static_cast<std::uint64_t>(topology::exponential_period(machines_.local_size - 1));
    return std::lcm(std::lcm(outgoing, outer), inner);
  }
  [[nodiscard]] Topology round(std::uint64_t t) const override {
    return split_in_halves(size(), [&](int rank) {
      return only_receiver(inner_outer_expo2_send_recv(size(), machines_.local_size, rank, t), rank);
    });
  }

 private:
  topology::Machines machines_;
};

}  // namespace

SchedulePtr static_schedule(Topology topology) {
  return std::make_shared<StaticSchedule>(std::move(topology));
}

SchedulePtr one_peer_exponential(int size) {
  return std::make_shared<OnePeerExponential>(size);
}

SchedulePtr one_peer_hypercube(int size) {
  return std::make_shared<OnePeerHypercube>(size);
}

SchedulePtr one_peer_dynamic(Topology topology) {
  return std::make_shared<OnePeerDynamic>(std::move(topology));
}

SchedulePtr inner_outer_ring(int world_size, int local_size) {
  const topology::Machines machines("inner_outer_ring", world_size, local_size);
  if (!machines.has_inner_and_outer()) return static_schedule(ring_graph(world_size, RingStyle::Right));
  return std::make_shared<InnerOuterRing>(machines);
}

SchedulePtr inner_outer_expo2(int world_size, int local_size) {
  const topology::Machines machines("inner_outer_expo2", world_size, local_size);
  if (!machines.has_inner_and_outer()) return one_peer_exponential(world_size);
  return std::make_shared<InnerOuterExpo2>(machines);
}

}  // namespace bluefog
