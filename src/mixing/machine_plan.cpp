#include "mixing/machine_plan.hpp"

#include <algorithm>

#include "base/hash.hpp"

namespace bluefog::mixing {

namespace {

/// Members of another machine whose shares of a tensor overlap that of member `own` of `members`, as numbers
/// in that machine.
std::vector<int> overlapping(std::size_t own, int members, int other_members) {
  const auto mine = static_cast<std::int64_t>(own);
  std::vector<int> found;
  for (std::int64_t other = 0; other < other_members; ++other) {
    const bool begins_before = other * members < (mine + 1) * other_members;
    const bool ends_after = (other + 1) * members > mine * other_members;
    if (begins_before && ends_after) found.push_back(static_cast<int>(other));
  }
  return found;
}

}  // namespace

MachineMap::MachineMap(std::span<const int> sizes) {
  first_.push_back(0);
  for (const int size : sizes) {
    machine_.insert(machine_.end(), static_cast<std::size_t>(size), static_cast<int>(first_.size()) - 1);
    first_.push_back(first_.back() + size);
    hash_ = base::hash_combine(hash_, static_cast<std::uint64_t>(size));
  }
}

Slice MachineMap::slice_of(int rank, std::size_t count, std::size_t element_size) const {
  constexpr std::size_t cache_line = 64;
  const std::size_t grain = cache_line / element_size;
  const std::size_t grains = (count + grain - 1) / grain;
  const auto members = static_cast<std::size_t>(size_of(machine_of(rank)));
  const auto bound = [&](std::size_t member) { return std::min(count, grain * (grains * member / members)); };
  return {bound(local_rank(rank)), bound(local_rank(rank) + 1)};
}

std::size_t MachinePlan::input_of(int machine) const {
  return static_cast<std::size_t>(std::find(inputs.begin(), inputs.end(), machine) - inputs.begin());
}

MachinePlan make_machine_plan(int rank, const MachineMap& machines, const MixingRow& row) {
  const int own = machines.machine_of(rank);
  MachinePlan plan;
  plan.inputs.push_back(own);
  const auto add_parts = [&](std::vector<MachinePlan::Part>& parts, int other, std::size_t input) {
    for (const int member :
         overlapping(machines.local_rank(rank), machines.size_of(own), machines.size_of(other))) {
      parts.push_back({machines.first_rank(other) + member, input});
    }
  };
  for (const auto& source : row.sources) {
    add_parts(plan.sources, source.rank, plan.inputs.size());
    plan.inputs.push_back(source.rank);
  }
  for (const auto& destination : row.destinations) add_parts(plan.destinations, destination.rank, 0);
  return plan;
}

MixingRow named_by_first_ranks(const MixingRow& row, int rank, const MachineMap& machines) {
  MixingRow named = row;
  named.rank = rank;
  for (auto* list : {&named.sources, &named.destinations}) {
    for (auto& edge : *list) edge.rank = machines.first_rank(edge.rank);
  }
  return named;
}

}  // namespace bluefog::mixing
