#include "window/windows.hpp"

#include <algorithm>
#include <cstring>

#include <unistd.h>

#include <bluefog/error.hpp>

#include "engine/arguments.hpp"
#include "window/service.hpp"

namespace bluefog::window {

namespace {

constexpr std::string_view creation_name = "win_create";
/// Whether a far rank lives is known by its connection; its lives need not be told apart.
constexpr std::uint32_t far_incarnation = 1;

/// Smaller tensors are still in a cache when their owner reads them, and when the next ones take their place.
constexpr std::size_t least_streamed_bytes = std::size_t{2} << 20;
/// Below, it makes no difference that would be worth the clock.
constexpr std::size_t least_tried_bytes = std::size_t{64} << 10;

/// The same error, said of the creation of a window.
[[noreturn]] void rethrow_as_creation(const std::exception_ptr& error, const std::string& call) {
  try {
    std::rethrow_exception(error);
  } catch (const InvalidArgument& wrong) {
    throw InvalidArgument(call + ": " + wrong.what());
  } catch (const Mismatch& mismatch) {
    throw Mismatch(call + ": " + mismatch.what());
  } catch (const PeerLost& lost) {
    throw PeerLost(call + ": " + lost.what(), lost.peer());
  }
}

/// Each source and destination with factor 1.
std::vector<mixing::WeightedRank> weighted(std::vector<int> ranks) {
  std::ranges::sort(ranks);
  std::vector<mixing::WeightedRank> list;
  list.reserve(ranks.size());
  for (const int rank : ranks) list.push_back({rank, 1.0});
  return list;
}

void check_ranks(const std::vector<int>& ranks, const char* argument, int self,
                 const std::vector<int>& members) {
  for (const int rank : ranks) {
    if (rank == self) throw InvalidArgument(std::string(argument) + ": a rank is no neighbour of itself");
    if (!std::ranges::binary_search(members, rank)) {
      throw InvalidArgument(std::string(argument) + ": " + engine::rank_text(rank) + " is not of the group");
    }
    if (std::ranges::count(ranks, rank) > 1) {
      throw InvalidArgument(std::string(argument) + ": " + engine::rank_text(rank) + " is given twice");
    }
  }
}

}  // namespace

Creation::~Creation() {
  if (session == nullptr || operation == nullptr || operation->closed()) return;
  engine::Engine& engine = session->engine();
  if (engine.is_forked_copy()) return;
  engine.cancel(*operation);
  static_cast<void>(engine.wait(*operation, base::TimePoint::max()));
}

Windows::Windows(engine::Session& session)
    : session_(session), self_(session.config().rank, static_cast<std::uint32_t>(::getpid())) {
  transport().set_note_sink(this);
}

Windows::~Windows() {
  transport().set_note_sink(nullptr);
}

Windows& Windows::of(engine::Session& session) {
  return static_cast<Windows&>(session.annex([&] { return std::make_unique<Windows>(session); }));
}

Stores Windows::stores(std::size_t bytes) const {
  const engine::Tuning& tuning = engine().tuning();
  const bool streams = bytes >= std::max(tuning.streaming_threshold, least_streamed_bytes);
  return Stores(tuning.window_hook, streams ? mixing::StoreKind::Streaming : mixing::StoreKind::Plain);
}

std::optional<StoreTrials> Windows::store_trials(std::size_t bytes) const {
  if (session_.config().store != "auto" || bytes < least_tried_bytes) return {};
  return StoreTrials(stores(bytes).kind(), engine().clock());
}

void Windows::close() {
  transport().set_note_sink(nullptr);
}

std::string Windows::blocks_topology() const {
  const std::lock_guard lock(mutex_);
  if (by_name_.empty()) return {};
  return "window \"" + by_name_.begin()->first +
         "\" is open, and its edges are those of the topology; free all " + "windows first";
}

// --- creation

mixing::MixingRow Windows::row_of(const WindowOptions& options) const {
  mixing::MixingRow row = session_.requests().row_without_weights(options.group);
  if (options.src_ranks.has_value() != options.dst_ranks.has_value()) {
    throw InvalidArgument("src_ranks and dst_ranks come together: give both, or none");
  }
  if (!options.src_ranks) return row;
  std::vector<int> members = options.group;
  if (members.empty()) {
    for (int rank = 0; rank < session_.config().size; ++rank) members.push_back(rank);
  }
  std::ranges::sort(members);
  check_ranks(*options.src_ranks, "src_ranks", row.rank, members);
  check_ranks(*options.dst_ranks, "dst_ranks", row.rank, members);
  row.form = mixing::RowForm::Uniform;
  row.sources = weighted(*options.src_ranks);
  row.destinations = weighted(*options.dst_ranks);
  return row;
}

std::string Windows::fault_of(const std::string& name, const Tensor& tensor) const {
  if (name.empty()) return "a window needs a name";
  try {
    engine::check_memory(tensor, "the tensor");
  } catch (const InvalidArgument& wrong) {
    return wrong.what();
  }
  const std::lock_guard lock(mutex_);
  return by_name_.contains(name) ? "a window with this name is open; free it first, or give another name"
                                 : "";
}

void Windows::begin(Creation& creation, const Tensor& tensor, const WindowOptions& options) {
  Core& core = *creation.core;
  std::string refusal = options.refusal.empty() ? fault_of(core.name(), tensor) : options.refusal;
  try {
    const mixing::MixingRow row = row_of(options);
    if (refusal.empty()) core.build(row, options.zero_init);
  } catch (const std::exception& error) {
    if (refusal.empty()) refusal = error.what();
  }
  NeighborAllgatherOptions gather;
  gather.name = std::string(creation_name) + "." + core.name();
  gather.group = options.group;
  gather.refusal = refusal;
  gather.src_ranks.emplace();
  if (refusal.empty()) {
    // What far neighbours write about it may come before this rank has heard of them.
    const std::lock_guard lock(mutex_);
    by_topic_.emplace(core.topic(), creation.core);
    creation.description = core.describe();
    for (const auto& peer : core.neighbors()) gather.src_ranks->push_back(peer->rank);
  }
  gather.dst_ranks = gather.src_ranks;
  const ConstTensor words(creation.description.data(), DType::Int64, Shape(creation.description.size()));
  creation.operation = engine().submit(session_.requests().neighbor_allgather(words, gather), false);
}

std::shared_ptr<Core> Windows::finish(Creation& creation) {
  const std::shared_ptr<Core>& core = creation.core;
  if (std::exchange(creation.is_finished, true)) {
    throw InvalidArgument(core->describe_call(creation_name) + ": it is finished already");
  }
  try {
    if (creation.operation->error()) std::rethrow_exception(creation.operation->error());
    meet_neighbors(creation);
  } catch (...) {
    abandon(core);
    rethrow_as_creation(std::current_exception(), core->describe_call(creation_name));
  }
  {
    const std::lock_guard lock(mutex_);
    by_name_.emplace(core->name(), core);
  }
  if (core->needs_service()) static_cast<void>(engine().submit(std::make_shared<Service>(core), true));
  return core;
}

void Windows::meet_neighbors(const Creation& creation) const {
  const engine::Operation& operation = *creation.operation;
  std::span<const std::uint64_t> words(reinterpret_cast<const std::uint64_t*>(operation.gathered.get()),
                                       operation.gathered_shape.count());
  for (const auto& peer : creation.core->neighbors()) {
    words = words.subspan(creation.core->meet(peer->rank, words));
  }
}

/// A window that could not be opened: neighbours may write to its memory all the same.
void Windows::abandon(const std::shared_ptr<Core>& core) {
  core->abandon_memory();
  const std::lock_guard lock(mutex_);
  if (by_topic_.erase(core->topic()) > 0) abandoned_.push_back(core);
}

std::shared_ptr<Core> Windows::find(const std::string& name, std::string_view operation) const {
  const std::lock_guard lock(mutex_);
  if (const auto found = by_name_.find(name); found != by_name_.end()) return found->second;
  throw InvalidArgument(std::string(operation) + " \"" + name + "\" on " +
                        engine::rank_text(session_.config().rank) +
                        ": no window has this name; create it first");
}

std::vector<std::string> Windows::names() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, core] : by_name_) names.push_back(name);
  return names;
}

