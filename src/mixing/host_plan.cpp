#include "mixing/host_plan.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

namespace bluefog::mixing {

namespace {

/// Tensors by host: of which they come, or to which they go.
using TensorsByHost = std::map<std::size_t, std::set<int>>;

std::vector<int> listed(const std::set<int>& ranks) {
  return {ranks.begin(), ranks.end()};
}

void add_incoming(HostPlan& plan, const Placement& placement, const TensorsByHost& needed) {
  for (const auto& [host, tensors] : needed) {
    const std::vector<int>& there = placement.members(host);
    plan.incoming.push_back({there[plan.own % there.size()], listed(tensors)});
    plan.staged.insert(plan.staged.end(), tensors.begin(), tensors.end());
  }
  std::sort(plan.staged.begin(), plan.staged.end());
  std::merge(plan.members.begin(), plan.members.end(), plan.staged.begin(), plan.staged.end(),
             std::back_inserter(plan.inputs));
}

void add_outgoing(HostPlan& plan, const Placement& placement, const TensorsByHost& wanted) {
  for (const auto& [host, tensors] : wanted) {
    const std::vector<int>& there = placement.members(host);
    for (std::size_t slice = plan.own; slice < there.size(); slice += plan.members.size()) {
      plan.outgoing.push_back({there[slice], listed(tensors), slice, there.size()});
    }
  }
}

std::vector<int> peers_of(const HostPlan& plan) {
  std::set<int> peers(plan.members.begin(), plan.members.end());
  for (const auto& stream : plan.incoming) peers.insert(stream.carrier);
  for (const auto& stream : plan.outgoing) peers.insert(stream.carrier);
  peers.erase(plan.members[plan.own]);
  return listed(peers);
}

}  // namespace

Placement::Placement(std::span<const int> ranks, base::FunctionRef<int(int)> host_of) {
  std::map<int, std::size_t> number_of_host;
  for (const int rank : ranks) {
    const auto [at, is_new] = number_of_host.try_emplace(host_of(rank), members_.size());
    if (is_new) members_.emplace_back();
    members_[at->second].push_back(rank);
    if (static_cast<std::size_t>(rank) >= host_of_rank_.size()) {
      host_of_rank_.resize(static_cast<std::size_t>(rank) + 1);
    }
    host_of_rank_[static_cast<std::size_t>(rank)] = at->second;
  }
  for (auto& members : members_) {
    std::sort(members.begin(), members.end());
    shares_hosts_ = shares_hosts_ || members.size() > 1;
  }
}

HostPlan make_host_plan(int own, const Placement& placement, base::FunctionRef<MixingRow(int)> row_of) {
  const std::size_t own_host = placement.host_of(own);
  HostPlan plan;
  plan.members = placement.members(own_host);
  plan.own = static_cast<std::size_t>(std::lower_bound(plan.members.begin(), plan.members.end(), own) -
                                      plan.members.begin());
  TensorsByHost needed;
  TensorsByHost wanted;
  for (const int member : plan.members) {
    const MixingRow row = row_of(member);
    for (const auto& source : row.sources) {
      const std::size_t host = placement.host_of(source.rank);
      if (host != own_host) needed[host].insert(source.rank);
    }
    for (const auto& destination : row.destinations) {
      const std::size_t host = placement.host_of(destination.rank);
      if (host != own_host) wanted[host].insert(member);
    }
    plan.rows.push_back(resolve(row, [](int) { return 1.0; }));
  }
  plan.crosses = !needed.empty() || !wanted.empty();
  add_incoming(plan, placement, needed);
  add_outgoing(plan, placement, wanted);
  plan.peers = peers_of(plan);
  return plan;
}

}  // namespace bluefog::mixing
