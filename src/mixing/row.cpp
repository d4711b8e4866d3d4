#include "mixing/row.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <set>

#include <bluefog/error.hpp>

#include "base/hash.hpp"

namespace bluefog::mixing {

namespace {

const WeightedRank* find_rank(const std::vector<WeightedRank>& list, int rank) {
  const auto at = std::lower_bound(list.begin(), list.end(), rank,
                                   [](const WeightedRank& entry, int value) { return entry.rank < value; });
  return at != list.end() && at->rank == rank ? &*at : nullptr;
}

bool sums_to_one(const ResolvedRow& row) {
  double sum = 0;
  for (const auto& term : row.terms) sum += term.weight;
  return std::abs(sum - 1.0) <= static_cast<double>(row.terms.size()) * 1e-15;
}

}  // namespace

const WeightedRank* MixingRow::source(int peer) const {
  return find_rank(sources, peer);
}
const WeightedRank* MixingRow::destination(int peer) const {
  return find_rank(destinations, peer);
}

std::uint64_t MixingRow::hash() const {
  const auto words = encode(*this);
  return base::hash_bytes(words.data(), words.size() * sizeof(std::uint64_t), 0x6d6978696e67ULL);
}

std::vector<std::uint64_t> encode(const MixingRow& row) {
  std::vector<std::uint64_t> words;
  words.reserve(3 + 2 * (row.sources.size() + row.destinations.size()));
  words.push_back(static_cast<std::uint64_t>(row.rank) << 8 | static_cast<std::uint64_t>(row.form));
  words.push_back(static_cast<std::uint64_t>(row.sources.size()) << 32 | row.destinations.size());
  words.push_back(std::bit_cast<std::uint64_t>(row.self_weight));
  for (const auto* list : {&row.sources, &row.destinations}) {
    for (const auto& [rank, weight] : *list) {
      words.push_back(static_cast<std::uint64_t>(rank));
      words.push_back(std::bit_cast<std::uint64_t>(weight));
    }
  }
  return words;
}

MixingRow decode(std::span<const std::uint64_t> words) {
  if (words.size() < 3) throw Error("a mixing row is cut short");
  const std::size_t sources = words[1] >> 32;
  const std::size_t destinations = words[1] & 0xffffffffU;
  if (words.size() != 3 + 2 * (sources + destinations)) throw Error("a mixing row has the wrong length");
  MixingRow row;
  row.rank = static_cast<int>(words[0] >> 8);
  row.form = static_cast<RowForm>(words[0] & 0xff);
  row.self_weight = std::bit_cast<double>(words[2]);
  auto next = words.subspan(3);
  const auto read = [&next](std::vector<WeightedRank>& list, std::size_t count) {
    list.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      list.push_back({static_cast<int>(next[2 * i]), std::bit_cast<double>(next[2 * i + 1])});
    }
    next = next.subspan(2 * count);
  };
  read(row.sources, sources);
  read(row.destinations, destinations);
  return row;
}

ResolvedRow resolve(const MixingRow& row, base::FunctionRef<double(int)> factor) {
  ResolvedRow resolved;
  const bool counts_all =
      row.form == RowForm::Sum || row.form == RowForm::Uniform || row.form == RowForm::Gather;
  const bool keeps_self = counts_all || row.form == RowForm::Difference || row.self_weight != 0.0;
  const auto add_self = [&] {
    if (!keeps_self || resolved.self_term >= 0) return;
    resolved.self_term = static_cast<int>(resolved.terms.size());
    resolved.terms.push_back({row.rank, row.self_weight});
  };
  for (const auto& [rank, weight] : row.sources) {
    if (rank > row.rank) add_self();
    const double product = counts_all ? weight : weight * factor(rank);
    if (counts_all || product != 0.0) resolved.terms.push_back({rank, product});
  }
  add_self();

  const bool is_pair_mean = resolved.terms.size() == 2 && resolved.self_term >= 0 &&
                            resolved.terms[0].weight == 0.5 && resolved.terms[1].weight == 0.5;
  switch (row.form) {
    case RowForm::Sum:
      resolved.combine = Combine::Sum;
      break;
    case RowForm::Uniform:
    case RowForm::Gather:
      resolved.combine = Combine::Mean;
      break;
    case RowForm::Weighted:
      resolved.combine = Combine::Weighted;
      break;
    case RowForm::Difference:
      if (!sums_to_one(resolved)) {
        MixingRow plain = row;
        plain.form = RowForm::Weighted;
        return resolve(plain, factor);
      }
      resolved.combine = is_pair_mean ? Combine::Mean : Combine::Difference;
      break;
  }
  return resolved;
}

Closure close_component(const MixingRow& own, base::FunctionRef<const MixingRow*(int)> row_of,
                        base::FunctionRef<bool(int)> is_near) {
  std::set<int> members{own.rank};
  std::vector<int> frontier{own.rank};
  Closure closure;
  const auto known = [&](int rank) { return rank == own.rank ? &own : row_of(rank); };
  while (!frontier.empty()) {
    const int rank = frontier.back();
    frontier.pop_back();
    const MixingRow* row = known(rank);
    if (row == nullptr) {
      closure.unknown.push_back(rank);
      continue;
    }
    for (const auto* list : {&row->sources, &row->destinations}) {
      for (const auto& edge : *list) {
        if (!is_near(edge.rank)) {
          closure.has_far_edges = true;
          continue;
        }
        const bool is_source = list == &row->sources;
        if (members.insert(edge.rank).second) frontier.push_back(edge.rank);
        const MixingRow* peer = known(edge.rank);
        if (peer == nullptr) continue;
        if (is_source && peer->destination(rank) == nullptr)
          closure.one_sided.push_back({edge.rank, rank, false});
        if (!is_source && peer->source(rank) == nullptr) closure.one_sided.push_back({rank, edge.rank, true});
      }
    }
  }
  closure.members.assign(members.begin(), members.end());
  std::sort(closure.unknown.begin(), closure.unknown.end());
  return closure;
}

Slice slice_of(std::size_t count, std::size_t element_size, std::size_t members, std::size_t index) {
  constexpr std::size_t cache_line = 64;
  const std::size_t grain = cache_line / element_size;
  const std::size_t grains = (count + grain - 1) / grain;
  const auto bound = [&](std::size_t member) {
    return std::min(count, grain * (grains / members * member + std::min(member, grains % members)));
  };
  return {bound(index), bound(index + 1)};
}

}  // namespace bluefog::mixing