void Windows::forget(const Core& core) {
  const std::lock_guard lock(mutex_);
  by_topic_.erase(core.topic());
  if (const auto found = by_name_.find(core.name());
      found != by_name_.end() && found->second.get() == &core) {
    by_name_.erase(found);
  }
}

// --- notes

std::uint64_t Windows::expect(std::shared_ptr<Answer> answer) {
  const std::lock_guard lock(mutex_);
  awaited_.emplace(next_request_, std::move(answer));
  return next_request_++;
}

void Windows::expect_no_more(std::uint64_t request) {
  const std::lock_guard lock(mutex_);
  awaited_.erase(request);
}

bool Windows::take_note(int from, const transport::Note& note) {
  const Envelope envelope = Envelope::of(note.words);
  if (is_answer(envelope.letter)) return take_answer(from, note);
  std::shared_ptr<Core> core;
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = by_topic_.find(note.topic); found != by_topic_.end()) core = found->second;
  }
  const bool is_delivery = envelope.letter == Letter::Put || envelope.letter == Letter::Accumulate;
  if (core == nullptr) {
    const bool awaits_answer = envelope.letter == Letter::Get || envelope.letter == Letter::Lock ||
                               envelope.letter == Letter::Mean || (is_delivery && envelope.is_last);
    if (awaits_answer) refuse(from, note.request);
    return true;
  }
  Neighbor* const peer = core->neighbor(from);
  if (peer == nullptr) return false;
  if (envelope.letter == Letter::MeanPiece) return take_mean_piece(*core, *peer, note);
  return is_delivery ? take_delivery(*core, *peer, note) : take_wish(*core, *peer, note);
}

