// Schedules that every rank draws for itself from a seed that all share.

#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <bluefog/schedule.hpp>

#include "base/hash.hpp"
#include "base/split_mix.hpp"
#include "topology/checks.hpp"
#include "topology/round_builder.hpp"

namespace bluefog {

namespace {

/// What schedules that are drawn have in common: they never repeat, so that their facts must be known without
/// looking at their rounds. Each round preserves both constants and the mean.
class RandomSchedule : public Schedule {
 public:
  [[nodiscard]] int size() const override { return size_; }
  [[nodiscard]] std::uint64_t period() const override { return std::numeric_limits<std::uint64_t>::max(); }

 protected:
  RandomSchedule(int size, std::uint64_t seed) : size_(size), seed_(seed) {}

  /// The numbers of one round. hash_combine keeps close seeds and close rounds apart: SplitMix64 from `seed +
  /// t` would give every round's numbers again, one place on, in the next.
  [[nodiscard]] base::SplitMix64 numbers(std::uint64_t t) const {
    return base::SplitMix64(base::hash_combine(seed_, t));
  }
  [[nodiscard]] Facts find_facts() const override {
    Facts facts;
    facts.hash = base::hash_bytes(name().data(), name().size());
    facts.hash = base::hash_combine(facts.hash, static_cast<std::uint64_t>(size_));
    facts.hash = base::hash_combine(facts.hash, seed_);
    return facts;
  }

 private:
  int size_;
  std::uint64_t seed_;
};

class RandomMatching final : public RandomSchedule {
 public:
  RandomMatching(int size, std::uint64_t seed) : RandomSchedule(size, seed) {}
  [[nodiscard]] std::string_view name() const override { return "one-peer random matching"; }
  [[nodiscard]] Topology round(std::uint64_t t) const override {
    std::vector<int> order(static_cast<std::size_t>(size()));
    std::iota(order.begin(), order.end(), 0);
    base::SplitMix64 random = numbers(t);
    for (std::size_t last = order.size() - 1; last > 0; --last) {
      std::swap(order[last], order[random.below(last + 1)]);
    }
    topology::RoundBuilder pairs(size());
    for (std::size_t i = 0; i + 1 < order.size(); i += 2) pairs.exchange(order[i], order[i + 1], 0.5);
    return pairs.finish();
  }
};

class RandomShift final : public RandomSchedule {
 public:
  RandomShift(int size, std::uint64_t seed, double weight) : RandomSchedule(size, seed), weight_(weight) {}
  [[nodiscard]] std::string_view name() const override { return "one-peer random shift"; }
  [[nodiscard]] Topology round(std::uint64_t t) const override {
    std::vector<Topology::Edge> edges;
    const int ranks = size();
    const int shift =
        ranks == 1 ? 0 : 1 + static_cast<int>(numbers(t).below(static_cast<std::uint64_t>(ranks - 1)));
    for (int sender = 0; sender < ranks; ++sender) {
      edges.push_back({sender, sender, shift == 0 ? 1.0 : 1.0 - weight_});
      const int receiver = sender < ranks - shift ? sender + shift : sender - (ranks - shift);
      if (shift != 0) edges.push_back({receiver, sender, weight_});
    }
    return {ranks, edges};
  }

 protected:
  [[nodiscard]] Facts find_facts() const override {
    Facts facts = RandomSchedule::find_facts();
    facts.hash = base::hash_combine(facts.hash, std::bit_cast<std::uint64_t>(weight_));
    return facts;
  }

 private:
  double weight_;
};

}  // namespace

SchedulePtr one_peer_random_matching(int size, std::uint64_t seed) {
  topology::check_size("one_peer_random_matching", size);
  return std::make_shared<RandomMatching>(size, seed);
}

SchedulePtr one_peer_random_shift(int size, std::uint64_t seed, double weight) {
  topology::check_size("one_peer_random_shift", size);
  if (!(weight > 0.0 && weight < 1.0)) {
    throw InvalidArgument("one_peer_random_shift: the weight of what arrives is " + std::to_string(weight) +
                          ", it must be between 0 and 1");
  }
  return std::make_shared<RandomShift>(size, seed, weight);
}

}  // namespace bluefog
