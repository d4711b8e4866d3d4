#include "engine/requests.hpp"

#include <algorithm>
#include <functional>
#include <numeric>

#include <bluefog/error.hpp>
#include <bluefog/graphs.hpp>

#include "base/hash.hpp"
#include "engine/arguments.hpp"

namespace bluefog::engine {

namespace {

using base::hash_bytes;
using base::hash_combine;
using mixing::MixingRow;
using mixing::RowForm;

/// Weights given per call may differ in every call; then the plans so far are of no use.
constexpr std::size_t remembered_plans = 4096;

std::uint64_t hash_of(double value) {
  return hash_bytes(&value, sizeof(value), 1);
}

std::uint64_t hash_of(const Weights& weights) {
  std::uint64_t hash = weights.size();
  for (const auto& [rank, weight] : weights) {
    hash = hash_combine(hash_combine(hash, static_cast<std::uint64_t>(rank)), hash_of(weight));
  }
  return hash;
}

std::uint64_t hash_of(const std::vector<int>& ranks) {
  std::uint64_t hash = ranks.size();
  for (const int rank : ranks) hash = hash_combine(hash, static_cast<std::uint64_t>(rank));
  return hash;
}

std::string text(int number) {
  return std::to_string(number);
}

RowForm form_of(MixingForm form, bool weighted) {
  if (form == MixingForm::Difference) return RowForm::Difference;
  return weighted ? RowForm::Weighted : RowForm::Uniform;
}

std::vector<mixing::WeightedRank> weighted_ranks(const Weights& weights) {
  std::vector<mixing::WeightedRank> list;
  for (const auto& [rank, weight] : weights) list.push_back({rank, weight});
  return list;
}

}  // namespace

RequestFactory::RequestFactory(int rank, int size, std::uint64_t generation,
                               std::shared_ptr<const Topology> topology, std::vector<int> hosts,
                               mixing::MachineMap machines)
    : rank_(rank),
      size_(size),
      generation_(generation),
      hosts_(std::move(hosts)),
      has_several_hosts_(std::adjacent_find(hosts_.begin(), hosts_.end(), std::not_equal_to<>()) !=
                         hosts_.end()),
      machines_(rank, std::move(machines), hosts_),
      topology_(std::move(topology)) {
  std::vector<int> everyone(static_cast<std::size_t>(size));
  std::iota(everyone.begin(), everyone.end(), 0);
  everyone_.hash = hash_of(everyone);
  everyone_.ranks = std::make_shared<const std::vector<int>>(std::move(everyone));
}

RequestFactory::Members RequestFactory::members_of(const Group& group) const {
  if (group.empty()) return everyone_;
  std::vector<int> sorted = group;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    if (sorted[i] < 0 || sorted[i] >= size_) {
      throw InvalidArgument("group: there is no rank " + text(sorted[i]) + " in a job of " + text(size_));
    }
    if (i > 0 && sorted[i] == sorted[i - 1]) {
      throw InvalidArgument("group: rank " + text(sorted[i]) + " is given twice");
    }
  }
  if (!std::binary_search(sorted.begin(), sorted.end(), rank_)) {
    throw InvalidArgument("group: rank " + text(rank_) + " is no member; only members make the call");
  }
  return {std::make_shared<const std::vector<int>>(group), hash_of(group)};
}

Request RequestFactory::start(OperationKind kind, const OperationOptions& options,
                              const Members& members) const {
  Request request;
  request.kind = kind;
  request.name = options.name;
  request.group = members.ranks;
  request.undo_log = options.undo_log;
  request.ready = options.ready;
  const std::uint64_t name =
      hash_bytes(options.name.data(), options.name.size(), options.name.empty() ? 0 : 1);
  request.stream = hash_combine(hash_combine(members.hash, generation_),
                                hash_combine(name, static_cast<std::uint64_t>(kind))) |
                   1;
  return request;
}

template <class Fill>
void RequestFactory::fill_or_refuse(Request& request, const OperationOptions& options, const Members& members,
                                    Fill fill) {
  const auto refuse = [&]<class E>(const E& error) {
    const std::string name = options.name.empty() ? "" : " \"" + options.name + "\"";
    request.local_error = std::make_exception_ptr(
        E(std::string(name_of(request.kind)) + name + " on rank " + text(rank_) + ": " + error.what()));
  };
  try {
    if (!options.refusal.empty()) throw InvalidArgument(options.refusal);
    fill();
    return;
  } catch (const TopologyMissing& error) {
    refuse(error);
  } catch (const InvalidArgument& error) {
    refuse(error);
  }
  request.plan = whole_group_plan(members, RowForm::Gather);
  request.input = {};
  request.output = {};
}

