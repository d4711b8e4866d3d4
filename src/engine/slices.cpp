#include "engine/slices.hpp"

#include <algorithm>

namespace bluefog::engine {

namespace {

/// Slices let other operations run after so many bytes.
constexpr std::size_t slice_quantum = std::size_t{1} << 20;

}  // namespace

Slices::Slices(transport::Transport& transport, const Operation& operation, int rank)
    : dtype_(operation.request().input.dtype) {
  const Component& component = *operation.component;
  const std::size_t element = size_of(dtype_);
  const auto slice = mixing::slice_of(operation.request().input.count(), element, component.members.size(),
                                      component.index_of(rank));
  first_ = slice.first;
  last_ = slice.last;
  for (std::size_t i = 0; i < component.members.size(); ++i) {
    const int member = component.members[i];
    const Post* post = &operation.post;
    for (const PeerView& peer : operation.peers) {
      if (peer.rank == member) post = &peer.post;
    }
    terms_.push_back(terms_of(component.rows[i], component.members));
    sources_.push_back(transport.map(member, post->input_offset + first_ * element, count() * element));
    targets_.push_back(transport.map(member, post->output_offset + first_ * element, count() * element));
    in_place_ = in_place_ || sources_.back() == targets_.back();
  }
  for (std::size_t i = 0; i < terms_.size(); ++i) {
    rows_.push_back({component.rows[i].combine, terms_[i], component.rows[i].self_term});
  }
  inputs_.resize(rows_.size());
  outputs_.resize(rows_.size());
}

std::size_t Slices::quantum() const {
  return std::max<std::size_t>(64, slice_quantum / size_of(dtype_) / rows_.size() / 64 * 64);
}

void Slices::mix(std::size_t done, mixing::StoreKind store) {
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    inputs_[i] = sources_[i] + done * size_of(dtype_);
    outputs_[i] = targets_[i] + done * size_of(dtype_);
  }
  mixing::combine_rows(dtype_, rows_, inputs_, outputs_, std::min(quantum(), count() - done), store);
}

}  // namespace bluefog::engine
