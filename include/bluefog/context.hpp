#pragma once
/// @file context.hpp  One rank's membership of one job: where every operation starts.

#include <cstddef>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include <bluefog/config.hpp>
#include <bluefog/export.hpp>
#include <bluefog/handle.hpp>
#include <bluefog/options.hpp>
#include <bluefog/shared_memory.hpp>
#include <bluefog/stats.hpp>
#include <bluefog/tensor.hpp>
#include <bluefog/topology.hpp>
#include <bluefog/window.hpp>

namespace bluefog {

namespace engine {
class Session;
}

/// One rank of one job. Several can live in one process. Movable; destruction shuts down. One that was moved
/// from is in no job: it counts as shut down, and its other calls throw InvalidArgument.
///
/// Each operation has a blocking form, which runs on the caller's thread, and a form ending in _async, which
/// returns a Handle. Both are thread-safe; operations without a name are matched by the order of their calls,
/// so concurrent threads should use names. Outputs may be the input itself (in place) where it says so;
/// partial overlap is refused. Every operation throws InvalidArgument for a wrong argument, Mismatch when
/// ranks disagree, PeerLost, Timeout and Shutdown.
///
/// A process that is forked from a rank is no rank: there the Context counts as shut down, its operations
/// throw Shutdown, and writes to shared memory stay in that process. Whatever becomes of it, it disturbs
/// nobody.
class BLUEFOG_API Context {
 public:
  /// Joins the job that the environment describes (bfrun sets it), or a job of one without it.
  Context() : Context(Config::from_environment()) {}
  /// Joins the job that `config` describes. @throws InvalidArgument for values that make no sense
  explicit Context(const Config& config);
  /// `size` ranks of a new job inside this process, for threads: tests, notebooks, experiments.
  [[nodiscard]] static std::vector<Context> in_process(int size, const Config& config = {});
  /// The other is in no job afterwards.
  Context(Context&&) noexcept;
  /// Shuts down what it was before.
  Context& operator=(Context&&) noexcept;
  ~Context();

  /// From 0.
  [[nodiscard]] int rank() const;
  /// Number of ranks of the job.
  [[nodiscard]] int size() const;
  /// Rank and number of ranks within the machine, or within the pretended machine
  /// (BLUEFOG_NODES_PER_MACHINE).
  [[nodiscard]] int local_rank() const;
  /// Ranks of the own machine.
  [[nodiscard]] int local_size() const;
  /// Number of the own machine, from 0 in the order of ranks.
  [[nodiscard]] int machine_rank() const;
  /// Number of machines.
  [[nodiscard]] int machine_size() const;
  /// Hosts over which the ranks are spread; those of one share memory. Pretended machines do not count.
  [[nodiscard]] int host_count() const;
  /// What it was made from, with the rank and size that it has.
  [[nodiscard]] const Config& config() const;

  /// Collective: every rank gives the same graph. `weighted`: use its weights; else the uniform mean over
  /// in-neighbours and self. @throws InvalidArgument for a wrong size, Mismatch when ranks give different
  /// graphs; the old one stays
  void set_topology(const Topology& topology, bool weighted = false);
  /// The one that was set last; exponential-2 at first.
  [[nodiscard]] Topology topology() const;
  /// Whether its weights are used.
  [[nodiscard]] bool is_topology_weighted() const;

  /// Of the machines, for hierarchical_neighbor_allreduce. Local: every rank gives the same graph, which
  /// operations compare. `weighted` as in set_topology. @throws InvalidArgument for a wrong size
  void set_machine_topology(const Topology& topology, bool weighted = false);
  /// None until it is set.
  [[nodiscard]] std::optional<Topology> machine_topology() const;
  /// Whether its weights are used.
  [[nodiscard]] bool is_machine_topology_weighted() const;

  /// Shared memory of this rank. @throws Error when the arena or the machine's memory is exhausted
  [[nodiscard]] SharedMemory allocate_shared(std::size_t bytes);
  /// `count` zeroed elements in shared memory. @throws Error as allocate_shared does
  template <class T>
  [[nodiscard]] SharedArray<T> make_shared(std::size_t count) {
    static_assert(std::is_trivially_copyable_v<T>, "other ranks read and write the bytes of shared memory");
    const bool fits = count <= most_shared_bytes / sizeof(T);
    return SharedArray<T>(allocate_shared(fits ? count * sizeof(T) : most_shared_bytes + 1));
  }
  /// Where the byte at this address lives.
  [[nodiscard]] MemoryKind memory_kind(const void* address) const;

  /// output_i <- sum over sources j of src_weights_i[j] * dst_weights_j[i] * input_j, plus self_weight_i *
  /// input_i. Without weights: uniform mean over in-neighbours and self (sum, then one division), or the
  /// topology's weights if it was set weighted. Floating dtypes. output has the shape of input and may be
  /// input. With a group and no weights: exponential-2 graph of the group.
  void neighbor_allreduce(ConstTensor input, Tensor output, const NeighborAllreduceOptions& options = {});
  /// The same, without waiting.
  [[nodiscard]] Handle neighbor_allreduce_async(ConstTensor input, Tensor output,
                                                const NeighborAllreduceOptions& options = {});

