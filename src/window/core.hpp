#pragma once
/// @file core.hpp  One rank's part of one window: its memory, and its two ends of every edge.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <bluefog/error.hpp>
#include <bluefog/shared_memory.hpp>
#include <bluefog/tensor.hpp>
#include <bluefog/window.hpp>

#include "mixing/row.hpp"
#include "transport/transport.hpp"
#include "window/edge_reader.hpp"
#include "window/edge_writer.hpp"
#include "window/robust_lock.hpp"
#include "window/stores.hpp"

namespace bluefog::window {

class Windows;

/// One of the locks of a window, here or at a neighbour. Of one process only one way to it is under way at a
/// time, for locks know ranks and no threads.
struct LockPlace {
  LockWords* words = nullptr;  ///< nullptr: at a far rank
  int rank = -1;               ///< whose window it belongs to
  int source = -1;             ///< of an edge's mutex; -1: the lock of the tensor
  bool is_busy = false;        ///< under the core's mutex
  std::thread::id kept_by{};   ///< the thread that holds it from one call to another
};

/// What a neighbour's part of the window is, as it has told.
struct NeighborFacts {
  std::uint64_t topic = 0;  ///< under which it takes notes
  WindowHeader* header = nullptr;
  EdgeHeader* edge = nullptr;         ///< of this rank there
  const std::byte* tensor = nullptr;  ///< nullptr: it lies in private memory
  std::vector<int> neighbors;         ///< that may wait for its locks
};

struct Neighbor {
  int rank = -1;
  bool is_far = false;
  bool is_source = false;
  bool is_destination = false;
  EdgeHeader* edge = nullptr;  ///< of it here
  NeighborFacts there;
  std::unique_ptr<EdgeReader> reader;   ///< if it is a source
  std::unique_ptr<EdgeWriter> writer;   ///< if it is a destination on this host
  std::unique_ptr<EdgeWriter> arrival;  ///< if it is a far source: for what it sends
  std::vector<std::byte> pieces{};      ///< of a tensor for a mean, from a far one
  LockPlace mutex_here;
  LockPlace mutex_there;
  LockPlace tensor_there;
  std::atomic<bool> has_closed{false};  ///< a far one says so
};

/// What far neighbours ask for, and what they hold here; a service of the engine grants it.
struct FarWishes {
  struct Lock {
    int rank;
    std::uint64_t request;
    RobustLock lock;
    bool is_granted = false;
    bool is_told = false;
    bool is_over = false;  ///< it is given back, or not wanted any more
  };
  struct Get {
    int rank;
    std::uint64_t request;
    double weight;
  };
  /// A mean of the tensor here and these bytes.
  struct Mean {
    int rank = -1;
    std::uint64_t request = 0;
    std::vector<std::byte> bytes{};
  };
  std::deque<Lock> locks;
  std::deque<Get> gets;
  std::deque<Mean> means;
  bool are_served = true;
};

class Core {
 public:
  Core(Windows& windows, std::string name, Tensor tensor, bool averages);

  /// Makes room for these neighbours, in shared memory. @throws Error without memory
  void build(const mixing::MixingRow& row, bool zero_init);
  /// What this rank tells its neighbours.
  [[nodiscard]] std::vector<std::uint64_t> describe() const;
  /// @param words  its description, and what follows. @returns the length of the former. @throws Mismatch
  std::size_t meet(int from, std::span<const std::uint64_t> words);

  [[nodiscard]] Windows& windows() const noexcept { return windows_; }
  [[nodiscard]] transport::Transport& transport() const noexcept;
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] const Tensor& tensor() const noexcept { return tensor_; }
  [[nodiscard]] std::byte* data() const noexcept { return static_cast<std::byte*>(tensor_.data); }
  [[nodiscard]] std::size_t count() const noexcept { return tensor_.count(); }
  [[nodiscard]] std::size_t bytes() const noexcept { return tensor_.bytes(); }
  [[nodiscard]] std::uint64_t topic() const noexcept { return topic_; }
  [[nodiscard]] int rank() const;
  [[nodiscard]] const mixing::MixingRow& row() const noexcept { return row_; }
  [[nodiscard]] WindowHeader& header() const noexcept { return *header_; }
  [[nodiscard]] const Stores& stores() const noexcept { return stores_; }
  [[nodiscard]] std::vector<std::unique_ptr<Neighbor>>& neighbors() noexcept { return neighbors_; }
  /// nullptr for others.
  [[nodiscard]] Neighbor* neighbor(int rank) const;
  [[nodiscard]] bool needs_service() const;
  /// Whether neighbours may ask for means.
  [[nodiscard]] bool averages() const noexcept { return averages_; }
  [[nodiscard]] LockPlace& tensor_lock() noexcept { return tensor_lock_; }
  /// A mirror of a private tensor, for those who read it. @throws Error without memory
  [[nodiscard]] std::byte* mirror();

