#pragma once
/// @file operation.hpp  One operation in flight, from the front end's request to its end.

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <bluefog/handle.hpp>
#include <bluefog/tensor.hpp>

#include "base/clock.hpp"
#include "engine/task.hpp"
#include "mixing/host_plan.hpp"
#include "mixing/machine_plan.hpp"
#include "mixing/row.hpp"
#include "transport/transport.hpp"

namespace bluefog::engine {

using transport::bytes_of;
using transport::Key;
using transport::OperationKind;
using transport::Phase;
using transport::Post;
using transport::SlotRef;

/// The ranks that are connected by edges in one operation, and what each of them computes.
struct Component {
  std::vector<int> members;               ///< ascending
  std::vector<int> inputs;                ///< members, and ranks of other hosts whose tensors are staged
  std::vector<std::uint64_t> row_hashes;  ///< by member; none where the matrix is known to all
  std::vector<mixing::ResolvedRow> rows;  ///< by member
  std::uint64_t hash = 0;                 ///< of members and row hashes
  bool spans_hosts = false;               ///< some member has neighbours elsewhere; then `rows` is empty

  /// Position of a member.
  [[nodiscard]] std::size_t index_of(int rank) const;
};

/// The kernel terms of a row, as indices into the ranks of `inputs`, which ascend.
[[nodiscard]] std::vector<mixing::Term> terms_of(const mixing::ResolvedRow& row,
                                                 const std::vector<int>& inputs);

class Crossing;
class Errand;

/// The rank's part where means of machines are mixed.
struct MachineStep {
  std::shared_ptr<const mixing::MachineMap> map;
  mixing::MachinePlan plan;
};

/// The rank's part in a kind of step, compiled once and used for every operation that repeats it.
struct Plan {
  mixing::MixingRow row;
  std::vector<std::uint64_t> row_words;
  std::uint64_t row_hash = 0;
  std::vector<int> neighbors;  ///< with whom this rank deals: sources and destinations, ascending
  std::vector<int>
      gather_order;  ///< for gathers: whose tensors follow each other in the output (own rank allowed)

  /// Where tensors cross between hosts in slices: the way they go, and which matrix it follows.
  std::shared_ptr<const mixing::HostPlan> across;
  /// Where machines mix their means; then the row names them by their first ranks.
  std::shared_ptr<const MachineStep> machines;
  std::uint64_t matrix_digest = 0;
  std::string matrix_name;  ///< for people

  /// Seen last time, kept by the engine under its lock; or known from the start, with `across` or `machines`.
  std::shared_ptr<const Component> component;
  // What was seen last time.
  std::shared_ptr<const mixing::ResolvedRow> resolved;
  std::vector<std::uint64_t> resolved_for;  ///< row hashes of the neighbours

  explicit Plan(mixing::MixingRow own_row, std::vector<int> order = {});
};

/// What a front end asks for.
struct Request {
  OperationKind kind = OperationKind::Barrier;
  std::string name;
  std::shared_ptr<const std::vector<int>> group;  ///< global ranks, in the group's order
  std::uint64_t stream = 0;                       ///< of (group, kind, name)
  std::uint64_t digest = 0;                       ///< what else must be equal on all ranks
  ConstTensor input;
  Tensor output;  ///< not for gathers
  std::shared_ptr<Plan> plan;
  bool meets = false;
  bool checks_topology = true;
  std::optional<bool> undo_log;  ///< what a rank overwrites survives its death; unset: as configured
  const std::atomic<std::uint32_t>* ready = nullptr;  ///< not null: the word that says when it may start
  std::exception_ptr local_error;                     ///< the call is wrong by itself; peers are told
  std::shared_ptr<Errand> errand;                     ///< instead of all this
};

/// A peer's side of an operation, once its post was found.
struct PeerView {
  int rank = -1;
  bool found = false;
  SlotRef slot;
  Post post;
  bool is_far = false;              ///< shares no memory, so it is a neighbour but no member of the component
  base::TimePoint missing_since{};  ///< the operation waits for this peer, among others; else the epoch
};

/// Bytes of a tensor; none for what has no tensor.
struct MemoryRange {
  const std::byte* begin = nullptr;
  const std::byte* end = nullptr;
  MemoryRange() = default;
  explicit MemoryRange(const ConstTensor& tensor)
      : begin(static_cast<const std::byte*>(tensor.data)),
        end(tensor.data != nullptr ? begin + tensor.bytes() : nullptr) {}
  [[nodiscard]] bool overlaps(const MemoryRange& other) const noexcept {
    return begin < other.end && other.begin < end && begin != end && other.begin != other.end;
  }
};

class Operation {
 public:
  explicit Operation(Request request);
  ~Operation();

