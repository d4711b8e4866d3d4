#include "engine/exchange.hpp"

#include <algorithm>

namespace bluefog::engine {

namespace {

std::size_t count_of(const Post& post) {
  return Shape(std::span(post.extents.data(), post.dims)).count();
}

std::uint64_t chunks_of(std::size_t bytes, std::size_t chunk_bytes) {
  return (bytes + chunk_bytes - 1) / chunk_bytes;
}

}  // namespace

Exchange::Exchange(transport::Transport& transport, Operation& operation, const mixing::ResolvedRow* row,
                   int rank, mixing::StoreKind store)
    : transport_(transport),
      operation_(operation),
      plan_(*operation.request().plan),
      rank_(rank),
      store_(store),
      gathers_(row == nullptr),
      // Where a component mixes private memory, all of its members publish, shared memory too.
      publishes_(operation.post.publishes != 0 || (!gathers_ && operation.post.meets != 0)),
      depth_(transport.chunk_ring(operation.slot).size() / operation.post.chunk_bytes) {
  for (const PeerView& peer : operation.peers) {
    if (plan_.row.destination(peer.rank) != nullptr) destinations_.push_back(&peer);
  }
  const std::size_t own_bytes = operation.request().input.bytes();
  if (publishes_ && !plan_.row.destinations.empty())
    own_chunks_ = chunks_of(own_bytes, operation.post.chunk_bytes);
  std::size_t output_offset = 0;
  if (row == nullptr) {
    for (const int source : plan_.gather_order) add_source(source, output_offset);
  } else {
    std::vector<int> ranks;
    for (const auto& term : row->terms) {
      ranks.push_back(term.rank);
      add_source(term.rank, output_offset);
    }
    terms_ = terms_of(*row, ranks);
    row_ = {row->combine, terms_, row->self_term};
    chunks_ = chunks_of(own_bytes, operation.post.chunk_bytes);
  }
  inputs_.resize(sources_.size());
}

void Exchange::add_source(int rank, std::size_t& output_offset) {
  Source source{rank, nullptr, nullptr, operation_.request().input.bytes(), 0, output_offset};
  if (rank == rank_) {
    source.in_place = static_cast<const std::byte*>(operation_.request().input.data);
  } else {
    source.peer = &*std::find_if(operation_.peers.begin(), operation_.peers.end(),
                                 [&](const PeerView& peer) { return peer.rank == rank; });
    const Post& post = source.peer->post;
    source.bytes = count_of(post) * size_of(post.dtype);
    const bool published = post.publishes != 0 || (!gathers_ && post.meets != 0);
    if (!published) source.in_place = transport_.map(rank, post.input_offset, source.bytes);
  }
  source.chunks = chunks_of(source.bytes, operation_.post.chunk_bytes);
  output_offset += source.bytes;
  chunks_ = std::max(chunks_, source.chunks);
  sources_.push_back(source);
}

bool Exchange::can_publish() const {
  const std::uint64_t next = operation_.produced;
  if (next >= own_chunks_) return false;
  if (next < depth_) return true;
  return std::all_of(destinations_.begin(), destinations_.end(), [&](const PeerView* peer) {
    return transport_.consumed(peer->slot) + depth_ > next || has_finished(*peer);
  });
}

bool Exchange::can_consume() const {
  const std::uint64_t next = operation_.consumed;
  if (next >= chunks_) return false;
  // In place: a chunk of the own tensor must be published before it is overwritten.
  if (own_chunks_ > 0 && operation_.in_place() && operation_.produced <= next) return false;
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

bool Exchange::readers_are_done() const {
  if (publishes_) return true;
  return std::all_of(destinations_.begin(), destinations_.end(),
                     [&](const PeerView* peer) { return has_finished(*peer); });
}

bool Exchange::has_finished(const PeerView& peer) const {
  return transport_.phase(peer.slot) >= Phase::Done ||
         transport_.state(peer.rank) != transport::PeerState::Alive;
}

const std::byte* Exchange::data(const Source& source, std::uint64_t index) const {
  if (source.in_place != nullptr) return source.in_place + index * operation_.post.chunk_bytes;
  return transport_.chunk(source.peer->slot, source.peer->post, index);
}

void Exchange::consume() {
  const std::uint64_t index = operation_.consumed;
  if (gathers_) {
    gather(index);
  } else {
    reduce(index);
  }
  operation_.consumed = index + 1;
  transport_.set_consumed(operation_.slot, index + 1);
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
