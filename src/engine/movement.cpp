// Who reads and writes what, once an operation has been agreed on. Two ways: slices, where the members of a
// component share the elements among them and write each other's outputs; and the exchange of chunks, where
// everyone computes its own output, from tensors that are read in place or from chunks that their owners
// publish.

#include <algorithm>
#include <cstring>

#include <bluefog/error.hpp>

#include "engine/engine.hpp"

namespace bluefog::engine {

namespace {

/// Slices let other operations run after so many bytes.
constexpr std::size_t slice_quantum = std::size_t{1} << 20;

bool reduces(OperationKind kind) {
  return kind == OperationKind::NeighborAllreduce || kind == OperationKind::Allreduce;
}

std::size_t count_of(const Post& post) {
  return Shape(std::span(post.extents.data(), post.dims)).count();
}

std::uint64_t chunks_of(std::size_t bytes, std::size_t chunk_bytes) {
  return (bytes + chunk_bytes - 1) / chunk_bytes;
}

/// Kernel terms that index into the ranks of `inputs`.
std::vector<mixing::Term> terms_of(const mixing::ResolvedRow& row, const std::vector<int>& inputs) {
  std::vector<mixing::Term> terms;
  for (const auto& term : row.terms) {
    const auto at = std::lower_bound(inputs.begin(), inputs.end(), term.rank);
    terms.push_back({static_cast<std::uint32_t>(at - inputs.begin()), term.weight});
  }
  return terms;
}

}  // namespace

Task Engine::move(Operation& operation) {
  const OperationKind kind = operation.request().kind;
  if (kind == OperationKind::Barrier || kind == OperationKind::Agreement) co_return;
  Task movement = mixes_by_slices(operation) ? mix_slices(operation) : exchange(operation);
  co_await movement;
}

bool Engine::mixes_by_slices(const Operation& operation) const {
  if (operation.post.meets == 0 || !reduces(operation.post.kind)) return false;
  if (operation.request().input.bytes() <= eager_bytes) return false;
  const auto is_shared = [](const Post& post) {
    return post.input_offset != transport::no_offset && post.output_offset != transport::no_offset;
  };
  return is_shared(operation.post) && std::all_of(operation.peers.begin(), operation.peers.end(),
                                                  [&](const PeerView& peer) { return is_shared(peer.post); });
}

/// The share of the elements that one member mixes, for all members.
class Slices {
 public:
  Slices(transport::Transport& transport, const Operation& operation, int rank);
  [[nodiscard]] std::size_t count() const { return last_ - first_; }
  /// Elements that are mixed in one go, so that slice_quantum bytes are read.
  [[nodiscard]] std::size_t quantum() const;
  [[nodiscard]] bool in_place() const { return in_place_; }
  void mix(std::size_t done, mixing::StoreKind store);

 private:
  DType dtype_;
  std::size_t first_ = 0;
  std::size_t last_ = 0;
  bool in_place_ = false;
  std::vector<std::vector<mixing::Term>> terms_;
  std::vector<mixing::Row> rows_;
  std::vector<std::byte*> sources_;
  std::vector<std::byte*> targets_;
  std::vector<const void*> inputs_;
  std::vector<void*> outputs_;
};

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

Task Engine::mix_slices(Operation& operation) {
  Slices slices(transport_, operation, rank_);
  const bool streams = !slices.in_place() && operation.request().input.bytes() >= tuning_.streaming_threshold;
  transport_.set_phase(operation.slot, Phase::Running);
  for (std::size_t done = 0; done < slices.count(); done += slices.quantum()) {
    // The undo log of a member that may die in here belongs to this place.
    slices.mix(done, streams ? mixing::StoreKind::Streaming : mixing::StoreKind::Plain);
    Yield others(operation.suspension);
    co_await others;
  }
  transport_.set_phase(operation.slot, Phase::Done);
  show_peers(operation);

  std::exception_ptr lost;
  Until all_done(operation.suspension, [&] {
    return std::all_of(operation.peers.begin(), operation.peers.end(), [&](const PeerView& peer) {
      const bool was_gone = is_gone(peer.rank);
      if (transport_.phase(peer.slot) >= Phase::Done) return true;
      if (was_gone && !lost) lost = lost_error(operation, peer.rank);
      return was_gone;
    });
  });
  co_await all_done;
  if (lost) std::rethrow_exception(lost);
}

void Engine::publish_chunk(Operation& operation, std::uint64_t index) {
  const ConstTensor& input = operation.request().input;
  const std::size_t chunk = operation.post.chunk_bytes;
  const std::span<std::byte> ring = transport_.chunk_ring(operation.slot);
  const std::size_t bytes = std::min(chunk, input.bytes() - index * chunk);
  std::byte* slot = transport_.map(
      rank_, transport_.offset_of(ring.data(), ring.size()) + index % (ring.size() / chunk) * chunk, bytes);
  const bool streams = bytes >= tuning_.streaming_threshold;
  mixing::copy_bytes(slot, static_cast<const std::byte*>(input.data) + index * chunk, bytes,
                     streams ? mixing::StoreKind::Streaming : mixing::StoreKind::Plain);
  operation.produced = index + 1;
}

/// The chunks of one operation, as its rank sends, receives and combines them.
class Exchange {
 public:
  Exchange(transport::Transport& transport, Operation& operation, const mixing::ResolvedRow* row, int rank,
           mixing::StoreKind store);

