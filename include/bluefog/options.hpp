#pragma once
/// @file options.hpp  Arguments that the operations of a Context take beside their tensors.

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <bluefog/export.hpp>
#include <bluefog/schedule.hpp>

namespace bluefog {

/// An ordered subset of the ranks of a job. Empty: all ranks.
using Group = std::vector<int>;

/// What every operation takes. (No aggregate, nor are those below: g++ 12 destroys an aggregate twice that is
/// made in the operand of co_await.)
struct OperationOptions {
  OperationOptions() = default;
  /// Operations with a name are matched by it, others by the order of calls. Threads and hooks should use
  /// names.
  std::string name;
  /// Every member must make the call; results are in the order of the group.
  Group group;
  /// For front ends. Not empty: they found the arguments wrong, for this reason. The call takes part all the
  /// same, so that the order of calls stays equal on all ranks: it fails here with InvalidArgument, and its
  /// peers are told.
  std::string refusal;
  /// For front ends that wait through a Handle at once: no background thread needs to make progress
  /// meanwhile.
  bool attended = false;
  /// Instead of Config::undo_log, for this operation.
  std::optional<bool> undo_log;
  /// For tensors that something else, a device, still writes. The operation takes its place in the order of
  /// calls at once, starts when this word is not 0, and holds up those after it until then. The word lives
  /// until the operation is closed.
  const std::atomic<std::uint32_t>* ready = nullptr;
};

/// Rank -> weight.
using Weights = std::map<int, double>;

/// How a row of the mixing matrix is applied (frontend-visible arithmetic; all paths share it to the bit).
enum class MixingForm : std::uint8_t {
  Plain,       ///< sum of w_ij x_j
  Difference,  ///< x_i + sum of w_ij (x_j - x_i) where the row sums to 1, else Plain; what optimizers use
};

/// What Context::neighbor_allreduce takes.
struct NeighborAllreduceOptions : OperationOptions {
  NeighborAllreduceOptions() = default;
  /// Own weights: self_weight and src_weights come together. Keys are global ranks.
  std::optional<double> self_weight;
  /// Of the tensors received, by rank.
  std::optional<Weights> src_weights;
  /// Dynamic: send only to these ranks, scaled by these factors; needs self_weight and src_weights.
  std::optional<Weights> dst_weights;
  /// Instead of weights: the topology of this round. Its size is that of the group.
  SchedulePtr schedule;
  /// Which of its rounds.
  std::uint64_t round = 0;

  /// How the sum is computed.
  MixingForm form = MixingForm::Plain;
  /// All ranks that are connected by edges meet before and after, and shared memory is mixed by slices, in
  /// place. Equal on all of them. Without it a rank waits for its neighbours only. Where hosts are connected,
  /// and a schedule or the topology says how (no weights in the call), all ranks of a host meet, and each
  /// tensor beyond 64 KB goes once to every host that needs it.
  bool meet = false;
  /// Wait for the headers of destinations too, so that a rank that sends to nobody learns it.
  bool check_topology = true;
};

/// What Context::hierarchical_neighbor_allreduce takes. Machines are numbered from 0, in the order of their
/// ranks. All ranks of a machine give the same.
struct HierarchicalNeighborAllreduceOptions : OperationOptions {
  HierarchicalNeighborAllreduceOptions() = default;
  /// Weights for this call: all three, or none. Keys are numbers of machines, without the own one; any
  /// machines. What machine k sends to machine m counts src_machine_weights[k] there times
  /// dst_machine_weights[m] here.
  std::optional<double> self_weight;
  /// Of the means received, by machine.
  std::optional<Weights> src_machine_weights;
  /// Machines to send to, with factors.
  std::optional<Weights> dst_machine_weights;
  /// Instead of weights: the topology of this round, over machines in place of ranks.
  SchedulePtr schedule;
  /// Which of its rounds.
  std::uint64_t round = 0;

  /// How the sum is computed.
  MixingForm form = MixingForm::Plain;
};

/// What Context::neighbor_allgather takes.
struct NeighborAllgatherOptions : OperationOptions {
  NeighborAllgatherOptions() = default;
  /// Dynamic: both or none. The output follows the order of src_ranks.
  std::optional<std::vector<int>> src_ranks;
  /// To whom; see src_ranks.
  std::optional<std::vector<int>> dst_ranks;
  /// As in NeighborAllreduceOptions.
  bool check_topology = true;
};

/// What an all-reduce computes of the tensors.
enum class Reduction : std::uint8_t { Sum, Mean };

/// What Context::allreduce takes.
struct AllreduceOptions : OperationOptions {
  AllreduceOptions() = default;
  /// Sum or mean.
  Reduction reduction = Reduction::Mean;
};

}  // namespace bluefog
