#include "window/core.hpp"

#include <algorithm>

#include "engine/operation.hpp"
#include "window/windows.hpp"

namespace bluefog::window {

namespace {

/// How a rank describes its part: these words, the extents, then one word for each neighbour.
enum Word : std::size_t {
  TopicWord,
  DTypeWord,
  HeaderWord,
  TensorWord,
  AveragesWord,
  DimsWord,
  NeighborsWord,
  FixedWords
};

constexpr std::uint64_t source_bit = 1;
constexpr std::uint64_t destination_bit = 2;

}  // namespace

Core::Core(Windows& windows, std::string name, Tensor tensor, bool averages)
    : windows_(windows),
      name_(std::move(name)),
      tensor_(tensor),
      averages_(averages),
      stores_(windows.stores(tensor.bytes())),
      topic_(windows.new_topic()) {}

transport::Transport& Core::transport() const noexcept {
  return windows_.transport();
}

int Core::rank() const {
  return transport().rank();
}

std::pair<std::byte*, std::uint64_t> Core::allocate(std::size_t bytes) {
  const std::lock_guard lock(memory_mutex_);
  const SharedMemory& block = memory_.emplace_back(transport().allocate(std::max<std::size_t>(bytes, 1)));
  return {static_cast<std::byte*>(block.data()), transport().offset_of(block.data(), block.bytes())};
}

void Core::build(const mixing::MixingRow& row, bool zero_init) {
  row_ = row;
  std::vector<int> ranks;
  for (const auto* list : {&row.sources, &row.destinations}) {
    for (const auto& edge : *list) ranks.push_back(edge.rank);
  }
  std::ranges::sort(ranks);
  ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());

  std::byte* memory = nullptr;
  std::tie(memory, header_offset_) = allocate(sizeof(WindowHeader) + ranks.size() * sizeof(EdgeHeader));
  header_ = reinterpret_cast<WindowHeader*>(memory);
  edges_ = reinterpret_cast<EdgeHeader*>(memory + sizeof(WindowHeader));
  tensor_lock_ = {&header_->tensor_lock, this->rank(), -1, false, {}};
  header_->push_sum_weight.store(1.0);
  header_->mirror_offset.store(transport::no_offset);
  for (std::size_t index = 0; index < ranks.size(); ++index) add_neighbor(ranks[index], index);
  for (const auto& peer : neighbors_) {
    if (peer->reader == nullptr || zero_init) continue;
    stores_.scale(tensor_.dtype, peer->reader->spare(), data(), 1.0, count());
    peer->reader->replace();
  }
  header_->is_open.store(1, std::memory_order_release);
}

void Core::add_neighbor(int rank, std::size_t index) {
  auto peer = std::make_unique<Neighbor>();
  peer->rank = rank;
  peer->is_far = !transport().shares_memory(rank);
  peer->is_source = row_.source(rank) != nullptr;
  peer->is_destination = row_.destination(rank) != nullptr;
  peer->edge = &edges_[index];
  peer->mutex_here = {&peer->edge->mutex, this->rank(), rank, false, {}};
  if (peer->is_source) {
    peer->reader = std::make_unique<EdgeReader>(
        *peer->edge, [this] { return allocate(bytes()); }, tensor_.dtype, count(), stores_);
  }
  if (peer->is_source && peer->is_far) {
    const auto locate = [this](std::uint64_t offset) {
      return transport().map(this->rank(), offset, bytes());
    };
    peer->arrival = std::make_unique<EdgeWriter>(*peer->edge, locate, tensor_.dtype, count(), stores_);
  }
  neighbors_.push_back(std::move(peer));
}

std::vector<std::uint64_t> Core::describe() const {
  std::vector<std::uint64_t> words(FixedWords);
  words[TopicWord] = topic_;
  words[DTypeWord] = static_cast<std::uint64_t>(tensor_.dtype);
  words[HeaderWord] = header_offset_;
  words[TensorWord] = transport().offset_of(tensor_.data, bytes());
  words[AveragesWord] = averages_ ? 1 : 0;
  words[DimsWord] = tensor_.shape.dims();
  words[NeighborsWord] = neighbors_.size();
  for (const std::int64_t extent : tensor_.shape.extents())
    words.push_back(static_cast<std::uint64_t>(extent));
  for (const auto& peer : neighbors_) {
    words.push_back(static_cast<std::uint64_t>(peer->rank) << 2 | (peer->is_source ? source_bit : 0) |
                    (peer->is_destination ? destination_bit : 0));
  }
  return words;
}