  [[nodiscard]] bool can_publish() const;
  [[nodiscard]] bool can_consume() const;
  void consume();
  [[nodiscard]] bool all_published() const { return operation_.produced >= own_chunks_; }
  [[nodiscard]] bool all_consumed() const { return operation_.consumed >= chunks_; }
  /// Destinations that read the tensor itself have finished.
  [[nodiscard]] bool readers_are_done() const;
  /// A source that will not deliver, or -1.
  [[nodiscard]] const PeerView* failed_source() const;

 private:
  struct Source {
    int rank;
    const PeerView* peer;       ///< nullptr: this rank itself
    const std::byte* in_place;  ///< nullptr: read from published chunks
    std::size_t bytes;
    std::uint64_t chunks;
    std::size_t output_offset;  ///< gathers: where its bytes go
  };
  [[nodiscard]] const std::byte* data(const Source& source, std::uint64_t index) const;
  /// A destination that needs nothing more of this rank, or is gone.
  [[nodiscard]] bool has_finished(const PeerView& peer) const;
  void reduce(std::uint64_t index);
  void gather(std::uint64_t index);
  void add_source(int rank, std::size_t& output_offset);

  transport::Transport& transport_;
  Operation& operation_;
  const Plan& plan_;
  int rank_;
  mixing::StoreKind store_;
  bool gathers_;
  bool publishes_;
  std::uint64_t depth_;
  std::uint64_t own_chunks_ = 0;  ///< to publish
  std::uint64_t chunks_ = 0;      ///< to consume
  std::vector<Source> sources_;
  std::vector<mixing::Term> terms_;
  mixing::Row row_{};
  std::vector<const void*> inputs_;
  std::vector<const PeerView*> destinations_;
};

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

namespace {

/// Allocates the output of a gather, now that the first extents of all sources are known.
void allocate_gathered(Operation& operation, int rank) {
  const Request& request = operation.request();
  std::vector<std::int64_t> extents(request.input.shape.extents().begin(),
                                    request.input.shape.extents().end());
  extents[0] = 0;
  for (const int source : request.plan->gather_order) {
    const auto peer = std::find_if(operation.peers.begin(), operation.peers.end(),
                                   [&](const PeerView& view) { return view.rank == source; });
    extents[0] += source == rank ? request.input.shape[0] : peer->post.extents[0];
  }
  operation.gathered_shape = Shape(extents);
  const std::size_t bytes = operation.gathered_shape.count() * size_of(request.input.dtype);
  operation.gathered = std::shared_ptr<std::byte[]>(new std::byte[std::max<std::size_t>(bytes, 1)]);
}

}  // namespace

Task Engine::exchange(Operation& operation) {
  const Request& request = operation.request();
  const bool is_gather =
      request.kind == OperationKind::Allgather || request.kind == OperationKind::NeighborAllgather;
  if (is_gather) allocate_gathered(operation, rank_);
  const mixing::ResolvedRow* row = reduces(request.kind) ? &resolve_row(operation) : nullptr;
  const bool streams = !operation.in_place() && request.input.bytes() >= tuning_.streaming_threshold;
  Exchange chunks(transport_, operation, row, rank_,
                  streams ? mixing::StoreKind::Streaming : mixing::StoreKind::Plain);

  while (!chunks.all_published() || !chunks.all_consumed()) {
    bool moved = false;
    if (chunks.can_publish()) {
      publish_chunk(operation, operation.produced);
      transport_.set_produced(operation.slot, operation.produced);
      moved = true;
    }
    if (chunks.can_consume()) {
      chunks.consume();
      moved = true;
    }
    if (moved) {
      show_peers(operation);
      Yield others(operation.suspension);
      co_await others;
      continue;
    }
    const PeerView* failed = nullptr;
    Until movable(operation.suspension, [&] {
      if (chunks.can_publish() || chunks.can_consume() || operation.trouble) return true;
      failed = chunks.failed_source();
      return failed != nullptr;
    });
    co_await movable;
    check_trouble(operation);
    if (failed != nullptr) {
      const bool withdrawn = transport_.phase(failed->slot) == Phase::Withdrawn;
      std::rethrow_exception(withdrawn ? withdrawn_error(operation, *failed)
                                       : lost_error(operation, failed->rank));
    }
  }
  transport_.set_phase(operation.slot, Phase::Done);
  show_peers(operation);
  Until released(operation.suspension, [&] { return chunks.readers_are_done(); });
  co_await released;
}

}  // namespace bluefog::engine
