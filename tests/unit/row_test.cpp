// Rows of the mixing matrix: components of all small graphs, the rules of the arithmetic, slices, and words.

#include "mixing/row.hpp"

#include <algorithm>
#include <array>
#include <bitset>
#include <numeric>
#include <set>

#include <gtest/gtest.h>

#include <bluefog/error.hpp>

namespace bluefog::mixing {
namespace {

constexpr int ranks = 3;

/// Which edges exist, as one of the ends says: knows[sender][receiver].
using Edges = std::array<std::array<bool, ranks>, ranks>;

Edges edges_of(unsigned bits) {
  Edges edges{};
  for (int sender = 0; sender < ranks; ++sender) {
    for (int receiver = 0; receiver < ranks; ++receiver) {
      if (sender == receiver) continue;
      edges[static_cast<std::size_t>(sender)][static_cast<std::size_t>(receiver)] = (bits & 1U) != 0;
      bits >>= 1U;
    }
  }
  return edges;
}

bool has(const Edges& edges, int sender, int receiver) {
  return edges[static_cast<std::size_t>(sender)][static_cast<std::size_t>(receiver)];
}

/// The row of `rank` where senders know `sent` and receivers know `received`.
MixingRow row_of(int rank, const Edges& sent, const Edges& received) {
  MixingRow row;
  row.rank = rank;
  for (int peer = 0; peer < ranks; ++peer) {
    if (has(received, peer, rank)) row.sources.push_back({peer, 1.0});
    if (has(sent, rank, peer)) row.destinations.push_back({peer, 1.0});
  }
  return row;
}

std::array<MixingRow, ranks> rows_of(const Edges& sent, const Edges& received) {
  return {row_of(0, sent, received), row_of(1, sent, received), row_of(2, sent, received)};
}

/// Ranks that can be reached from `rank` along edges in either direction; by closure of the relation.
std::vector<int> component_of(int rank, const Edges& edges) {
  std::array<std::array<bool, ranks>, ranks> joined{};
  for (int a = 0; a < ranks; ++a) {
    for (int b = 0; b < ranks; ++b) {
      joined[static_cast<std::size_t>(a)][static_cast<std::size_t>(b)] =
          a == b || has(edges, a, b) || has(edges, b, a);
    }
  }
  for (std::size_t via = 0; via < ranks; ++via) {
    for (std::size_t a = 0; a < ranks; ++a) {
      for (std::size_t b = 0; b < ranks; ++b)
        joined[a][b] = joined[a][b] || (joined[a][via] && joined[via][b]);
    }
  }
  std::vector<int> members;
  for (int peer = 0; peer < ranks; ++peer) {
    if (joined[static_cast<std::size_t>(rank)][static_cast<std::size_t>(peer)]) members.push_back(peer);
  }
  return members;
}

constexpr auto anywhere = [](int) { return true; };

TEST(Closure, FindsTheComponentInAllGraphsOfThreeRanks) {
  for (unsigned bits = 0; bits < 64; ++bits) {
    const Edges edges = edges_of(bits);
    const auto rows = rows_of(edges, edges);
    for (int rank = 0; rank < ranks; ++rank) {
      const Closure closure = close_component(
          rows[static_cast<std::size_t>(rank)],
          [&](int peer) { return &rows[static_cast<std::size_t>(peer)]; }, anywhere);
      EXPECT_EQ(closure.members, component_of(rank, edges)) << "graph " << bits << ", rank " << rank;
      EXPECT_TRUE(closure.unknown.empty());
      EXPECT_TRUE(closure.one_sided.empty());
    }
  }
}

TEST(Closure, FindsEveryOneSidedEdgeInAllGraphsOfThreeRanks) {
  for (unsigned sent_bits = 0; sent_bits < 64; ++sent_bits) {
    for (unsigned received_bits = 0; received_bits < 64; ++received_bits) {
      const Edges sent = edges_of(sent_bits);
      const Edges received = edges_of(received_bits);
      const auto rows = rows_of(sent, received);
      // What rank 0 can know: the edges that a rank lists which is reached over lists of others.
      std::set<int> reached{0};
      for (int round = 0; round < ranks; ++round) {
        for (const int rank : std::set<int>(reached)) {
          for (const auto& edge : rows[static_cast<std::size_t>(rank)].sources) reached.insert(edge.rank);
          for (const auto& edge : rows[static_cast<std::size_t>(rank)].destinations)
            reached.insert(edge.rank);
        }
      }
      std::set<std::array<int, 3>> wanted;
      for (int sender = 0; sender < ranks; ++sender) {
        for (int receiver = 0; receiver < ranks; ++receiver) {
          if (has(sent, sender, receiver) == has(received, sender, receiver)) continue;
          const bool sender_knows = has(sent, sender, receiver);
          if (reached.count(sender_knows ? sender : receiver) > 0)
            wanted.insert({sender, receiver, sender_knows});
        }
      }
      const Closure closure = close_component(
          rows[0], [&](int peer) { return &rows[static_cast<std::size_t>(peer)]; }, anywhere);
      std::set<std::array<int, 3>> found;
      for (const auto& edge : closure.one_sided)
        found.insert({edge.sender, edge.receiver, edge.sender_knows});
      EXPECT_EQ(found, wanted) << "sent " << std::bitset<6>(sent_bits) << ", received "
                               << std::bitset<6>(received_bits);
      EXPECT_EQ(closure.members, std::vector<int>(reached.begin(), reached.end()));
    }
  }
}

TEST(Closure, NamesTheMembersWhoseRowsAreNotKnownYet) {
  // 0 -> 1 -> 2
  Edges chain{};
  chain[0][1] = chain[1][2] = true;
  const auto rows = rows_of(chain, chain);
  const Closure nothing_known = close_component(
      rows[0], [](int) -> const MixingRow* { return nullptr; }, anywhere);
  EXPECT_EQ(nothing_known.unknown, std::vector<int>{1});
  const Closure one_known = close_component(
      rows[0], [&](int peer) -> const MixingRow* { return peer == 1 ? &rows[1] : nullptr; }, anywhere);
  EXPECT_EQ(one_known.unknown, std::vector<int>{2});
  EXPECT_EQ(one_known.members, (std::vector<int>{0, 1, 2}));
}

MixingRow weighted(RowForm form, double self, std::vector<WeightedRank> sources) {
  MixingRow row;
  row.rank = 2;
  row.form = form;
  row.self_weight = self;
  row.sources = std::move(sources);
  return row;
}

std::vector<int> ranks_of(const ResolvedRow& row) {
  std::vector<int> list;
  for (const auto& term : row.terms) list.push_back(term.rank);
  return list;
}

constexpr auto no_factor = [](int) { return 1.0; };

TEST(Resolve, PutsTheOwnTermInItsPlace) {
  for (const RowForm form : {RowForm::Sum, RowForm::Uniform, RowForm::Weighted, RowForm::Difference}) {
    const ResolvedRow row = resolve(weighted(form, .25, {{0, .25}, {1, .25}, {7, .25}}), no_factor);
    EXPECT_EQ(ranks_of(row), (std::vector<int>{0, 1, 2, 7}));
    EXPECT_EQ(row.self_term, 2);
  }
}

TEST(Resolve, MultipliesWeightsOfBothEndsInDouble) {
  const ResolvedRow row =
      resolve(weighted(RowForm::Weighted, .5, {{0, 1.0 / 3}}), [](int) { return 1.0 / 7; });
  EXPECT_EQ(row.combine, Combine::Weighted);
  EXPECT_EQ(row.terms[0].weight, 1.0 / 3 * (1.0 / 7));
}

TEST(Resolve, DoesNotReadWhatHasWeightZero) {
  EXPECT_EQ(ranks_of(resolve(weighted(RowForm::Weighted, 0, {{0, 0}, {1, .5}}), no_factor)),
            std::vector<int>{1});
  EXPECT_TRUE(resolve(weighted(RowForm::Weighted, 0, {}), no_factor).terms.empty());
  // But a mean counts everybody.
  EXPECT_EQ(ranks_of(resolve(weighted(RowForm::Uniform, 0, {{0, 0}}), no_factor)), (std::vector<int>{0, 2}));
}

TEST(Resolve, UsesTheDifferenceFormOnlyWhereWeightsSumToOne) {
  EXPECT_EQ(resolve(weighted(RowForm::Difference, 1.0 / 3, {{0, 1.0 / 3}, {1, 1.0 / 3}}), no_factor).combine,
            Combine::Difference);
  EXPECT_EQ(resolve(weighted(RowForm::Difference, .3, {{0, .3}, {1, .3}}), no_factor).combine,
            Combine::Weighted);
  EXPECT_EQ(resolve(weighted(RowForm::Difference, .5, {{0, .5}}), no_factor).combine, Combine::Mean);
  EXPECT_EQ(resolve(weighted(RowForm::Difference, .75, {{0, .25}}), no_factor).combine, Combine::Difference);
}

TEST(Slices, CutAnyCountWithoutGapsAtCacheLines) {
  for (const std::size_t element : {1U, 2U, 4U, 8U}) {
    for (const std::size_t count : {0U, 1U, 7U, 63U, 64U, 65U, 1000U, 16'387U, 300'001U}) {
      for (std::size_t members = 1; members <= 9; ++members) {
        std::size_t next = 0;
        std::size_t smallest = count;
        std::size_t largest = 0;
        for (std::size_t i = 0; i < members; ++i) {
          const Slice slice = slice_of(count, element, members, i);
          ASSERT_EQ(slice.first, next);
          ASSERT_LE(slice.first, slice.last);
          EXPECT_TRUE(slice.first * element % 64 == 0 || slice.first == count);
          smallest = std::min(smallest, slice.last - slice.first);
          largest = std::max(largest, slice.last - slice.first);
          next = slice.last;
        }
        ASSERT_EQ(next, count);
        EXPECT_LE(largest - smallest, 2 * 64 / element) << "slices are of equal size but for a cache line";
      }
    }
  }
}

TEST(Words, BringBackTheRow) {
  MixingRow row = weighted(RowForm::Difference, -0.0, {{0, 1e-300}, {1, -1}, {250, 0.1}});
  row.destinations = {{5, 1.0 / 3}, {255, 2.5}};
  EXPECT_EQ(decode(encode(row)), row);
  EXPECT_EQ(decode(encode(MixingRow{})), MixingRow{});
}

TEST(Words, ThatAreNoRowAreRefused) {
  auto words = encode(weighted(RowForm::Sum, 1, {{0, 1}}));
  words.pop_back();
  EXPECT_THROW(static_cast<void>(decode(words)), Error);
  EXPECT_THROW(static_cast<void>(decode(std::span(words).first(2))), Error);
}

TEST(Hashes, TellRowsApart) {
  const MixingRow row = weighted(RowForm::Weighted, .5, {{0, .5}});
  std::vector<MixingRow> others(5, row);
  others[0].rank = 1;
  others[1].form = RowForm::Uniform;
  others[2].self_weight = .25;
  others[3].sources[0].weight = .25;
  others[4].destinations = {{0, .5}};
  for (const MixingRow& other : others) EXPECT_NE(other.hash(), row.hash());
  EXPECT_EQ(MixingRow(row).hash(), row.hash());
}

}  // namespace
}  // namespace bluefog::mixing
