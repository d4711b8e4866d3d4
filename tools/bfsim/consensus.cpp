#include "consensus.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/hash.hpp"
#include "base/split_mix.hpp"

namespace bfsim {

namespace {

double normal(bluefog::base::SplitMix64& random) {
  const auto uniform = [&] { return static_cast<double>((random.next() >> 11) + 1) * 0x1p-53; };
  const double radius = std::sqrt(-2 * std::log(uniform()));
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

}  // namespace

Consensus::Consensus(int ranks, int steps, std::size_t elements, std::uint64_t seed)
    : ranks_(ranks), seed_(seed), mean_(std::min(elements, most_elements)) {
  std::vector<float> x(mean_.size());
  for (int rank = 0; rank < ranks; ++rank) {
    start(rank, x);
    for (std::size_t i = 0; i < x.size(); ++i) mean_[i] += static_cast<double>(x[i]) / ranks;
  }
  first_ = no_sums();
  for (int rank = 0; rank < ranks; ++rank) {
    start(rank, x);
    add(first_, x);
  }
  after_.assign(static_cast<std::size_t>(steps), no_sums());
}

void Consensus::start(int rank, std::span<float> x) const {
  bluefog::base::SplitMix64 random(bluefog::base::hash_combine(seed_, static_cast<std::uint64_t>(rank)));
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = i < most_elements ? static_cast<float>(normal(random)) : x[i - most_elements];
  }
}

void Consensus::add(int step, std::span<const float> x) {
  add(after_[static_cast<std::size_t>(step)], x);
}

void Consensus::add(Sums& sums, std::span<const float> x) const {
  for (std::size_t i = 0; i < mean_.size(); ++i) {
    const double y = static_cast<double>(x[i]) - mean_[i];
    sums.y[i] += y;
    sums.squares += y * y;
  }
}

double Consensus::spread(const Sums& sums) const {
  double squared_mean = 0;
  for (const double sum : sums.y) squared_mean += sum / ranks_ * (sum / ranks_);
  return std::sqrt(std::max(0.0, sums.squares / ranks_ - squared_mean));
}

std::vector<double> Consensus::distances() const {
  const double at_start = spread(first_);
  std::vector<double> distances;
  for (const Sums& sums : after_) distances.push_back(at_start > 0 ? spread(sums) / at_start : 0);
  return distances;
}

}  // namespace bfsim
