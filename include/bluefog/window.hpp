#pragma once
/// @file window.hpp  One-sided communication: tensors that neighbours write to and read from while their
/// owner does something else.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <bluefog/export.hpp>
#include <bluefog/handle.hpp>
#include <bluefog/options.hpp>
#include <bluefog/tensor.hpp>

namespace bluefog {

class Context;

namespace engine {
class Session;
}
namespace optim {
class WindowGroup;
}
namespace window {
class Core;
class HeldLocks;
class Creation;
}  // namespace window

/// What Context::create_window takes.
struct WindowOptions {
  /// The buffers of the in-neighbours start as zeros, else as copies of this rank's tensor.
  bool zero_init = false;
  /// The window is opened among these ranks, with the exponential-2 graph; empty: all, with the topology.
  Group group;
  /// Instead of the graph's neighbours: who may write to this rank and is read by it, and to whom this rank
  /// may write. Both or none; ranks name each other.
  std::optional<std::vector<int>> src_ranks;
  /// To whom this rank may write; see src_ranks.
  std::optional<std::vector<int>> dst_ranks;
  /// Neighbours may call average_with(); equal on all ranks. A background thread serves them, under the lock
  /// of the tensor: read and change it under edit().
  bool averages = false;
  /// For front ends, as OperationOptions::refusal.
  std::string refusal;
};

/// What a put or an accumulate sends: a tensor, writable where it is to be scaled afterwards.
struct SentTensor {
  /// What is sent.
  ConstTensor tensor;
  /// The same memory, or null.
  void* writable = nullptr;

  /// To be sent as it is.
  SentTensor(const ConstTensor& value) : tensor(value) {}  // NOLINT
  /// To be sent, and scaled if that is asked for.
  SentTensor(const Tensor& value) : tensor(value), writable(value.data) {}  // NOLINT
  /// Elements that can be written to.
  template <WritableElementRange Range>
  SentTensor(Range&& values) : SentTensor(Tensor(std::forward<Range>(values))) {}  // NOLINT
  /// Elements that are read only.
  template <ElementRange Range>
  SentTensor(const Range& values) : tensor(values) {}  // NOLINT
};

/// What the calls on a window take.
struct WindowCallOptions {
  /// Of a form ending in _async: it begins on the caller's thread, and goes on only while somebody waits
  /// through its Handle. For front ends that wait at once.
  bool attended = false;
  /// Whether push-sum weights move too. Unset: as Context::use_associated_p says.
  std::optional<bool> with_associated_p{};
};

/// What Window::put and Window::accumulate take.
struct WindowPutOptions : WindowCallOptions {
  WindowPutOptions() = default;
  /// The tensor sent, and its push-sum weight, are multiplied with this after all was sent; the tensor must
  /// be writable.
  std::optional<double> self_weight;
  /// To whom, each with a factor. Keys are destinations of the window. Default: all of them, with 1.
  std::optional<Weights> dst_weights;
  /// Holds the mutex of each edge meanwhile.
  bool require_mutex = false;
};

/// What Window::get takes.
struct WindowGetOptions : WindowCallOptions {
  WindowGetOptions() = default;
  /// From whom, each with a factor. Keys are sources of the window. Default: all of them, with 1.
  std::optional<Weights> src_weights;
  /// Holds the mutex of each edge meanwhile.
  bool require_mutex = false;
};

/// What Window::update takes.
struct WindowUpdateOptions : WindowCallOptions {
  WindowUpdateOptions() = default;
  /// Both or none. Without them: the uniform mean over sources and self, or the topology's weights if it was
  /// set weighted and the window has its edges.
  std::optional<double> self_weight;
  /// Of the buffers, by source; others count 0.
  std::optional<Weights> src_weights;
  /// The buffers named are zero afterwards, and so are their push-sum weights.
  bool reset = false;
  /// Not empty: the result goes there, and the window's tensor stays as it is.
  Tensor output;
  /// Holds the mutex of each edge meanwhile.
  bool require_mutex = false;
};

/// Locks of a window's edges, or of its tensor; released by the destructor, or when their rank dies.
class BLUEFOG_API WindowLock {
 public:
  WindowLock() = default;
  /// Made by a Window.
  explicit WindowLock(std::shared_ptr<window::HeldLocks> locks);
  /// The other holds nothing afterwards.
  WindowLock(WindowLock&&) noexcept;
  /// Releases what it held.
  WindowLock& operator=(WindowLock&&) noexcept;
  ~WindowLock();
  /// Now, instead of with the object.
  void release();

 private:
  std::shared_ptr<window::HeldLocks> locks_;
};

/// One rank's part of a window: its own tensor, and a buffer for each in-neighbour (source), which that
/// neighbour puts to and accumulates in, and gets of this rank write to. Copies refer to the same window. The
/// tensor is used in place and must live until the window is freed. No operation needs its target's threads
/// to take part: on one host the bytes go straight to their place, and elsewhere a thread of the library puts
/// them there. A reader sees a value wholly, or not at all; what nobody reads is replaced, so a window takes
/// a bounded amount of memory.
///
/// Operations on one window take effect in the order of their calls. Each has a form ending in _async.
/// Errors: InvalidArgument for a wrong argument, and after free(); PeerLost if a rank that is needed is lost:
/// if that is known before, nothing is sent to anybody.
///
/// While the Context tracks push-sum weights (Context::use_associated_p), every operation does to the
/// weights what it does to tensors. A window starts with weight 1 for the own tensor, 0 for the buffers.
class BLUEFOG_API Window {
 public:
  Window() = default;
  /// Made by Context::create_window.
  Window(std::shared_ptr<engine::Session> session, std::shared_ptr<window::Core> core);