/// @param make  gives a MixingRow or a whole Plan
template <class Make>
std::shared_ptr<Plan> RequestFactory::plan(std::uint64_t key, Make make) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = plans_.find(key); known != plans_.end()) return known->second;
  }
  auto compiled = std::make_shared<Plan>(make());
  const std::lock_guard lock(mutex_);
  if (plans_.size() >= remembered_plans) plans_.clear();
  return plans_.try_emplace(key, std::move(compiled)).first->second;
}

void RequestFactory::check_peer(int peer, const Members& members, const char* argument) const {
  if (peer < 0 || peer >= size_) {
    throw InvalidArgument(std::string(argument) + ": there is no rank " + text(peer) + " in a job of " +
                          text(size_));
  }
  if (peer == rank_) {
    throw InvalidArgument(std::string(argument) + ": rank " + text(peer) +
                          " is this rank itself; use self_weight");
  }
  if (std::find(members.ranks->begin(), members.ranks->end(), peer) == members.ranks->end()) {
    throw InvalidArgument(std::string(argument) + ": rank " + text(peer) + " is not in the group");
  }
}

mixing::MixingRow RequestFactory::row_without_weights(const Group& group) const {
  return static_matrix(members_of(group), MixingForm::Plain).row_of(rank_);
}

std::shared_ptr<const Topology> RequestFactory::topology_of(const Members& members) const {
  if (members.hash != everyone_.hash) {
    return std::make_shared<const Topology>(exponential_two_graph(static_cast<int>(members.ranks->size())));
  }
  return topology();
}

KnownMatrix RequestFactory::static_matrix(const Members& members, MixingForm form) const {
  const bool weighted = members.hash == everyone_.hash && is_weighted();
  return {topology_of(members), members.ranks, form_of(form, weighted), weighted, "its topology"};
}

Plan RequestFactory::plan_of(const KnownMatrix& matrix, bool may_cross) const {
  if (!may_cross) return Plan(matrix.row_of(rank_));
  const mixing::Placement placement(*matrix.ranks,
                                    [this](int rank) { return hosts_[static_cast<std::size_t>(rank)]; });
  return plan_over_hosts(matrix, rank_, placement);
}

MixingRow RequestFactory::static_row(const NeighborAllreduceOptions& options, const Members& members) const {
  MixingRow row = static_matrix(members, options.form).row_of(rank_);
  row.form = options.form == MixingForm::Difference ? RowForm::Difference : RowForm::Weighted;
  row.self_weight = *options.self_weight;
  for (const auto& [peer, weight] : *options.src_weights) {
    if (row.source(peer) == nullptr) {
      throw InvalidArgument("src_weights: rank " + text(peer) + " is no in-neighbour of rank " + text(rank_) +
                            " in the topology; give dst_weights too for edges of your own");
    }
  }
  // The edges stay those of the topology; a neighbour that is not named counts nothing.
  for (auto& source : row.sources) {
    const auto given = options.src_weights->find(source.rank);
    source.weight = given == options.src_weights->end() ? 0.0 : given->second;
  }
  return row;
}

MixingRow RequestFactory::explicit_row(const NeighborAllreduceOptions& options,
                                       const Members& members) const {
  for (const auto& [peer, weight] : *options.dst_weights) {
    check_peer(peer, members, "dst_weights");
    check_finite(weight, "dst_weights: the weight for rank " + text(peer));
  }
  MixingRow row;
  row.rank = rank_;
  row.form = options.form == MixingForm::Difference ? RowForm::Difference : RowForm::Weighted;
  row.self_weight = *options.self_weight;
  row.sources = weighted_ranks(*options.src_weights);
  row.destinations = weighted_ranks(*options.dst_weights);
  return row;
}

