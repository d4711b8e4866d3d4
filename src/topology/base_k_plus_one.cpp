// The Base-(k+1) graph of Takezawa, Sato, Bao, Niwa and Yamada, "Beyond Exponential Graph: Communication-
// Efficient Topologies for Decentralized Learning via Finite-time Convergence" (NeurIPS 2023), algorithms 1
// to 3.

#include <algorithm>
#include <cstddef>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <bluefog/schedule.hpp>

#include "topology/checks.hpp"
#include "topology/fixed_rounds.hpp"
#include "topology/hyper_hypercube.hpp"

namespace bluefog {

namespace {

using topology::fewest_factors;
using topology::HyperHypercube;
using topology::RoundBuilder;

std::size_t index_of(int value) {
  return static_cast<std::size_t>(value);
}

std::vector<int> slice(const std::vector<int>& ranks, std::size_t begin, std::size_t count) {
  const auto first = ranks.begin() + static_cast<std::ptrdiff_t>(begin);
  return {first, first + static_cast<std::ptrdiff_t>(count)};
}

HyperHypercube box_of(const std::vector<int>& ranks, int base) {
  return {ranks, *fewest_factors(static_cast<int>(ranks.size()), base)};
}

/// The ranks of one digit of their number, written in base k + 1: `digit` blocks of a power of k + 1.
struct Part {
  std::vector<int> ranks;
  HyperHypercube whole;
  std::vector<std::vector<int>> blocks;
  std::vector<HyperHypercube> in_blocks;

  Part(std::vector<int> members, int digit, int base)
      : ranks(std::move(members)), whole(box_of(ranks, base)) {
    const std::size_t block_size = ranks.size() / index_of(digit);
    for (std::size_t begin = 0; begin < ranks.size(); begin += block_size) {
      blocks.push_back(slice(ranks, begin, block_size));
      in_blocks.push_back(box_of(blocks.back(), base));
    }
  }
};

/// The highest power of `base` that is at most `number`.
int highest_power(int base, int number) {
  int power = 1;
  while (power <= number / base) power *= base;
  return power;
}

/// The Simple Base-(k+1) graph over some ranks, base = k + 1: the parts average each by itself; then every
/// part but the last gives its mean to all that come after it, one part per round; what its blocks got in
/// return they average among themselves.
class SimpleBase {
 public:
  SimpleBase(const std::vector<int>& ranks, int base) : base_(base) {
    const auto size = static_cast<int>(ranks.size());
    if (fewest_factors(size, base)) {
      parts_.emplace_back(ranks, 1, base);
      rounds_ = parts_.front().whole.rounds();
      return;
    }
    std::size_t begin = 0;
    for (int power = highest_power(base, size); power >= 1; power /= base) {
      const int digit = size / power % base;
      if (digit == 0) continue;
      const std::size_t count = index_of(digit) * index_of(power);
      parts_.emplace_back(slice(ranks, begin, count), digit, base);
      begin += count;
    }
    rounds_ = parts_.front().whole.rounds() + 1 + parts_.front().in_blocks.front().rounds();
  }

  /// Number of rounds until all hold the mean.
  [[nodiscard]] int rounds() const noexcept { return rounds_; }

  /// Round t, t < rounds().
  void add_round(int t, RoundBuilder& round) const {
    const int until_parts_agree = parts_.front().whole.rounds();
    if (t < until_parts_agree) {
      for (const Part& part : parts_) part.whole.add_round(t, round);
      return;
    }
    for (std::size_t giving = 0; giving < parts_.size(); ++giving) {
      const int since_giving = t - until_parts_agree - static_cast<int>(giving);
      if (since_giving == 0) give_to_later_parts(giving, round);
      if (since_giving <= 0) break;
      for (const HyperHypercube& block : parts_[giving].in_blocks) block.add_round(since_giving - 1, round);
    }
  }

