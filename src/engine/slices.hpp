#pragma once
/// @file slices.hpp  Mixing by slices: each member of a component computes all outputs for its share of the
/// elements.
///
/// Slices in place overwrite what they are computed from, so a death in the middle would tear the tensors of
/// all members. A log prevents it. The new values of a chunk of elements first go to the log of the slice's
/// owner, in shared memory; then the owner's step count says so; then they are stored to their tensors; then
/// the count is raised again. When the owner has died, another member stores the logged chunk once more if
/// the count says that this was not finished, and goes on with the following chunks in the owner's name, with
/// the owner's log and count: so yet another can take over when that one dies too.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/operation.hpp"
#include "engine/stores.hpp"

namespace bluefog::engine {

/// Whether others can finish the slice of the member that made this post.
[[nodiscard]] bool is_recoverable(const Operation& operation, const Post& post);

/// The elements that one member mixes, of the tensors of all members, and of those of other hosts that are
/// staged with the slice's owner. Or, where machines mix their means, of staged means alone: then the tensors
/// of the owner's machine are only written, and no log is needed.
class Slice {
 public:
  /// @param rank    the own rank, which does the work
  /// @param member  whose slice it is: the own rank, or one that is gone
  Slice(transport::Transport& transport, BulkStores& stores, const Operation& operation, int rank, int member,
        mixing::StoreKind store);

  [[nodiscard]] const SlotRef& owner() const { return owner_; }
  [[nodiscard]] bool finished() const { return done_ >= count_; }
  /// Mixes the next elements, about slice_quantum bytes.
  void advance();

 private:
  void mix_tensors(const Operation& operation, int rank, int member);
  void mix_means(const Operation& operation, int rank, int member);
  void set_bounds(const mixing::Slice& bounds);
  void add_staged(const Component& component, const Post& post);
  void add_member(const Component& component, std::size_t index, const Post& post);
  void take_up_log();
  void mix_by_log();
  void count_step();

  transport::Transport& transport_;
  BulkStores& stores_;
  SlotRef owner_;
  DType dtype_;
  mixing::StoreKind store_;
  std::size_t first_ = 0;  ///< of the tensor
  std::size_t count_ = 0;
  std::size_t done_ = 0;
  std::vector<std::vector<mixing::Term>> terms_;
  std::vector<mixing::Row> rows_;
  std::vector<const void*> sources_;
  std::vector<void*> targets_;

  std::optional<mixing::LoggedRows> logged_;
  std::byte* log_ = nullptr;
  std::size_t chunk_ = 0;    ///< elements that are logged at a time
  std::uint64_t steps_ = 0;  ///< two for a chunk: odd while the log holds what is not yet stored
};

}  // namespace bluefog::engine
