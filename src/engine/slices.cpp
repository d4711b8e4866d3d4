#include "engine/slices.hpp"

#include <algorithm>
#include <utility>

#include "engine/crossing.hpp"
#include "engine/staged_means.hpp"

namespace bluefog::engine {

namespace {

/// Slices let other operations run after so many bytes.
constexpr std::size_t slice_quantum = std::size_t{1} << 20;
/// Log and outputs of a chunk together stay in a first-level cache of 32 KiB. Measured: 8 KiB cost 10 to 30 %
/// more than mixing without a log, 16 KiB 100 %.
constexpr std::size_t log_bytes = std::size_t{8} << 10;
constexpr std::size_t least_chunk_bytes = 256;

/// @param rank  the own one
const Post& post_of(const Operation& operation, int rank, int member) {
  return member == rank ? operation.post : operation.find_peer(member)->post;
}

/// Whether any member's tensor is overwritten. Otherwise a slice can be mixed again from its start.
bool is_any_in_place(const Operation& operation) {
  const auto is_in_place = [](const Post& post) { return post.input_offset == post.output_offset; };
  return is_in_place(operation.post) ||
         std::any_of(operation.peers.begin(), operation.peers.end(),
                     [&](const PeerView& peer) { return !peer.is_far && is_in_place(peer.post); });
}

}  // namespace

bool is_recoverable(const Operation& operation, const Post& post) {
  return post.logs != 0 || operation.request().plan->machines != nullptr || !is_any_in_place(operation);
}

Slice::Slice(transport::Transport& transport, BulkStores& stores, const Operation& operation, int rank,
             int member, mixing::StoreKind store)
    : transport_(transport),
      stores_(stores),
      owner_(member == rank ? operation.slot : operation.find_peer(member)->slot),
      dtype_(operation.request().input.dtype),
      store_(store) {
  if (operation.request().plan->machines != nullptr) {
    mix_means(operation, rank, member);
  } else {
    mix_tensors(operation, rank, member);
  }
}

void Slice::set_bounds(const mixing::Slice& bounds) {
  first_ = bounds.first;
  count_ = bounds.last - bounds.first;
}

void Slice::mix_tensors(const Operation& operation, int rank, int member) {
  const Component& component = *operation.component;
  set_bounds(mixing::slice_of(operation.request().input.count(), size_of(dtype_), component.members.size(),
                              component.index_of(member)));
  add_staged(component, post_of(operation, rank, member));
  for (std::size_t i = 0; i < component.members.size(); ++i) {
    add_member(component, i, post_of(operation, rank, component.members[i]));
  }
  for (std::size_t i = 0; i < terms_.size(); ++i) {
    rows_.push_back({component.rows[i].combine, terms_[i], component.rows[i].self_term});
  }
  if (post_of(operation, rank, member).logs != 0 && count_ > 0 && is_any_in_place(operation)) take_up_log();
}

void Slice::mix_means(const Operation& operation, int rank, int member) {
  const mixing::MachineMap& machines = *operation.request().plan->machines->map;
  const int machine = machines.machine_of(member);
  const std::size_t element = size_of(dtype_);
  set_bounds(machines.slice_of(member, operation.request().input.count(), element));
  const StagedMeans staged(transport_, owner_.rank, post_of(operation, rank, member).staging_offset,
                           count_ * element);
  for (std::size_t i = 0; i < staged.count(); ++i) sources_.push_back(staged.mean(i));
  MeansRow row = staged.row();
  terms_.push_back(std::move(row.terms));
  for (const int mate : operation.component->members) {
    if (machines.machine_of(mate) != machine) continue;
    const std::uint64_t output = post_of(operation, rank, mate).output_offset;
    targets_.push_back(transport_.map(mate, output + first_ * element, count_ * element));
    rows_.push_back({row.combine, terms_.front(), row.self_term});
  }
}

/// @param post  of the slice's owner
void Slice::add_staged(const Component& component, const Post& post) {
  sources_.resize(component.inputs.size());
  if (component.inputs.size() == component.members.size()) return;
  const std::size_t stride = staging_stride(count_ * size_of(dtype_));
  const std::size_t staged = component.inputs.size() - component.members.size();
  const std::byte* next = transport_.map(owner_.rank, post.staging_offset, staged * stride);
  for (std::size_t i = 0; i < component.inputs.size(); ++i) {
    if (std::binary_search(component.members.begin(), component.members.end(), component.inputs[i])) continue;
    sources_[i] = next;
    next += stride;
  }
}

void Slice::add_member(const Component& component, std::size_t index, const Post& post) {
  const int member = component.members[index];
  const std::size_t offset = first_ * size_of(dtype_);
  const std::size_t bytes = count_ * size_of(dtype_);
  const auto input = std::lower_bound(component.inputs.begin(), component.inputs.end(), member);
  terms_.push_back(terms_of(component.rows[index], component.inputs));
  sources_[static_cast<std::size_t>(input - component.inputs.begin())] =
      transport_.map(member, post.input_offset + offset, bytes);
  targets_.push_back(transport_.map(member, post.output_offset + offset, bytes));
}

void Slice::take_up_log() {
  logged_.emplace(dtype_, rows_, sources_, targets_);
  const std::size_t bytes = std::max(log_bytes / rows_.size() / 64 * 64, least_chunk_bytes);
  chunk_ = bytes / size_of(dtype_);
  log_ = transport_.log(owner_, logged_->value_count() * bytes).data();
  steps_ = transport_.produced(owner_);
  done_ = std::min<std::size_t>(count_, steps_ / 2 * chunk_);
}

void Slice::advance() {
  const std::size_t quantum =
      std::max<std::size_t>(64, slice_quantum / size_of(dtype_) / rows_.size() / 64 * 64);
  const std::size_t until = std::min(count_, done_ + quantum);
  if (logged_) {
    while (done_ < until) mix_by_log();
    return;
  }
  std::vector<const void*> inputs(sources_);
  std::vector<void*> outputs(targets_);
  for (const void*& input : inputs) input = static_cast<const std::byte*>(input) + done_ * size_of(dtype_);
  for (void*& output : outputs) output = static_cast<std::byte*>(output) + done_ * size_of(dtype_);
  stores_.combine(dtype_, rows_, inputs, outputs, until - done_, store_);
  done_ = until;
}

void Slice::mix_by_log() {
  const std::size_t count = std::min(chunk_, count_ - done_);
  const std::size_t stride = chunk_ * size_of(dtype_);
  if (steps_ % 2 == 0) {
    stores_.log(*logged_, done_, count, log_, stride);
    count_step();
  }
  stores_.store_logged(*logged_, done_, count, log_, stride);
  count_step();
  done_ += count;
}

/// Stores before and after it stay in their order: of a rank that is killed, others see what it did up to
/// some instruction.
void Slice::count_step() {
  transport_.set_produced(owner_, ++steps_);
}

}  // namespace bluefog::engine