  /// Whether it refers to a window.
  [[nodiscard]] bool valid() const noexcept { return core_ != nullptr; }
  /// Equal on all ranks.
  [[nodiscard]] const std::string& name() const;
  /// The registered one.
  [[nodiscard]] Tensor tensor() const;
  /// Ascending.
  [[nodiscard]] std::vector<int> sources() const;
  /// Ascending.
  [[nodiscard]] std::vector<int> destinations() const;

  /// The buffer of this rank at each destination <- weight * value. Returns when all have it. Integers and
  /// Bool: weights of 1 only.
  void put(const SentTensor& value, const WindowPutOptions& options = {});
  /// The same, without waiting.
  [[nodiscard]] Handle put_async(const SentTensor& value, const WindowPutOptions& options = {});
  /// The buffer there <- itself + weight * value. All dtypes but Bool; integers wrap around.
  void accumulate(const SentTensor& value, const WindowPutOptions& options = {});
  /// The same, without waiting.
  [[nodiscard]] Handle accumulate_async(const SentTensor& value, const WindowPutOptions& options = {});
  /// The tensors of this rank and of `rank`, a destination, <- their mean, rounded once; atomically at each
  /// of them, and so that the sum of both stays what it is, also if others average with either meanwhile.
  /// Floating dtypes. Needs WindowOptions::averages. (The pairwise averaging of AD-PSGD: Lian et al. 2018.)
  void average_with(int rank);
  /// The same, without waiting.
  [[nodiscard]] Handle average_with_async(int rank, const WindowCallOptions& options = {});
  /// The buffer of each source here <- weight * its tensor, as it is now. What the source's own window calls
  /// do to its tensor is seen wholly or not at all; what else changes it, only under edit().
  void get(const WindowGetOptions& options = {});
  /// The same, without waiting.
  [[nodiscard]] Handle get_async(const WindowGetOptions& options = {});

  /// tensor <- self_weight * tensor + sum over sources j of src_weights[j] * buffer_j, in ascending rank
  /// order; uniform: sum, then one division. Floating dtypes; integers with weights of 1 and 0 only. Local.
  /// All versions start from 0 again.
  void update(const WindowUpdateOptions& options = {});
  /// The same, without waiting.
  [[nodiscard]] Handle update_async(const WindowUpdateOptions& options = {});
  /// tensor <- tensor + sum of all buffers, which become zero: what push-sum needs.
  void update_then_collect(bool require_mutex = true);
  /// The same, without waiting.
  [[nodiscard]] Handle update_then_collect_async(bool require_mutex = true,
                                                 const WindowCallOptions& options = {});

  /// By source: puts of it, and gets of this rank, since the last update.
  [[nodiscard]] std::map<int, std::uint64_t> versions() const;
  /// Push-sum weight that belongs to the tensor.
  [[nodiscard]] double associated_p() const;

  /// Holds the mutexes of this rank's edges at `ranks` (default: all destinations): while they are held, an
  /// operation with require_mutex at these ranks waits. @throws InvalidArgument if this thread holds one
  [[nodiscard]] WindowLock lock(const std::optional<std::vector<int>>& ranks = {});
  /// The same of the edges of `ranks` (default: all sources) at this rank.
  [[nodiscard]] WindowLock lock_own(const std::optional<std::vector<int>>& ranks = {});
  /// While it is held, no other rank reads or writes this rank's tensor: for changes in place.
  [[nodiscard]] WindowLock edit();
  /// What the three above give, into `lock`, which holds them when the Handle is done without an error.
  [[nodiscard]] Handle lock_async(WindowLock& lock, const std::optional<std::vector<int>>& ranks = {},
                                  const WindowCallOptions& options = {});
  /// The same, without waiting.
  [[nodiscard]] Handle lock_own_async(WindowLock& lock, const std::optional<std::vector<int>>& ranks = {},
                                      const WindowCallOptions& options = {});
  /// The same, without waiting.
  [[nodiscard]] Handle edit_async(WindowLock& lock, const WindowCallOptions& options = {});

  /// Collective: returns when all neighbours have freed the window too, or are gone; until then it serves
  /// them still. @throws InvalidArgument while an operation on it is in flight
  void free();
  /// The same, without waiting.
  [[nodiscard]] Handle free_async(const WindowCallOptions& options = {});
  /// Whether free() was called.
  [[nodiscard]] bool is_freed() const;

 private:
  friend class optim::WindowGroup;
  std::shared_ptr<engine::Session> session_;
  std::shared_ptr<window::Core> core_;
};

/// A window that is being opened.
class BLUEFOG_API WindowCreation {
 public:
  /// Made by Context::create_window_async.
  explicit WindowCreation(std::shared_ptr<window::Creation> creation);
  /// Done when all neighbours have told of their parts.
  [[nodiscard]] Handle handle() const;
  /// Waits for that, and gives the window. Once. @throws as Context::create_window
  [[nodiscard]] Window finish();

 private:
  std::shared_ptr<window::Creation> creation_;
};

}  // namespace bluefog