 private:
  /// Every rank of the later parts exchanges with one rank of each block, the last ranks of it, so that it
  /// then holds the mean over this part and its own value in proportion to their numbers of ranks. They fit,
  /// as the later parts hold fewer ranks than a block. Who is left over averages with others.
  void give_to_later_parts(std::size_t giving, RoundBuilder& round) const {
    const Part& part = parts_[giving];
    std::vector<int> later;
    for (std::size_t p = giving + 1; p < parts_.size(); ++p) {
      later.insert(later.end(), parts_[p].ranks.begin(), parts_[p].ranks.end());
    }
    if (later.empty()) return;
    const auto blocks = static_cast<double>(part.blocks.size());
    const auto giving_ranks = static_cast<double>(part.ranks.size());
    const double weight = giving_ranks / (blocks * (giving_ranks + static_cast<double>(later.size())));
    std::vector<int> left_over;
    for (const std::vector<int>& block : part.blocks) {
      const std::size_t unmatched = block.size() - later.size();
      for (std::size_t i = 0; i < later.size(); ++i)
        round.exchange(later[i], block[block.size() - 1 - i], weight);
      left_over.insert(left_over.end(), block.begin(),
                       block.begin() + static_cast<std::ptrdiff_t>(unmatched));
    }
    for (std::size_t begin = 0; begin < left_over.size(); begin += index_of(base_)) {
      round.average(slice(left_over, begin, std::min(index_of(base_), left_over.size() - begin)));
    }
  }

  int base_;
  std::vector<Part> parts_;
  int rounds_ = 0;
};

/// Simple graphs over `groups` groups side by side; then, as all ranks of a group hold its mean, one
/// hyper-hypercube through the groups for each of their ranks. One group: the simple graph.
class GroupedBase {
 public:
  GroupedBase(int size, int groups, int base) {
    const int group_size = size / groups;
    for (int group = 0; group < groups; ++group) {
      std::vector<int> ranks(index_of(group_size));
      std::iota(ranks.begin(), ranks.end(), group * group_size);
      groups_.emplace_back(ranks, base);
    }
    for (int place = 0; place < group_size; ++place) {
      std::vector<int> ranks;
      ranks.reserve(index_of(groups));
      for (int group = 0; group < groups; ++group) ranks.push_back(group * group_size + place);
      across_.push_back(box_of(ranks, base));
    }
  }

  [[nodiscard]] int rounds() const { return groups_.front().rounds() + across_.front().rounds(); }

  void add_round(int t, RoundBuilder& round) const {
    const int inside = groups_.front().rounds();
    if (t < inside) {
      for (const SimpleBase& group : groups_) group.add_round(t, round);
    } else {
      for (const HyperHypercube& across : across_) across.add_round(t - inside, round);
    }
  }

 private:
  std::vector<SimpleBase> groups_;
  std::vector<HyperHypercube> across_;
};

/// The largest divisor of `size` whose prime factors are all at most `base`.
int smooth_part(int size, int base) {
  int smooth = 1;
  for (int factor = 2; factor <= std::min(base, size); ++factor) {
    for (; size % factor == 0; size /= factor) smooth *= factor;
  }
  return smooth;
}

}  // namespace

SchedulePtr base_k_plus_one(int size, int max_degree) {
  topology::check_size("base_k_plus_one", size);
  const int base = topology::largest_group("base_k_plus_one", size, max_degree);
  const GroupedBase simple(size, 1, base);
  const GroupedBase full(size, smooth_part(size, base), base);
  const GroupedBase& shorter = full.rounds() < simple.rounds() ? full : simple;
  std::vector<Topology> rounds;
  for (int t = 0; t < std::max(1, shorter.rounds()); ++t) {
    RoundBuilder round(size);
    if (size > 1) shorter.add_round(t, round);
    rounds.push_back(round.finish());
  }
  return std::make_shared<topology::FixedRounds>("base-" + std::to_string(base), std::move(rounds));
}

}  // namespace bluefog