  /// On every rank of machine m: output <- self_weight_m * mean_m + sum over machines k of
  /// src_machine_weights_m[k] * dst_machine_weights_k[m] * mean_k, where mean_k is the mean of the tensors of
  /// machine k's ranks, rounded to their dtype. Without weights: the uniform mean over in-neighbours and self
  /// in the machine topology, or its weights if it was set weighted. Sums go over the ranks of a machine in
  /// ascending order, then over machines in ascending order: the bits depend on which ranks are of one
  /// machine, and on nothing else. Floating dtypes. All ranks of the job make the call; those of a machine,
  /// and of machines that are connected, wait for each other. output may be input.
  ///
  /// Every rank of a machine averages and mixes one slice of the tensors, so a machine's mean crosses once to
  /// each machine that needs it, shared out among the ranks of both. Machines may have unequal numbers of
  /// ranks. @throws TopologyMissing without weights, schedule and machine topology
  void hierarchical_neighbor_allreduce(ConstTensor input, Tensor output,
                                       const HierarchicalNeighborAllreduceOptions& options = {});
  /// The same, without waiting.
  [[nodiscard]] Handle hierarchical_neighbor_allreduce_async(
      ConstTensor input, Tensor output, const HierarchicalNeighborAllreduceOptions& options = {});

  /// Concatenation along dimension 0 of the in-neighbours' tensors, ascending, or in the order of src_ranks;
  /// self excluded. First extents may differ. All dtypes.
  [[nodiscard]] GatheredTensor neighbor_allgather(ConstTensor input,
                                                  const NeighborAllgatherOptions& options = {});
  /// The same, without waiting.
  [[nodiscard]] Handle neighbor_allgather_async(ConstTensor input,
                                                const NeighborAllgatherOptions& options = {});

  /// Sum or mean over the group, in ascending rank order. Mean: floating dtypes; Sum: all but bool. output
  /// may be input.
  void allreduce(ConstTensor input, Tensor output, const AllreduceOptions& options = {});
  /// The same, without waiting.
  [[nodiscard]] Handle allreduce_async(ConstTensor input, Tensor output,
                                       const AllreduceOptions& options = {});

  /// Concatenation along dimension 0 of all tensors of the group, in its order. First extents may differ. All
  /// dtypes.
  [[nodiscard]] GatheredTensor allgather(ConstTensor input, const OperationOptions& options = {});
  /// The same, without waiting.
  [[nodiscard]] Handle allgather_async(ConstTensor input, const OperationOptions& options = {});

  /// tensor <- the root's tensor. `root` is a global rank of the group. All dtypes.
  void broadcast(Tensor tensor, int root, const OperationOptions& options = {});
  /// The same, without waiting.
  [[nodiscard]] Handle broadcast_async(Tensor tensor, int root, const OperationOptions& options = {});

  /// Returns when every member of the group has called it.
  void barrier(const OperationOptions& options = {});
  /// The same, without waiting.
  [[nodiscard]] Handle barrier_async(const OperationOptions& options = {});

  /// Opens a window on `tensor`. Collective among neighbours: each gives the same name, dtype and shape, and
  /// waits for its own neighbours only. Windows have names of their own. @throws InvalidArgument for a wrong
  /// argument or a name that is in use, Mismatch when neighbours disagree
  [[nodiscard]] Window create_window(const std::string& name, Tensor tensor,
                                     const WindowOptions& options = {});
  /// The same, without waiting.
  [[nodiscard]] WindowCreation create_window_async(const std::string& name, Tensor tensor,
                                                   const WindowOptions& options = {});
  /// @throws InvalidArgument for a name of no window
  [[nodiscard]] Window window(const std::string& name) const;
  /// Ascending.
  [[nodiscard]] std::vector<std::string> window_names() const;
  /// Whether window operations move push-sum weights along with their tensors; off at first. Local.
  void use_associated_p(bool on);
  /// What use_associated_p() was told last.
  [[nodiscard]] bool uses_associated_p() const;

  /// What this rank has done since it joined, and on whom it waited. Cheap, but not for every step.
  [[nodiscard]] Stats stats() const;

  /// Marks an activity of the user's in the timeline (Config::timeline), in the row `name`. @returns false
  /// without a timeline, and after shutdown()
  bool timeline_start_activity(const std::string& name, const std::string& activity);
  /// Ends the activity that was started last in that row. @returns false if there is none
  bool timeline_end_activity(const std::string& name);

  /// Leaves the job: waits up to 10 s for operations in flight, then fails them. Later operations throw
  /// Shutdown.
  void shutdown();
  /// True in a forked child, too.
  [[nodiscard]] bool is_shut_down() const;

 private:
  static constexpr std::size_t most_shared_bytes = std::numeric_limits<std::size_t>::max() / 2;

  friend class Simulation;
  [[nodiscard]] const std::shared_ptr<engine::Session>& session() const;
  class Impl;
  [[nodiscard]] Impl& impl() const;
  explicit Context(std::unique_ptr<Impl> impl);
  explicit Context(std::shared_ptr<engine::Session> session);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bluefog