/// @throws Mismatch if the neighbour's tensor or its edges to this rank are not what this rank has
void Core::compare(int from, const Neighbor& peer, std::span<const std::uint64_t> words) const {
  const auto extents = words.subspan(FixedWords, words[DimsWord]);
  std::vector<std::int64_t> signed_extents(extents.begin(), extents.end());
  const Shape shape(signed_extents);
  const auto dtype = static_cast<DType>(words[DTypeWord]);
  const std::string start = describe_call("win_create") + ": " + engine::rank_text(from);
  if (dtype != tensor_.dtype || shape != tensor_.shape) {
    throw Mismatch(start + " gave a " + std::string(bluefog::name_of(dtype)) + " tensor of shape " +
                   shape.to_string() + ", this rank a " + std::string(bluefog::name_of(tensor_.dtype)) +
                   " tensor of shape " + tensor_.shape.to_string() + "; give the same on all ranks");
  }
  if ((words[AveragesWord] != 0) != averages_) {
    throw Mismatch(start +
                   " and this rank do not agree whether the window averages; give the same on all ranks");
  }
  const auto list = words.subspan(FixedWords + extents.size());
  const auto self =
      std::ranges::find(list, static_cast<std::uint64_t>(rank()), [](auto word) { return word >> 2; });
  const std::uint64_t expected =
      (peer.is_source ? destination_bit : 0) | (peer.is_destination ? source_bit : 0);
  if (self == list.end() || (*self & 3U) != expected) {
    throw Mismatch(start +
                   " and this rank do not agree who of them puts to whom; src_ranks of one and "
                   "dst_ranks of the other must name each other");
  }
}

std::size_t Core::meet(int from, std::span<const std::uint64_t> words) {
  words = words.first(FixedWords + words[DimsWord] + words[NeighborsWord]);
  Neighbor& peer = *neighbor(from);
  compare(from, peer, words);
  peer.there.topic = words[TopicWord];
  const auto at = [&](std::uint64_t offset, std::size_t size) { return transport().map(from, offset, size); };
  if (!peer.is_far) {
    const auto list = words.subspan(FixedWords + words[DimsWord]);
    for (const std::uint64_t word : list) peer.there.neighbors.push_back(static_cast<int>(word >> 2));
    const auto self =
        std::ranges::find(list, static_cast<std::uint64_t>(rank()), [](auto word) { return word >> 2; });
    std::byte* const memory = at(words[HeaderWord], sizeof(WindowHeader) + list.size() * sizeof(EdgeHeader));
    peer.there.header = reinterpret_cast<WindowHeader*>(memory);
    peer.there.edge = reinterpret_cast<EdgeHeader*>(memory + sizeof(WindowHeader)) + (self - list.begin());
    if (words[TensorWord] != transport::no_offset && peer.is_source) {
      peer.there.tensor = at(words[TensorWord], bytes());
    }
    peer.mutex_there.words = &peer.there.edge->mutex;
    peer.tensor_there.words = &peer.there.header->tensor_lock;
  }
  peer.mutex_there.rank = peer.tensor_there.rank = from;
  peer.mutex_there.source = rank();
  if (peer.is_destination && !peer.is_far) {
    peer.writer = std::make_unique<EdgeWriter>(
        *peer.there.edge,
        [this, from](std::uint64_t offset) { return transport().map(from, offset, bytes()); }, tensor_.dtype,
        count(), stores_, windows_.store_trials(bytes()));
  }
  return words.size();
}

Neighbor* Core::neighbor(int rank) const {
  const auto found = std::ranges::find(neighbors_, rank, [](const auto& peer) { return peer->rank; });
  return found == neighbors_.end() ? nullptr : found->get();
}

bool Core::needs_service() const {
  const bool is_private = transport().offset_of(tensor_.data, bytes()) == transport::no_offset;
  return std::ranges::any_of(neighbors_, [&](const auto& peer) {
    return averages_ || peer->is_far || (is_private && peer->is_destination);
  });
}

std::byte* Core::mirror() {
  if (mirror_ == nullptr) {
    const auto [memory, offset] = allocate(bytes());
    mirror_ = memory;
    header_->mirror_offset.store(offset, std::memory_order_release);
  }
  return mirror_;
}

