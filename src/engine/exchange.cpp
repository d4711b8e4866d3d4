#include "engine/exchange.hpp"

#include <algorithm>

namespace bluefog::engine {

namespace {

/// Whether a rank's input goes through chunks. Where a component mixes private memory, all of its members
/// publish, shared memory too.
bool publishes(const Post& post) {
  return post.publishes != 0 || (post.meets != 0 && reduces(post.kind));
}

}  // namespace

Publication::Publication(transport::Transport& transport, Operation& operation,
                         std::size_t streaming_threshold)
    : transport_(transport),
      operation_(operation),
      streaming_threshold_(streaming_threshold),
      is_ring_(publishes(operation.post)),
      depth_(transport.chunk_ring(operation.slot).size() / operation.post.chunk_bytes) {
  for (const PeerView& peer : operation.peers) {
    const bool is_destination = operation.request().plan->row.destination(peer.rank) != nullptr;
    if (is_destination && peer.found) destinations_.push_back(&peer);
  }
  if (is_ring_ && !operation.request().plan->row.destinations.empty()) chunks_ = chunks_of(operation.post);
}

bool Publication::can_advance() const {
  const std::uint64_t next = operation_.produced;
  if (next >= chunks_) return false;
  if (next < depth_) return true;
  return std::all_of(destinations_.begin(), destinations_.end(), [&](const PeerView* peer) {
    return transport_.consumed(peer->slot) + depth_ > next || has_finished(*peer);
  });
}

void Publication::advance() {
  const ConstTensor& input = operation_.request().input;
  const std::size_t chunk = operation_.post.chunk_bytes;
  const std::uint64_t index = operation_.produced;
  const std::span<std::byte> ring = transport_.chunk_ring(operation_.slot);
  const std::size_t bytes = bytes_of_chunk(operation_.post, index);
  std::byte* slot = transport_.map(
      transport_.rank(), transport_.offset_of(ring.data(), ring.size()) + index % depth_ * chunk, bytes);
  mixing::copy_bytes(slot, static_cast<const std::byte*>(input.data) + index * chunk, bytes,
                     bytes >= streaming_threshold_ ? mixing::StoreKind::Streaming : mixing::StoreKind::Plain);
  operation_.produced = index + 1;
}

bool Publication::is_awaited() const {
  if (is_complete()) return false;
  return std::any_of(destinations_.begin(), destinations_.end(), [&](const PeerView* peer) {
    // After a meeting has started, all of its members come to it; ranks of other hosts are no members.
    const Phase least = operation_.has_started && !peer->is_far ? Phase::Posted : Phase::Running;
    return transport_.phase(peer->slot) >= least && !has_finished(*peer);
  });
}

bool Publication::readers_are_done() const {
  if (!transport_.has_sent_all(operation_.slot)) return false;
  return is_ring_ || std::all_of(destinations_.begin(), destinations_.end(),
                                 [&](const PeerView* peer) { return has_finished(*peer); });
}

bool Publication::has_finished(const PeerView& peer) const {
  return transport_.phase(peer.slot) >= Phase::Done ||
         transport_.state(peer.rank) != transport::PeerState::Alive;
}

Exchange::Exchange(transport::Transport& transport, Operation& operation, const Publication& own,
                   const mixing::ResolvedRow* row, mixing::StoreKind store, Undo* undo)
    : transport_(transport),
      operation_(operation),
      own_(own),
      store_(store),
      undo_(undo),
      gathers_(row == nullptr) {
  std::size_t output_offset = 0;
  if (row == nullptr) {
    for (const int source : operation.request().plan->gather_order) add_source(source, output_offset);
  } else {
    std::vector<int> ranks;
    for (const auto& term : row->terms) {
      ranks.push_back(term.rank);
      add_source(term.rank, output_offset);
    }
    terms_ = terms_of(*row, ranks);
    row_ = {row->combine, terms_, row->self_term};
    chunks_ = chunks_of(operation.post);
  }
  inputs_.resize(sources_.size());
}

void Exchange::add_source(int rank, std::size_t& output_offset) {
  Source source{nullptr, nullptr, operation_.request().input.bytes(), 0, output_offset};
  if (rank == transport_.rank()) {
    source.in_place = static_cast<const std::byte*>(operation_.request().input.data);
    source.chunks = chunks_of(operation_.post);
  } else {
    source.peer = operation_.find_peer(rank);
    const Post& post = source.peer->post;
    source.bytes = bytes_of(post);
    source.chunks = chunks_of(post);
    if (!publishes(post)) source.in_place = transport_.map(rank, post.input_offset, source.bytes);
  }
  output_offset += source.bytes;
  chunks_ = std::max(chunks_, source.chunks);
  sources_.push_back(source);
}

bool Exchange::can_advance() const {
  const std::uint64_t next = operation_.consumed;
  if (next >= chunks_) return false;
  // In place: a chunk of the own tensor must be published before it is overwritten.
  if (own_.is_needed() && operation_.in_place() && operation_.produced <= next) return false;
  return std::all_of(sources_.begin(), sources_.end(), [&](const Source& source) {
    return next >= source.chunks || source.in_place != nullptr ||
           transport_.produced(source.peer->slot) > next;
  });
}

const PeerView* Exchange::failed_source() const {
  for (const Source& source : sources_) {
    if (source.peer == nullptr || source.in_place != nullptr) continue;
    const bool gone = transport_.state(source.peer->rank) != transport::PeerState::Alive;
    const bool withdrawn = transport_.phase(source.peer->slot) == Phase::Withdrawn;
    if ((gone || withdrawn) && transport_.produced(source.peer->slot) < source.chunks) return source.peer;
  }
  return nullptr;
}

const std::byte* Exchange::data(const Source& source, std::uint64_t index) const {
  if (source.in_place != nullptr) return source.in_place + index * operation_.post.chunk_bytes;
  return transport_.chunk(source.peer->slot, source.peer->post, index);
}

void Exchange::advance() {
  const std::uint64_t index = operation_.consumed;
  if (undo_ != nullptr && !is_safe()) {
    const std::size_t chunk = operation_.post.chunk_bytes;
    undo_->save_next(std::min(chunk, operation_.request().output.bytes() - index * chunk));
  }
  if (gathers_) {
    gather(index);
  } else {
    reduce(index);
  }
  operation_.consumed = index + 1;
  transport_.set_consumed(operation_.slot, index + 1);
}

/// Whether nothing is left that this rank could wait for in vain.
bool Exchange::is_safe() const {
  return own_.is_complete() && std::all_of(sources_.begin(), sources_.end(), [&](const Source& source) {
           return source.in_place != nullptr || transport_.produced(source.peer->slot) >= source.chunks;
         });
}

void Exchange::reduce(std::uint64_t index) {
  const Request& request = operation_.request();
  const std::size_t element = size_of(request.input.dtype);
  const std::size_t per_chunk = operation_.post.chunk_bytes / element;
  const std::size_t count = std::min(per_chunk, request.input.count() - index * per_chunk);
  for (std::size_t i = 0; i < sources_.size(); ++i) inputs_[i] = data(sources_[i], index);
  void* output = static_cast<std::byte*>(request.output.data) + index * operation_.post.chunk_bytes;
  mixing::combine_rows(request.input.dtype, std::span(&row_, 1), inputs_, std::span(&output, 1), count,
                       store_);
}

void Exchange::gather(std::uint64_t index) {
  const std::size_t chunk = operation_.post.chunk_bytes;
  for (const Source& source : sources_) {
    if (index >= source.chunks) continue;
    std::byte* base = operation_.gathered ? operation_.gathered.get()
                                          : static_cast<std::byte*>(operation_.request().output.data);
    mixing::copy_bytes(base + source.output_offset + index * chunk, data(source, index),
                       std::min(chunk, source.bytes - index * chunk), store_);
  }
}

}  // namespace bluefog::engine
