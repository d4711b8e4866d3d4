#pragma once
/// @file requests.hpp  From the arguments of a call to a request: checks them, and compiles the mixing row
/// once per distinct step.

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include <bluefog/options.hpp>
#include <bluefog/tensor.hpp>
#include <bluefog/topology.hpp>

#include "engine/known_matrix.hpp"
#include "engine/machines.hpp"
#include "engine/operation.hpp"

namespace bluefog::engine {

/// Builds requests for one rank. Thread-safe. A wrong argument does not throw here: the request carries the
/// error, so that the call still takes its place in the order of calls and the peers learn of it. Only a
/// group that is wrong throws.
class RequestFactory {
 public:
  /// @param hosts  of each rank
  RequestFactory(int rank, int size, std::uint64_t generation, std::shared_ptr<const Topology> topology,
                 std::vector<int> hosts, mixing::MachineMap machines);

  [[nodiscard]] Request neighbor_allreduce(const ConstTensor& input, const Tensor& output,
                                           const NeighborAllreduceOptions& options);
  [[nodiscard]] Request hierarchical_neighbor_allreduce(const ConstTensor& input, const Tensor& output,
                                                        const HierarchicalNeighborAllreduceOptions& options);
  [[nodiscard]] Request neighbor_allgather(const ConstTensor& input, const NeighborAllgatherOptions& options);
  [[nodiscard]] Request allreduce(const ConstTensor& input, const Tensor& output,
                                  const AllreduceOptions& options);
  [[nodiscard]] Request allgather(const ConstTensor& input, const OperationOptions& options);
  [[nodiscard]] Request broadcast(const Tensor& tensor, int root, const OperationOptions& options);
  [[nodiscard]] Request barrier(const OperationOptions& options);
  /// All ranks give the same digest.
  [[nodiscard]] Request agreement(std::uint64_t digest, std::string refusal);

  /// This rank's row where a call gives no weights: sources and destinations, and what the sources count.
  /// @throws InvalidArgument if the group is wrong
  [[nodiscard]] mixing::MixingRow row_without_weights(const Group& group) const;

  void set_topology(Topology topology, bool weighted);
  [[nodiscard]] std::shared_ptr<const Topology> topology() const;
  [[nodiscard]] bool is_weighted() const;
  [[nodiscard]] Machines& machines() noexcept { return machines_; }

 private:
  struct Members {
    std::shared_ptr<const std::vector<int>> ranks;
    std::uint64_t hash;
  };
  [[nodiscard]] Members members_of(const Group& group) const;
  [[nodiscard]] Request start(OperationKind kind, const OperationOptions& options,
                              const Members& members) const;
  /// Runs `fill`; what it throws becomes the request's local error.
  template <class Fill>
  void fill_or_refuse(Request& request, const OperationOptions& options, const Members& members, Fill fill);
  template <class Make>
  [[nodiscard]] std::shared_ptr<Plan> plan(std::uint64_t key, Make make);
  /// @param may_cross  tensors may go over hosts in slices
  [[nodiscard]] std::shared_ptr<Plan> reduce_plan(const NeighborAllreduceOptions& options,
                                                  const Members& members, bool may_cross);
  [[nodiscard]] Plan plan_of(const KnownMatrix& matrix, bool may_cross) const;
  [[nodiscard]] KnownMatrix static_matrix(const Members& members, MixingForm form) const;
  [[nodiscard]] std::shared_ptr<Plan> whole_group_plan(const Members& members, mixing::RowForm form);
  [[nodiscard]] mixing::MixingRow static_row(const NeighborAllreduceOptions& options,
                                             const Members& members) const;
  [[nodiscard]] mixing::MixingRow explicit_row(const NeighborAllreduceOptions& options,
                                               const Members& members) const;
  [[nodiscard]] std::shared_ptr<const Topology> topology_of(const Members& members) const;
  void check_peer(int peer, const Members& members, const char* argument) const;

  int rank_;
  int size_;
  std::uint64_t generation_;
  std::vector<int> hosts_;
  bool has_several_hosts_;
  Machines machines_;
  Members everyone_;

  mutable std::mutex mutex_;
  std::shared_ptr<const Topology> topology_;
  bool weighted_ = false;
  std::uint64_t topology_version_ = 0;
  std::unordered_map<std::uint64_t, std::shared_ptr<Plan>> plans_;
};

}  // namespace bluefog::engine