std::string Core::describe_call(std::string_view operation) const {
  return std::string(operation) + " \"" + name_ + "\" on " + engine::rank_text(rank());
}

bool Core::is_lost(int rank) const {
  return rank != this->rank() && transport().state(rank) != transport::PeerState::Alive;
}

void Core::require_usable(std::string_view operation) const {
  windows_.engine().require_home();
  if (is_closed()) throw InvalidArgument(describe_call(operation) + ": the window was freed");
}

void Core::throw_lost(std::string_view operation, int rank, const std::string& consequence) const {
  const bool has_left = transport().state(rank) == transport::PeerState::Left;
  const std::string why = transport().why_lost(rank);
  const std::string what = has_left       ? " has left the job (it called shutdown, or its program ended)"
                           : !why.empty() ? " is lost (" + why + ")"
                                          : " has died";
  throw PeerLost(describe_call(operation) + ": " + engine::rank_text(rank) + what + "; " + consequence +
                     "leave this rank out of the weights, or restart the job",
                 rank);
}

void Core::require_open(std::string_view operation, const Neighbor& peer) const {
  if (is_lost(peer.rank)) throw_lost(operation, peer.rank, "nothing was sent to anybody; ");
  // A far one says so itself.
  if (!peer.is_far && peer.there.header->is_open.load(std::memory_order_acquire) == 0) {
    throw InvalidArgument(describe_call(operation) + ": " + engine::rank_text(peer.rank) +
                          " could not open the window; nothing was sent to anybody");
  }
}

void Core::line_up(const void* operation) {
  const std::lock_guard lock(mutex_);
  turns_.push_back(operation);
}

bool Core::has_turn(const void* operation) const {
  const std::lock_guard lock(mutex_);
  return turns_.front() == operation;
}

void Core::step_out(const void* operation) {
  bool is_awaited = false;
  {
    const std::lock_guard lock(mutex_);
    std::erase(turns_, operation);
    is_awaited = !turns_.empty();
  }
  if (is_awaited) ring_self();
}

void Core::close_to_calls(std::string_view operation) {
  const std::lock_guard lock(mutex_);
  if (!turns_.empty()) {
    throw InvalidArgument(describe_call(operation) + ": " + std::to_string(turns_.size()) +
                          " operations on this window are in flight; wait for them first");
  }
  if (holds_a_lock()) {
    throw InvalidArgument(describe_call(operation) +
                          ": a mutex of this window, or its tensor, is held; release it first");
  }
  if (is_being_freed_) throw InvalidArgument(describe_call(operation) + ": the window was freed");
  is_being_freed_ = true;
  is_closed_ = true;
}

void Core::end_freeing(bool has_succeeded) {
  const std::lock_guard lock(mutex_);
  is_being_freed_ = has_succeeded;
}

void Core::retire() {
  stores_.step();
  header_->is_open.store(0, std::memory_order_release);
  is_retired_.store(true, std::memory_order_release);
  ring_self();
}

bool Core::holds_a_lock() const {
  return tensor_lock_.is_busy || std::ranges::any_of(neighbors_, [](const auto& peer) {
           return peer->mutex_here.is_busy || peer->mutex_there.is_busy || peer->tensor_there.is_busy;
         });
}

void Core::keep(std::shared_ptr<const void> keeper) {
  const std::lock_guard lock(memory_mutex_);
  keeper_ = std::move(keeper);
}

void Core::release_memory() {
  const std::lock_guard lock(memory_mutex_);
  memory_.clear();
  keeper_.reset();
}

void Core::abandon_memory() {
  const std::lock_guard lock(mutex_);
  if (header_ != nullptr) header_->is_open.store(0, std::memory_order_release);
  is_closed_ = true;
  is_retired_ = true;
}

void Core::ring_neighbors_of(int rank) const {
  const auto ring = [this](int other) {
    if (transport().shares_memory(other)) transport().nudge(other);
  };
  ring(rank);
  ring_self();
  if (rank == this->rank()) {
    for (const auto& peer : neighbors_) ring(peer->rank);
  } else {
    std::ranges::for_each(neighbor(rank)->there.neighbors, ring);
  }
}

void Core::ring_self() const {
  transport().doorbell().ring();
}

}  // namespace bluefog::window