std::shared_ptr<Plan> RequestFactory::reduce_plan(const NeighborAllreduceOptions& options,
                                                  const Members& members, bool may_cross) {
  if (options.self_weight.has_value() != options.src_weights.has_value()) {
    throw InvalidArgument("self_weight and src_weights come together: give both, or none");
  }
  if (options.dst_weights && !options.src_weights) {
    throw InvalidArgument("dst_weights needs self_weight and src_weights too");
  }
  std::uint64_t key = hash_combine(members.hash, static_cast<std::uint64_t>(options.form) + 1);
  if (may_cross) key = hash_combine(key, 0x686f737473ULL);
  if (options.schedule) {
    if (options.self_weight) throw InvalidArgument("give weights or a schedule, not both");
    if (options.schedule->size() != static_cast<int>(members.ranks->size())) {
      throw InvalidArgument("the schedule is for " + text(options.schedule->size()) +
                            " ranks, the group has " + text(static_cast<int>(members.ranks->size())));
    }
    const std::uint64_t round = options.round % options.schedule->period();
    key = hash_combine(hash_combine(key, options.schedule->hash()), round);
    return plan(key, [&] {
      return plan_of({options.schedule->shared_round(round), members.ranks, form_of(options.form, true), true,
                      "round " + std::to_string(round) + " of " + std::string(options.schedule->name())},
                     may_cross);
    });
  }
  if (options.self_weight) {
    check_finite(*options.self_weight, "self_weight");
    key = hash_combine(hash_combine(key, hash_of(*options.self_weight)), hash_of(*options.src_weights));
    if (options.dst_weights) key = hash_combine(key, hash_of(*options.dst_weights) + 1);
    for (const auto& [peer, weight] : *options.src_weights) {
      check_peer(peer, members, "src_weights");
      check_finite(weight, "src_weights: the weight for rank " + text(peer));
    }
  }
  if (options.dst_weights) return plan(key, [&] { return explicit_row(options, members); });
  {
    const std::lock_guard lock(mutex_);
    key = hash_combine(key, topology_version_);
  }
  if (options.self_weight) return plan(key, [&] { return static_row(options, members); });
  return plan(key, [&] { return plan_of(static_matrix(members, options.form), may_cross); });
}

std::shared_ptr<Plan> RequestFactory::whole_group_plan(const Members& members, RowForm form) {
  const std::uint64_t key =
      hash_combine(hash_combine(members.hash, 0x616c6cULL), static_cast<std::uint64_t>(form));
  return plan(key, [&] {
    MixingRow row;
    row.rank = rank_;
    row.form = form;
    std::vector<int> sorted = *members.ranks;
    std::sort(sorted.begin(), sorted.end());
    for (const int peer : sorted) {
      if (peer != rank_) row.sources.push_back({peer, 1.0});
    }
    row.destinations = row.sources;
    return row;
  });
}

Request RequestFactory::neighbor_allreduce(const ConstTensor& input, const Tensor& output,
                                           const NeighborAllreduceOptions& options) {
  const Members members = members_of(options.group);
  Request request = start(OperationKind::NeighborAllreduce, options, members);
  fill_or_refuse(request, options, members, [&] {
    check_averageable(input.dtype);
    check_output(input, output);
    request.plan =
        reduce_plan(options, members, has_several_hosts_ && options.meet && input.bytes() > eager_bytes);
    request.digest = request.plan->matrix_digest;
    request.input = input;
    request.output = output;
  });
  request.meets = options.meet;
  request.checks_topology = options.check_topology;
  return request;
}

Request RequestFactory::hierarchical_neighbor_allreduce(const ConstTensor& input, const Tensor& output,
                                                        const HierarchicalNeighborAllreduceOptions& options) {
  Request request = start(OperationKind::HierarchicalNeighborAllreduce, options, everyone_);
  fill_or_refuse(request, options, everyone_, [&] {
    if (members_of(options.group).ranks->size() != static_cast<std::size_t>(size_)) {
      throw InvalidArgument("this operation has no groups: all ranks of the job make the call");
    }
    check_averageable(input.dtype);
    check_output(input, output);
    request.plan = plan(machines_.key_of(options), [&] { return machines_.plan_of(options); });
    request.digest = request.plan->matrix_digest;
    request.input = input;
    request.output = output;
  });
  request.meets = true;
  return request;
}

Request RequestFactory::neighbor_allgather(const ConstTensor& input,
                                           const NeighborAllgatherOptions& options) {
  const Members members = members_of(options.group);
  Request request = start(OperationKind::NeighborAllgather, options, members);
  fill_or_refuse(request, options, members, [&] {
    check_gathered(input);
    if (options.src_ranks.has_value() != options.dst_ranks.has_value()) {
      throw InvalidArgument("src_ranks and dst_ranks come together: give both, or none");
    }
    MixingRow row;
    std::vector<int> order;
    if (options.src_ranks) {
      Weights sources;
      Weights destinations;
      for (const auto& [list, map, name] : {std::tuple(&*options.src_ranks, &sources, "src_ranks"),
                                            std::tuple(&*options.dst_ranks, &destinations, "dst_ranks")}) {
        for (const int peer : *list) {
          check_peer(peer, members, name);
          if (!map->emplace(peer, 1.0).second) {
            throw InvalidArgument(std::string(name) + ": rank " + text(peer) + " is given twice");
          }
        }
      }
      row.rank = rank_;
      row.sources = weighted_ranks(sources);
      row.destinations = weighted_ranks(destinations);
      order = *options.src_ranks;
    } else {
      row = KnownMatrix{topology_of(members), members.ranks, RowForm::Gather, false, {}}.row_of(rank_);
      for (const auto& source : row.sources) order.push_back(source.rank);
    }
    row.form = RowForm::Gather;
    std::uint64_t key = hash_combine(hash_of(order), 0x676174686572ULL);
    for (const auto& destination : row.destinations)
      key = hash_combine(key, static_cast<std::uint64_t>(destination.rank));
    request.plan = plan(key, [&] { return Plan(row, order); });
    request.input = input;
  });
  request.checks_topology = options.check_topology;
  return request;
}

