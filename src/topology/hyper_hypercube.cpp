#include "topology/hyper_hypercube.hpp"

#include <algorithm>
#include <cstddef>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <utility>

#include <bluefog/error.hpp>
#include <bluefog/schedule.hpp>

#include "topology/checks.hpp"
#include "topology/fixed_rounds.hpp"

namespace bluefog {

namespace topology {

namespace {

using Factors = std::optional<std::vector<int>>;

const Factors& fewest_factors(int number, int largest, std::map<int, Factors>& known) {
  const auto [at, is_new] = known.try_emplace(number);
  if (!is_new) return at->second;
  Factors best;
  if (number == 1) best.emplace();
  for (int factor = std::min(number, largest); factor >= 2 && !(best && best->size() == 1); --factor) {
    if (number % factor != 0) continue;
    const Factors& others = fewest_factors(number / factor, largest, known);
    if (!others || (best && best->size() <= others->size() + 1)) continue;
    best = others;
    best->insert(std::upper_bound(best->begin(), best->end(), factor), factor);
  }
  at->second = std::move(best);
  return at->second;
}

/// Of a number from 2 up.
int largest_prime_factor(int number) {
  int largest = 1;
  for (int factor = 2; factor <= number / factor; ++factor) {
    while (number % factor == 0) {
      largest = factor;
      number /= factor;
    }
  }
  return std::max(largest, number);
}

}  // namespace

std::optional<std::vector<int>> fewest_factors(int number, int largest) {
  std::map<int, Factors> known;
  return fewest_factors(number, largest, known);
}

HyperHypercube::HyperHypercube(std::vector<int> ranks, std::vector<int> sides)
    : ranks_(std::move(ranks)), sides_(std::move(sides)) {}

void HyperHypercube::add_round(int t, RoundBuilder& round) const {
  if (sides_.empty()) return;
  const auto digit = static_cast<std::size_t>(t) % sides_.size();
  std::size_t stride = 1;
  for (std::size_t lower = 0; lower < digit; ++lower) stride *= static_cast<std::size_t>(sides_[lower]);
  const auto side = static_cast<std::size_t>(sides_[digit]);
  std::vector<int> members(side);
  for (std::size_t place = 0; place < ranks_.size(); ++place) {
    if (place / stride % side != 0) continue;
    for (std::size_t i = 0; i < side; ++i) members[i] = ranks_[place + i * stride];
    round.average(members);
  }
}

}  // namespace topology

SchedulePtr hyper_hypercube(int size, int max_degree) {
  topology::check_size("hyper_hypercube", size);
  const int largest = topology::largest_group("hyper_hypercube", size, max_degree);
  const std::optional<std::vector<int>> sides = topology::fewest_factors(size, largest);
  if (!sides) {
    const int prime = topology::largest_prime_factor(size);
    throw InvalidArgument(
        "hyper_hypercube: " + std::to_string(size) + " ranks form groups of " + std::to_string(prime) +
        " at least, so a rank must talk to " + std::to_string(prime - 1) + " others in a round, not " +
        std::to_string(max_degree) + ": allow more, or use base_k_plus_one, which takes any size");
  }
  std::vector<int> ranks(static_cast<std::size_t>(size));
  std::iota(ranks.begin(), ranks.end(), 0);
  const topology::HyperHypercube box(std::move(ranks), *sides);
  std::vector<Topology> rounds;
  for (int t = 0; t < std::max(1, box.rounds()); ++t) {
    topology::RoundBuilder round(size);
    box.add_round(t, round);
    rounds.push_back(round.finish());
  }
  return std::make_shared<topology::FixedRounds>("hyper-hypercube", std::move(rounds));
}

}  // namespace bluefog
