#include "engine/machines.hpp"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include <bluefog/error.hpp>

#include "base/hash.hpp"
#include "engine/arguments.hpp"

namespace bluefog::engine {

namespace {

using base::hash_combine;
using mixing::MixingRow;
using mixing::RowForm;
using Options = HierarchicalNeighborAllreduceOptions;

std::string text(int number) {
  return std::to_string(number);
}

RowForm form_of(MixingForm form, bool weighted) {
  if (form == MixingForm::Difference) return RowForm::Difference;
  return weighted ? RowForm::Weighted : RowForm::Uniform;
}

bool has_weights(const Options& options) {
  return options.self_weight || options.src_machine_weights || options.dst_machine_weights;
}

MixingRow explicit_row(const Options& options, int machine) {
  MixingRow row;
  row.rank = machine;
  row.form = form_of(options.form, true);
  row.self_weight = *options.self_weight;
  for (const auto& [source, weight] : *options.src_machine_weights) row.sources.push_back({source, weight});
  for (const auto& [destination, weight] : *options.dst_machine_weights) {
    row.destinations.push_back({destination, weight});
  }
  return row;
}

}  // namespace

Machines::Machines(int rank, mixing::MachineMap machines, const std::vector<int>& hosts)
    : rank_(rank), machines_(std::make_shared<const mixing::MachineMap>(std::move(machines))) {
  std::vector<int> numbers(static_cast<std::size_t>(machines_->count()));
  std::iota(numbers.begin(), numbers.end(), 0);
  everyone_ = std::make_shared<const std::vector<int>>(std::move(numbers));
  for (std::size_t other = 0; other < hosts.size(); ++other) {
    if (hosts[other] == hosts[static_cast<std::size_t>(rank)]) near_.push_back(static_cast<int>(other));
  }
}

void Machines::set_topology(const Topology& topology, bool weighted) {
  if (topology.size() != machines_->count()) {
    throw InvalidArgument("set_machine_topology on rank " + text(rank_) + ": the topology has " +
                          text(topology.size()) + " nodes, the job " + text(machines_->count()) +
                          " machines");
  }
  const std::lock_guard lock(mutex_);
  topology_ = {std::make_shared<const Topology>(topology), weighted, topology_.version + 1};
}

Machines::KnownTopology Machines::known() const {
  const std::lock_guard lock(mutex_);
  return topology_;
}

std::optional<Topology> Machines::topology() const {
  const KnownTopology topology = known();
  return topology.graph ? std::optional(*topology.graph) : std::nullopt;
}

bool Machines::is_weighted() const {
  return known().weighted;
}

void Machines::check_machines(const Weights& weights, const char* argument) const {
  const int own = machines_->machine_of(rank_);
  for (const auto& [machine, weight] : weights) {
    if (machine < 0 || machine >= machines_->count()) {
      throw InvalidArgument(std::string(argument) + ": there is no machine " + text(machine) +
                            " in a job of " + text(machines_->count()) + "; keys are numbers of machines");
    }
    if (machine == own) {
      throw InvalidArgument(std::string(argument) + ": machine " + text(machine) +
                            " is this rank's own; use self_weight");
    }
    check_finite(weight, std::string(argument) + ": the weight for machine " + text(machine));
  }
}

std::uint64_t Machines::key_of(const Options& options) const {
  std::uint64_t key = hash_combine(0x6d616368696e6573ULL, static_cast<std::uint64_t>(options.form));
  if (options.schedule) {
    if (has_weights(options)) throw InvalidArgument("give weights or a schedule, not both");
    if (options.schedule->size() != machines_->count()) {
      throw InvalidArgument(
          "the schedule is for " + text(options.schedule->size()) + " machines, the job has " +
          text(machines_->count()) +
          "; hierarchical_neighbor_allreduce takes a schedule over machines, not over ranks");
    }
    key = hash_combine(key, options.schedule->hash());
    return hash_combine(key, options.round % options.schedule->period());
  }
  if (has_weights(options)) {
    if (!options.self_weight || !options.src_machine_weights || !options.dst_machine_weights) {
      throw InvalidArgument(
          "self_weight, src_machine_weights and dst_machine_weights come together: give all, or none");
    }
    check_finite(*options.self_weight, "self_weight");
    check_machines(*options.src_machine_weights, "src_machine_weights");
    check_machines(*options.dst_machine_weights, "dst_machine_weights");
    return hash_combine(key, explicit_row(options, machines_->machine_of(rank_)).hash());
  }
  const KnownTopology topology = known();
  if (!topology.graph) {
    throw TopologyMissing(
        "no machine topology is set: call set_machine_topology first, or give self_weight, "
        "src_machine_weights and dst_machine_weights");
  }
  return hash_combine(key, hash_combine(topology.version, 0x746f706f6cULL));
}

KnownMatrix Machines::matrix_of(const Options& options) const {
  if (options.schedule) {
    const std::uint64_t round = options.round % options.schedule->period();
    return {options.schedule->shared_round(round), everyone_, form_of(options.form, true), true,
            "round " + std::to_string(round) + " of " + std::string(options.schedule->name())};
  }
  const KnownTopology topology = known();
  return {topology.graph, everyone_, form_of(options.form, topology.weighted), topology.weighted,
          "its machine topology"};
}

Plan Machines::plan_of(const Options& options) const {
  const int machine = machines_->machine_of(rank_);
  if (has_weights(options)) return plan_of(explicit_row(options, machine), 0, "weights in the call");
  const KnownMatrix matrix = matrix_of(options);
  return plan_of(matrix.row_of(machine), matrix.digest(), matrix.name);
}

/// @param row  of the own machine, over machines
Plan Machines::plan_of(const MixingRow& row, std::uint64_t digest, std::string name) const {
  Plan plan(mixing::named_by_first_ranks(row, rank_, *machines_));
  auto step = std::make_shared<MachineStep>();
  step->map = machines_;
  step->plan = mixing::make_machine_plan(rank_, *machines_, row);
  plan.neighbors = near_;
  const int machine = machines_->machine_of(rank_);
  for (int mate = machines_->first_rank(machine); mate < machines_->first_rank(machine + 1); ++mate) {
    plan.neighbors.push_back(mate);
  }
  for (const auto* parts : {&step->plan.sources, &step->plan.destinations}) {
    for (const auto& part : *parts) plan.neighbors.push_back(part.rank);
  }
  std::sort(plan.neighbors.begin(), plan.neighbors.end());
  plan.neighbors.erase(std::unique(plan.neighbors.begin(), plan.neighbors.end()), plan.neighbors.end());
  std::erase(plan.neighbors, rank_);
  auto component = std::make_shared<Component>();
  component->members = near_;
  component->inputs = near_;
  component->hash = machines_->hash();
  for (const int member : near_) {
    component->hash = hash_combine(component->hash, static_cast<std::uint64_t>(member));
  }
  plan.component = std::move(component);
  plan.machines = std::move(step);
  plan.matrix_digest = hash_combine(machines_->hash(), digest) | 1;
  plan.matrix_name = std::move(name);
  return plan;
}

}  // namespace bluefog::engine
