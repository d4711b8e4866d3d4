#pragma once
/// @file machines.hpp  The machines of a job as one rank sees them, and its part where they mix their means.

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include <bluefog/options.hpp>
#include <bluefog/topology.hpp>

#include "engine/known_matrix.hpp"
#include "engine/operation.hpp"
#include "mixing/machine_plan.hpp"

namespace bluefog::engine {

/// Thread-safe.
class Machines {
 public:
  /// @param hosts  of each rank
  Machines(int rank, mixing::MachineMap machines, const std::vector<int>& hosts);

  /// @throws InvalidArgument if it is not for this number of machines
  void set_topology(const Topology& topology, bool weighted);
  /// None until it is set.
  [[nodiscard]] std::optional<Topology> topology() const;
  [[nodiscard]] bool is_weighted() const;

  /// Of a step: equal options give equal plans until the topology is set anew. @throws InvalidArgument for
  /// options that make no sense, TopologyMissing
  [[nodiscard]] std::uint64_t key_of(const HierarchicalNeighborAllreduceOptions& options) const;
  /// @param options  that have passed key_of()
  [[nodiscard]] Plan plan_of(const HierarchicalNeighborAllreduceOptions& options) const;

 private:
  struct KnownTopology {
    std::shared_ptr<const Topology> graph;
    bool weighted = false;
    std::uint64_t version = 0;
  };
  [[nodiscard]] KnownTopology known() const;
  void check_machines(const Weights& weights, const char* argument) const;
  [[nodiscard]] KnownMatrix matrix_of(const HierarchicalNeighborAllreduceOptions& options) const;
  [[nodiscard]] Plan plan_of(const mixing::MixingRow& row, std::uint64_t digest, std::string name) const;

  int rank_;
  std::shared_ptr<const mixing::MachineMap> machines_;
  std::shared_ptr<const std::vector<int>> everyone_;  ///< numbers of all machines
  std::vector<int> near_;                             ///< ranks of this host, the own one too
  mutable std::mutex mutex_;
  KnownTopology topology_;
};

}  // namespace bluefog::engine
