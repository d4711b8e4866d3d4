#include "window/operation.hpp"

#include <bluefog/error.hpp>

#include "engine/operation.hpp"
#include "window/windows.hpp"

namespace bluefog::window {

Operation::Operation(std::shared_ptr<Core> core, std::string_view name, bool takes_turn)
    : core_(std::move(core)), name_(name), takes_turn_(takes_turn) {
  if (takes_turn_) core_->line_up(this);
}

Operation::~Operation() {
  end();
}

void Operation::end() noexcept {
  if (!is_over_ && takes_turn_) core_->step_out(this);
  is_over_ = true;
}

Task Operation::run_in_turn() {
  if (takes_turn_ && !core_->has_turn(this)) {
    auto turn = until("it waits for calls on this window that came before it",
                      [this] { return core_->has_turn(this); });
    co_await turn;
  }
  co_await run();
}

Operation::Step Operation::step() {
  if (!task_.handle()) {
    task_ = run_in_turn();
    suspension_.set(task_.handle(), nullptr, nullptr);
  }
  suspension_.resume();
  if (!task_.finished()) return suspension_.is_yield() ? Step::Moved : Step::Waits;
  end();
  task_.rethrow();
  return Step::Over;
}

void Operation::give_up() noexcept {
  task_ = Task();  // what it holds is released
  end();
}

Task Operation::acquire(RankLock& lock) {
  if (lock.try_lock(name_)) co_return;
  std::exception_ptr error;
  auto held = until(
      "it waits for " + lock.describe(),
      [&] {
        try {
          return lock.try_lock(name_);
        } catch (...) {
          error = std::current_exception();
          return true;
        }
      },
      lock.awaited_peer());
  co_await held;
  if (error) std::rethrow_exception(error);
}

Task Operation::receive(const Answer& answer) {
  const auto is_awaited = [&] {
    return answer.state.load(std::memory_order_acquire) == Answer::State::Awaited;
  };
  auto answered = until(
      "it waits for " + engine::rank_text(answer.peer),
      [&] { return !is_awaited() || core_->is_lost(answer.peer); }, answer.peer);
  co_await answered;
  if (is_awaited()) core_->throw_lost(name_, answer.peer, "it may or may not have got its part; ");
  if (answer.state.load(std::memory_order_acquire) == Answer::State::Refused) {
    throw InvalidArgument(core_->describe_call(name_) + ": " + engine::rank_text(answer.peer) + " " +
                          answer.reason);
  }
}

Task Operation::room_to(int rank) {
  auto& transport = core_->transport();
  if (transport.has_room_for_notes(rank)) co_return;
  auto has_room = until(
      "the connection to " + engine::rank_text(rank) + " is full",
      [&] { return transport.has_room_for_notes(rank) || core_->is_lost(rank); }, rank);
  co_await has_room;
}

Task Operation::slot_at(const Neighbor& peer) {
  const EdgeHeader& edge = *peer.there.edge;
  const auto is_free = [&] { return edge.means_wanted.load() == edge.means_made.load(); };
  auto freed = until(
      "it waits for a mean that " + engine::rank_text(peer.rank) + " makes",
      [&] { return is_free() || core_->is_lost(peer.rank) || peer.there.header->is_open.load() == 0; },
      peer.rank);
  co_await freed;
  if (!is_free()) core_->require_open(name_, peer);
}

void Operation::send(const Neighbor& to, std::uint64_t request, const Envelope& envelope,
                     std::span<const std::byte> bytes) const {
  core_->stores().step();
  core_->transport().send_note(to.rank, {to.there.topic, request, envelope.words(), bytes, {}});
}

Request::Request(Windows& windows, int peer) : Request(windows, peer, nullptr, 0) {}

Request::Request(Windows& windows, int peer, std::byte* bytes, std::size_t size)
    : windows_(windows), answer_(std::make_shared<Answer>()) {
  answer_->peer = peer;
  answer_->bytes = bytes;
  answer_->size = size;
  number_ = windows.expect(answer_);
}

Request::~Request() {
  if (answer_ != nullptr) windows_.expect_no_more(number_);
}

}  // namespace bluefog::window