  /// "neighbor_allreduce \"name\" (call 7) on rank 2", or "win_put \"name\" on rank 2".
  [[nodiscard]] std::string describe(int rank) const;
  [[nodiscard]] const Request& request() const noexcept { return request_; }
  [[nodiscard]] Request& request() noexcept { return request_; }
  [[nodiscard]] bool closed() const noexcept {
    return stage_.load(std::memory_order_acquire) == Stage::Closed;
  }
  [[nodiscard]] const std::exception_ptr& error() const noexcept { return error_; }
  /// Whether the output is the input's own memory.
  [[nodiscard]] bool in_place() const noexcept { return request_.output.data == request_.input.data; }

  /// What is known of a peer; nullptr for a rank that is none.
  [[nodiscard]] const PeerView* find_peer(int rank) const noexcept;

  // Owned by the engine, under its lock.
  MemoryRange read;
  MemoryRange written;
  Key key{};
  std::uint64_t sequence = 0;
  SlotRef slot;
  Post post{};
  std::vector<PeerView>
      peers;  ///< neighbours, or the members of the component, without the own rank; ascending
  std::shared_ptr<const Component> component;  ///< as remembered, until it is closed anew
  std::unique_ptr<Crossing> crossing;          ///< if slices cross before the host mixes
  std::shared_ptr<const mixing::ResolvedRow> resolved;
  base::TimePoint started;
  base::TimePoint next_warning;
  bool has_started = false;    ///< the component that meets has decided so
  std::exception_ptr trouble;  ///< the operation shall give up for this reason, if it still can
  bool is_async = false;
  bool goes_by_slices = false;  ///< else by an exchange of chunks
  Suspension suspension;
  std::uint64_t looks_in_vain = 0;  ///< since it could go on last
  Task task;
  std::uint64_t produced = 0;
  std::uint64_t consumed = 0;
  std::shared_ptr<std::byte[]> gathered;
  Shape gathered_shape;

  void close(std::exception_ptr error) noexcept {
    error_ = std::move(error);
    if (stage_.exchange(Stage::Closed, std::memory_order_acq_rel) == Stage::Watched) tell_watchers();
  }
  /// Calls `then` when it is closed, or now if it is. Any thread.
  void when_closed(std::function<void()> then);

 private:
  enum class Stage : std::uint8_t { Open, Watched, Closed };

  void tell_watchers() noexcept;

  Request request_;
  std::exception_ptr error_;
  std::atomic<Stage> stage_{Stage::Open};
  std::mutex watching_;
  std::vector<std::function<void()>> watchers_;  ///< under the mutex
};

/// Messages up to this size are copied into the post's own chunk ring, before anybody asks for them.
inline constexpr std::size_t eager_bytes = std::size_t{64} << 10;

[[nodiscard]] std::string_view name_of(OperationKind kind) noexcept;
[[nodiscard]] constexpr bool reduces(OperationKind kind) noexcept {
  return kind == OperationKind::NeighborAllreduce || kind == OperationKind::HierarchicalNeighborAllreduce ||
         kind == OperationKind::Allreduce;
}
[[nodiscard]] constexpr bool gathers(OperationKind kind) noexcept {
  return kind == OperationKind::NeighborAllgather || kind == OperationKind::Allgather;
}
[[nodiscard]] constexpr bool moves_data(OperationKind kind) noexcept {
  return kind != OperationKind::Barrier && kind != OperationKind::Agreement;
}
/// "rank 3".
[[nodiscard]] std::string rank_text(int rank);
/// Chunks in which the input of a post is published.
[[nodiscard]] std::uint64_t chunks_of(const Post& post);
/// Why a rank gives an operation up that fails with this error.
[[nodiscard]] transport::Reason reason_of(const std::exception_ptr& error);
/// The part of a name that peers are shown.
[[nodiscard]] inline std::string_view shown_name(const std::string& name) {
  return std::string_view(name).substr(0, transport::longest_shown_name);
}
/// "neighbor_allreduce \"name\" (call 7)".
[[nodiscard]] std::string describe_call(OperationKind kind, const std::string& name, const Key& key);
/// What is wrong with an edge that only one of its ends knows.
[[nodiscard]] std::string describe_edge(const mixing::Closure::OneSidedEdge& edge);
/// What an exception says.
[[nodiscard]] std::string message_of(const std::exception_ptr& error);

}  // namespace bluefog::engine
