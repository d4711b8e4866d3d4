#include "engine/known_matrix.hpp"

#include <algorithm>

#include "base/hash.hpp"

namespace bluefog::engine {

namespace {

/// Mostly the group is everybody, in ascending order.
int position_of(int rank, const std::vector<int>& ranks) {
  const auto own = static_cast<std::size_t>(rank);
  if (own < ranks.size() && ranks[own] == rank) return rank;
  return static_cast<int>(std::find(ranks.begin(), ranks.end(), rank) - ranks.begin());
}

}  // namespace

mixing::MixingRow KnownMatrix::row_of(int rank) const {
  const int position = position_of(rank, *ranks);
  const auto in = topology->in_neighbors(position);
  const double uniform = 1.0 / static_cast<double>(in.size() + 1);
  mixing::MixingRow row;
  row.rank = rank;
  row.form = form;
  row.self_weight = weighted ? topology->self_weight(position) : uniform;
  for (const auto& [peer, weight] : in) {
    row.sources.push_back({(*ranks)[static_cast<std::size_t>(peer)], weighted ? weight : uniform});
  }
  for (const auto& [peer, weight] : topology->out_neighbors(position)) {
    row.destinations.push_back({(*ranks)[static_cast<std::size_t>(peer)], 1.0});
  }
  const auto by_rank = [](const auto& a, const auto& b) { return a.rank < b.rank; };
  std::sort(row.sources.begin(), row.sources.end(), by_rank);
  std::sort(row.destinations.begin(), row.destinations.end(), by_rank);
  return row;
}

std::uint64_t KnownMatrix::digest() const {
  const std::uint64_t meaning = static_cast<std::uint64_t>(form) << 1 | (weighted ? 1 : 0);
  return base::hash_combine(topology->hash(), meaning) | 1;
}

Plan plan_over_hosts(const KnownMatrix& matrix, int rank, const mixing::Placement& placement) {
  Plan plan(matrix.row_of(rank));
  if (!placement.shares_hosts()) return plan;
  auto across = mixing::make_host_plan(rank, placement, [&](int member) { return matrix.row_of(member); });
  if (!across.crosses) return plan;
  auto component = std::make_shared<Component>();
  component->members = across.members;
  component->inputs = across.inputs;
  component->rows = across.rows;
  component->hash = matrix.digest();
  for (const int member : across.members) {
    component->hash = base::hash_combine(component->hash, static_cast<std::uint64_t>(member));
  }
  plan.component = std::move(component);
  plan.neighbors = across.peers;
  plan.across = std::make_shared<const mixing::HostPlan>(std::move(across));
  plan.matrix_digest = matrix.digest();
  plan.matrix_name = matrix.name;
  return plan;
}

}  // namespace bluefog::engine