Request RequestFactory::allreduce(const ConstTensor& input, const Tensor& output,
                                  const AllreduceOptions& options) {
  const Members members = members_of(options.group);
  Request request = start(OperationKind::Allreduce, options, members);
  fill_or_refuse(request, options, members, [&] {
    const bool is_mean = options.reduction == Reduction::Mean;
    if (is_mean) check_averageable(input.dtype);
    if (input.dtype == DType::Bool)
      throw InvalidArgument("tensors of dtype bool cannot be summed; convert them first");
    check_output(input, output);
    request.plan = whole_group_plan(members, is_mean ? RowForm::Uniform : RowForm::Sum);
    request.input = input;
    request.output = output;
  });
  request.digest = static_cast<std::uint64_t>(options.reduction);
  request.meets = true;
  return request;
}

Request RequestFactory::allgather(const ConstTensor& input, const OperationOptions& options) {
  const Members members = members_of(options.group);
  Request request = start(OperationKind::Allgather, options, members);
  fill_or_refuse(request, options, members, [&] {
    check_gathered(input);
    // Apart from other plans of the whole group, for the order belongs to it.
    const std::uint64_t key = hash_combine(members.hash, 0x616c6c676174ULL);
    request.plan =
        plan(key, [&] { return Plan(whole_group_plan(members, RowForm::Gather)->row, *members.ranks); });
    request.input = input;
  });
  request.meets = true;
  return request;
}

Request RequestFactory::broadcast(const Tensor& tensor, int root, const OperationOptions& options) {
  const Members members = members_of(options.group);
  Request request = start(OperationKind::Broadcast, options, members);
  fill_or_refuse(request, options, members, [&] {
    if (root != rank_) check_peer(root, members, "root_rank");
    check_memory(tensor, "tensor");
    const std::uint64_t key =
        hash_combine(hash_combine(members.hash, 0x62636173ULL), static_cast<std::uint64_t>(root));
    request.plan = plan(key, [&] {
      MixingRow row;
      row.rank = rank_;
      row.form = RowForm::Gather;
      if (root != rank_) row.sources.push_back({root, 1.0});
      if (root == rank_) row.destinations = whole_group_plan(members, RowForm::Gather)->row.destinations;
      return Plan(row, root == rank_ ? std::vector<int>{} : std::vector<int>{root});
    });
    request.input = tensor;
    // The root only reads, so that its tensor may be read in place.
    if (root != rank_) request.output = tensor;
  });
  request.digest = static_cast<std::uint64_t>(root);
  request.meets = true;
  return request;
}

Request RequestFactory::barrier(const OperationOptions& options) {
  const Members members = members_of(options.group);
  Request request = start(OperationKind::Barrier, options, members);
  fill_or_refuse(request, options, members,
                 [&] { request.plan = whole_group_plan(members, RowForm::Gather); });
  request.meets = true;
  return request;
}

Request RequestFactory::agreement(std::uint64_t digest, std::string refusal) {
  OperationOptions options;
  options.refusal = std::move(refusal);
  Request request = start(OperationKind::Agreement, options, everyone_);
  fill_or_refuse(request, options, everyone_,
                 [&] { request.plan = whole_group_plan(everyone_, RowForm::Gather); });
  request.digest = digest;
  request.meets = true;
  return request;
}

void RequestFactory::set_topology(Topology topology, bool weighted) {
  const std::lock_guard lock(mutex_);
  topology_ = std::make_shared<const Topology>(std::move(topology));
  weighted_ = weighted;
  ++topology_version_;
}

std::shared_ptr<const Topology> RequestFactory::topology() const {
  const std::lock_guard lock(mutex_);
  return topology_;
}

bool RequestFactory::is_weighted() const {
  const std::lock_guard lock(mutex_);
  return weighted_;
}

}  // namespace bluefog::engine
