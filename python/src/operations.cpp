#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

#include <nanobind/stl/string.h>

#include <bluefog/error.hpp>

#include "arguments.hpp"
#include "context.hpp"

namespace bluefog::python {
namespace {

/// `ready`: the address of the word that OperationOptions::ready speaks of, or 0.
void set_common(OperationOptions& options, nb::handle name, nb::handle group, std::string refusal,
                bool attended, std::uintptr_t ready = 0) {
  options.refusal = std::move(refusal);
  options.attended = attended;
  options.ready = reinterpret_cast<const std::atomic<std::uint32_t>*>(ready);  // NOLINT
  convert_or_refuse(options, [&] { options.name = name_from(name); });
  if (group.is_none()) return;
  convert_or_refuse(options, [&] { options.group = ranks_from(group, "group"); });
  // The engine takes no ranks for all ranks, which a list that came out empty hardly means.
  if (options.group.empty() && options.refusal.empty())
    throw InvalidArgument("group: an empty list names no rank; leave the group out for all ranks");
}

ConstTensor source_or_refuse(OperationOptions& options, std::uintptr_t address, int dtype, nb::handle shape) {
  ConstTensor source;
  convert_or_refuse(options, [&] { source = tensor_from(address, dtype, shape); });
  return source;
}

Tensor target_like(const ConstTensor& source, std::uintptr_t address) {
  return {reinterpret_cast<void*>(address), source.dtype, source.shape};  // NOLINT
}

void set_weights(NeighborAllreduceOptions& options, nb::handle self_weight, nb::handle src_weights,
                 nb::handle dst_weights, nb::handle schedule, nb::handle round) {
  convert_or_refuse(options, [&] {
    if (!self_weight.is_none()) options.self_weight = weight_from(self_weight, "self_weight");
    if (!src_weights.is_none()) options.src_weights = weights_from(src_weights, "src_weights");
    if (!dst_weights.is_none()) options.dst_weights = destinations_from(dst_weights, "dst_weights");
    if (!schedule.is_none()) options.schedule = schedule_from(schedule);
    options.round = round_from(round);
  });
}

template <bool Blocking>
nb::object neighbor_allreduce(PyContext& self, std::uintptr_t input, std::uintptr_t output, int dtype,
                              nb::handle shape, nb::handle name, nb::handle group, nb::handle self_weight,
                              nb::handle src_weights, nb::handle dst_weights, nb::handle schedule,
                              nb::handle round, bool difference, bool meet, bool check_topology,
                              nb::object keep, std::string refusal, std::uintptr_t ready) {
  NeighborAllreduceOptions options;
  set_common(options, name, group, std::move(refusal), Blocking, ready);
  set_weights(options, self_weight, src_weights, dst_weights, schedule, round);
  options.form = difference ? MixingForm::Difference : MixingForm::Plain;
  options.meet = meet;
  options.check_topology = check_topology;
  const ConstTensor source = source_or_refuse(options, input, dtype, shape);
  const Tensor target = target_like(source, output);
  const auto start = [&] { return self.engine().neighbor_allreduce_async(source, target, options); };
  if constexpr (!Blocking) return run_async(self.flights(), std::move(keep), start);
  run_blocking(start);
  return nb::none();
}

template <bool Blocking>
nb::object hierarchical_neighbor_allreduce(PyContext& self, std::uintptr_t input, std::uintptr_t output,
                                           int dtype, nb::handle shape, nb::handle name,
                                           nb::handle self_weight, nb::handle src_machine_weights,
                                           nb::handle dst_machine_weights, nb::handle schedule,
                                           nb::handle round, bool difference, nb::object keep,
                                           std::string refusal, std::uintptr_t ready) {
  HierarchicalNeighborAllreduceOptions options;
  set_common(options, name, nb::none(), std::move(refusal), Blocking, ready);
  convert_or_refuse(options, [&] {
    if (!self_weight.is_none()) options.self_weight = weight_from(self_weight, "self_weight");
    if (!src_machine_weights.is_none()) {
      options.src_machine_weights = weights_from(src_machine_weights, "src_machine_weights");
    }
    if (!dst_machine_weights.is_none()) {
      options.dst_machine_weights = destinations_from(dst_machine_weights, "dst_machine_weights");
    }
    if (!schedule.is_none()) options.schedule = schedule_from(schedule);
    options.round = round_from(round);
  });
  options.form = difference ? MixingForm::Difference : MixingForm::Plain;
  const ConstTensor source = source_or_refuse(options, input, dtype, shape);
  const Tensor target = target_like(source, output);
  const auto start = [&] {
    return self.engine().hierarchical_neighbor_allreduce_async(source, target, options);
  };
  if constexpr (!Blocking) return run_async(self.flights(), std::move(keep), start);
  run_blocking(start);
  return nb::none();
}

template <bool Blocking>
nb::object neighbor_allgather(PyContext& self, std::uintptr_t input, int dtype, nb::handle shape,
                              nb::handle name, nb::handle group, nb::handle src_ranks, nb::handle dst_ranks,
                              bool check_topology, nb::object keep, std::string refusal,
                              std::uintptr_t ready) {
  NeighborAllgatherOptions options;
  set_common(options, name, group, std::move(refusal), Blocking, ready);
  convert_or_refuse(options, [&] {
    if (!src_ranks.is_none()) options.src_ranks = ranks_from(src_ranks, "src_ranks");
    if (!dst_ranks.is_none()) options.dst_ranks = ranks_from(dst_ranks, "dst_ranks");
  });
  options.check_topology = check_topology;
  const ConstTensor source = source_or_refuse(options, input, dtype, shape);
  const auto start = [&] { return self.engine().neighbor_allgather_async(source, options); };
  if constexpr (!Blocking) return run_async(self.flights(), std::move(keep), start);
  return nb::cast(run_blocking(start).gathered());
}

template <bool Blocking>
nb::object allreduce(PyContext& self, std::uintptr_t input, std::uintptr_t output, int dtype,
                     nb::handle shape, bool mean, nb::handle name, nb::handle group, nb::object keep,
                     std::string refusal, std::uintptr_t ready) {
  AllreduceOptions options;
  set_common(options, name, group, std::move(refusal), Blocking, ready);
  options.reduction = mean ? Reduction::Mean : Reduction::Sum;
  const ConstTensor source = source_or_refuse(options, input, dtype, shape);
  const Tensor target = target_like(source, output);
  const auto start = [&] { return self.engine().allreduce_async(source, target, options); };
  if constexpr (!Blocking) return run_async(self.flights(), std::move(keep), start);
  run_blocking(start);
  return nb::none();
}

template <bool Blocking>
nb::object allgather(PyContext& self, std::uintptr_t input, int dtype, nb::handle shape, nb::handle name,
                     nb::handle group, nb::object keep, std::string refusal, std::uintptr_t ready) {
  OperationOptions options;
  set_common(options, name, group, std::move(refusal), Blocking, ready);
  const ConstTensor source = source_or_refuse(options, input, dtype, shape);
  const auto start = [&] { return self.engine().allgather_async(source, options); };
  if constexpr (!Blocking) return run_async(self.flights(), std::move(keep), start);
  return nb::cast(run_blocking(start).gathered());
}

template <bool Blocking>
nb::object broadcast(PyContext& self, std::uintptr_t tensor, int dtype, nb::handle shape, nb::handle root,
                     nb::handle name, nb::handle group, nb::object keep, std::string refusal,
                     std::uintptr_t ready) {
  OperationOptions options;
  set_common(options, name, group, std::move(refusal), Blocking, ready);
  int root_rank = 0;
  convert_or_refuse(options, [&] { root_rank = rank_from(root, "root_rank"); });
  const Tensor target = target_like(source_or_refuse(options, tensor, dtype, shape), tensor);
  const auto start = [&] { return self.engine().broadcast_async(target, root_rank, options); };
  if constexpr (!Blocking) return run_async(self.flights(), std::move(keep), start);
  run_blocking(start);
  return nb::none();
}

template <bool Blocking>
nb::object barrier(PyContext& self, nb::handle name, nb::handle group, nb::object keep, std::string refusal) {
  OperationOptions options;
  set_common(options, name, group, std::move(refusal), Blocking);
  const auto start = [&] { return self.engine().barrier_async(options); };
  if constexpr (!Blocking) return run_async(self.flights(), std::move(keep), start);
  run_blocking(start);
  return nb::none();
}

using Class = nb::class_<PyContext>;
using nb::arg;

template <class Function>
void def_neighbor_allreduce(Class& context, const char* method, Function function) {
  context.def(method, function, arg("input"), arg("output"), arg("dtype"), arg("shape"), nb::kw_only(),
              arg("name") = "", arg("group") = nb::none(), arg("self_weight") = nb::none(),
              arg("src_weights") = nb::none(), arg("dst_weights") = nb::none(), arg("schedule") = nb::none(),
              arg("round") = 0, arg("difference") = false, arg("meet") = false, arg("check_topology") = true,
              arg("keep") = nb::none(), arg("refusal") = "", arg("ready") = 0);
}

template <class Function>
void def_hierarchical_neighbor_allreduce(Class& context, const char* method, Function function) {
  context.def(method, function, arg("input"), arg("output"), arg("dtype"), arg("shape"), nb::kw_only(),
              arg("name") = "", arg("self_weight") = nb::none(), arg("src_machine_weights") = nb::none(),
              arg("dst_machine_weights") = nb::none(), arg("schedule") = nb::none(), arg("round") = 0,
              arg("difference") = false, arg("keep") = nb::none(), arg("refusal") = "", arg("ready") = 0);
}

template <class Function>
void def_neighbor_allgather(Class& context, const char* method, Function function) {
  context.def(method, function, arg("input"), arg("dtype"), arg("shape"), nb::kw_only(), arg("name") = "",
              arg("group") = nb::none(), arg("src_ranks") = nb::none(), arg("dst_ranks") = nb::none(),
              arg("check_topology") = true, arg("keep") = nb::none(), arg("refusal") = "", arg("ready") = 0);
}

template <class Function>
void def_allreduce(Class& context, const char* method, Function function) {
  context.def(method, function, arg("input"), arg("output"), arg("dtype"), arg("shape"), nb::kw_only(),
              arg("mean") = true, arg("name") = "", arg("group") = nb::none(), arg("keep") = nb::none(),
              arg("refusal") = "", arg("ready") = 0);
}

template <class Function>
void def_allgather(Class& context, const char* method, Function function) {
  context.def(method, function, arg("input"), arg("dtype"), arg("shape"), nb::kw_only(), arg("name") = "",
              arg("group") = nb::none(), arg("keep") = nb::none(), arg("refusal") = "", arg("ready") = 0);
}

template <class Function>
void def_broadcast(Class& context, const char* method, Function function) {
  context.def(method, function, arg("tensor"), arg("dtype"), arg("shape"), arg("root"), nb::kw_only(),
              arg("name") = "", arg("group") = nb::none(), arg("keep") = nb::none(), arg("refusal") = "",
              arg("ready") = 0);
}

template <class Function>
void def_barrier(Class& context, const char* method, Function function) {
  context.def(method, function, nb::kw_only(), arg("name") = "", arg("group") = nb::none(),
              arg("keep") = nb::none(), arg("refusal") = "");
}

}  // namespace

void bind_operations(Class& context) {
  def_neighbor_allreduce(context, "neighbor_allreduce", &neighbor_allreduce<true>);
  def_neighbor_allreduce(context, "neighbor_allreduce_async", &neighbor_allreduce<false>);
  def_hierarchical_neighbor_allreduce(context, "hierarchical_neighbor_allreduce",
                                      &hierarchical_neighbor_allreduce<true>);
  def_hierarchical_neighbor_allreduce(context, "hierarchical_neighbor_allreduce_async",
                                      &hierarchical_neighbor_allreduce<false>);
  def_neighbor_allgather(context, "neighbor_allgather", &neighbor_allgather<true>);
  def_neighbor_allgather(context, "neighbor_allgather_async", &neighbor_allgather<false>);
  def_allreduce(context, "allreduce", &allreduce<true>);
  def_allreduce(context, "allreduce_async", &allreduce<false>);
  def_allgather(context, "allgather", &allgather<true>);
  def_allgather(context, "allgather_async", &allgather<false>);
  def_broadcast(context, "broadcast", &broadcast<true>);
  def_broadcast(context, "broadcast_async", &broadcast<false>);
  def_barrier(context, "barrier", &barrier<true>);
  def_barrier(context, "barrier_async", &barrier<false>);
}

}  // namespace bluefog::python