  /// "win_put \"name\" on rank 2".
  [[nodiscard]] std::string describe_call(std::string_view operation) const;
  [[nodiscard]] bool is_lost(int rank) const;
  [[nodiscard]] IsDead is_dead() const noexcept { return death_; }
  /// @throws PeerLost or InvalidArgument if a neighbour's part cannot be reached
  void require_open(std::string_view operation, const Neighbor& peer) const;
  [[noreturn]] void throw_lost(std::string_view operation, int rank, const std::string& consequence) const;
  /// @throws InvalidArgument after free()
  void require_usable(std::string_view operation) const;

  // --- the order of operations: each has its turn
  void line_up(const void* operation);
  [[nodiscard]] bool has_turn(const void* operation) const;
  void step_out(const void* operation);
  /// One try to free the window begins. @throws InvalidArgument if an operation is in flight, a lock is held,
  /// or the window is freed
  void close_to_calls(std::string_view operation);
  /// It ends; another may follow unless it has succeeded.
  void end_freeing(bool has_succeeded);
  /// True for the first who asks: neighbours are told once, for afterwards their memory may be gone.
  [[nodiscard]] bool is_first_to_tell() { return !std::exchange(has_told_neighbors_, true); }
  /// To calls of this rank.
  [[nodiscard]] bool is_closed() const { return is_closed_.load(std::memory_order_acquire); }
  /// Also to those of others: all neighbours have closed theirs.
  void retire();
  [[nodiscard]] bool is_retired() const { return is_retired_.load(std::memory_order_acquire); }
  /// What the tensor lies in, to live until release_memory().
  void keep(std::shared_ptr<const void> keeper);
  /// Nobody uses its memory any more.
  void release_memory();
  /// Others may still write to its memory: it stays until the end.
  void abandon_memory();

  /// Rings all on this host who may wait for a lock of that rank's window.
  void ring_neighbors_of(int rank) const;
  void ring_self() const;

  std::mutex& mutex() const noexcept { return mutex_; }
  FarWishes& wishes() noexcept { return wishes_; }  ///< under mutex()

  /// So often something but this rank's operations on the window has changed the tensor; under its lock.
  std::atomic<std::uint64_t> tensor_changes{0};
  std::atomic<bool> is_served{false};  ///< a service works on the window

 private:
  [[nodiscard]] std::pair<std::byte*, std::uint64_t> allocate(std::size_t bytes);
  [[nodiscard]] bool holds_a_lock() const;
  void add_neighbor(int rank, std::size_t index);
  void compare(int from, const Neighbor& peer, std::span<const std::uint64_t> words) const;

  Windows& windows_;
  std::string name_;
  Tensor tensor_;
  bool averages_;
  Stores stores_;
  std::uint64_t topic_;
  mixing::MixingRow row_;
  std::mutex memory_mutex_;  ///< an edge may need a slot more while mutex_ is held
  std::vector<SharedMemory> memory_;
  std::shared_ptr<const void> keeper_;
  std::uint64_t header_offset_ = 0;
  WindowHeader* header_ = nullptr;
  EdgeHeader* edges_ = nullptr;
  std::vector<std::unique_ptr<Neighbor>> neighbors_;  ///< ascending
  LockPlace tensor_lock_;
  std::byte* mirror_ = nullptr;
  std::function<bool(LockOwner)> death_ = [this](LockOwner owner) { return is_lost(owner.rank()); };

  mutable std::mutex mutex_;
  std::deque<const void*> turns_;
  bool is_being_freed_ = false;      ///< or is freed
  bool has_told_neighbors_ = false;  ///< by the one who frees it
  FarWishes wishes_;
  std::atomic<bool> is_closed_{false};
  std::atomic<bool> is_retired_{false};
};

}  // namespace bluefog::window