bool Windows::take_delivery(Core& core, Neighbor& from, const transport::Note& note) {
  const Envelope envelope = Envelope::of(note.words);
  if (from.arrival == nullptr || envelope.offset > core.bytes() ||
      note.bytes.size() > core.bytes() - envelope.offset) {
    return false;
  }
  const Delivery delivery = envelope.letter == Letter::Put ? Delivery::Put : Delivery::Accumulate;
  if (!note.bytes.empty()) {
    std::memcpy(from.arrival->hidden() + envelope.offset, note.bytes.data(), note.bytes.size());
  }
  if (!envelope.is_last) return true;
  {
    const std::lock_guard lock(core.mutex());
    from.arrival->publish_received(
        delivery, envelope.has_weight ? std::optional<double>(envelope.weight) : std::nullopt);
  }
  answer(from.rank, note.request, Envelope{Letter::Done});
  return true;
}

/// Whoever has given a mean up may ask for another.
bool Windows::take_mean_piece(const Core& core, Neighbor& from, const transport::Note& note) {
  const std::uint64_t offset = Envelope::of(note.words).offset;
  if (offset == 0) from.pieces.clear();
  if (!core.averages() || !from.is_source || offset != from.pieces.size() ||
      note.bytes.size() > core.bytes() - offset) {
    return false;
  }
  from.pieces.reserve(core.bytes());
  from.pieces.insert(from.pieces.end(), note.bytes.begin(), note.bytes.end());
  return true;
}

bool Windows::take_wish(Core& core, Neighbor& from, const transport::Note& note) {
  const Envelope envelope = Envelope::of(note.words);
  {
    const std::lock_guard lock(core.mutex());
    FarWishes& wishes = core.wishes();
    const bool is_wish =
        envelope.letter == Letter::Get || envelope.letter == Letter::Lock || envelope.letter == Letter::Mean;
    if (!wishes.are_served && is_wish) {
      refuse(from.rank, note.request);
      return true;
    }
    switch (envelope.letter) {
      case Letter::Get:
        wishes.gets.push_back({from.rank, note.request, envelope.weight});
        break;
      case Letter::Mean:
        if (!core.averages() || from.pieces.size() != core.bytes()) return false;
        wishes.means.push_back({from.rank, note.request, std::exchange(from.pieces, {})});
        break;
      case Letter::Lock:
        wishes.locks.push_back(
            {from.rank, note.request,
             RobustLock(from.edge->mutex, LockOwner(from.rank, far_incarnation), core.stores())});
        break;
      case Letter::Unlock:
        for (FarWishes::Lock& lock : wishes.locks) {
          if (lock.rank == from.rank && lock.request == note.request) lock.is_over = true;
        }
        break;
      case Letter::Close:
        from.has_closed.store(true, std::memory_order_release);
        break;
      default:
        return false;
    }
  }
  core.ring_self();
  return true;
}

bool Windows::take_answer(int from, const transport::Note& note) {
  const Envelope envelope = Envelope::of(note.words);
  {
    const std::lock_guard lock(mutex_);
    const auto found = awaited_.find(note.request);
    if (found == awaited_.end()) return true;  // whoever asked has given up
    Answer& answer = *found->second;
    if (answer.peer != from) return false;
    if (envelope.letter == Letter::Value) {
      if (answer.bytes == nullptr || envelope.offset != answer.received ||
          note.bytes.size() > answer.size - answer.received) {
        return false;
      }
      if (!note.bytes.empty())
        std::memcpy(answer.bytes + answer.received, note.bytes.data(), note.bytes.size());
      answer.received += note.bytes.size();
      if (!envelope.is_last) return true;
      if (answer.received != answer.size) return false;
      answer.weight = envelope.weight;
    }
    if (envelope.letter == Letter::Refused) answer.reason = note.text;
    answer.state.store(envelope.letter == Letter::Refused ? Answer::State::Refused : Answer::State::Done,
                       std::memory_order_release);
    awaited_.erase(found);
  }
  transport().doorbell().ring();
  return true;
}

void Windows::answer(int to, std::uint64_t request, const Envelope& envelope,
                     std::span<const std::byte> bytes, std::string text) const {
  transport().send_note(to, {0, request, envelope.words(), bytes, std::move(text)});
}

void Windows::refuse(int to, std::uint64_t request) const {
  answer(to, request, Envelope{Letter::Refused}, {}, "could not open the window");
}

}  // namespace bluefog::window
