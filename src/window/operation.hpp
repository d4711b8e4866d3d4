#pragma once
/// @file operation.hpp  Operations on a window: coroutines that the engine carries as errands.

#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "engine/errand.hpp"
#include "engine/task.hpp"
#include "window/core.hpp"
#include "window/letters.hpp"
#include "window/rank_lock.hpp"

namespace bluefog::window {

using engine::Task;

/// Reports what it does to the engine, and keeps its turn among the operations on its window.
class Operation : public engine::Errand {
 public:
  ~Operation() override;
  [[nodiscard]] Step step() final;
  [[nodiscard]] bool may_step() final { return suspension_.ready(); }
  void give_up() noexcept final;
  [[nodiscard]] std::string_view name() const final { return name_; }
  [[nodiscard]] std::string_view subject() const final { return core_->name(); }
  [[nodiscard]] std::string describe_wait() const final {
    return waits_for_.empty() ? "" : "; " + waits_for_;
  }
  [[nodiscard]] int awaited_peer() const final { return awaited_peer_; }
  [[nodiscard]] std::size_t bytes() const override { return core_->bytes(); }

 protected:
  /// @param name       "win_put"
  /// @param takes_turn  it waits for all operations on the window that were called before it
  Operation(std::shared_ptr<Core> core, std::string_view name, bool takes_turn);

  [[nodiscard]] virtual Task run() = 0;

  /// co_await an lvalue of what it gives.
  /// @param peer  whom it waits for, if that is another rank
  template <class Condition>
  [[nodiscard]] auto until(std::string what, Condition condition, int peer = -1) {
    waits_for_ = std::move(what);
    awaited_peer_ = peer;
    return engine::Until<Condition>(suspension_, std::move(condition));
  }
  /// This call's way to a lock.
  [[nodiscard]] RankLock lock_at(LockPlace& place) const { return {core_, place, caller_}; }
  [[nodiscard]] Task acquire(RankLock& lock);
  /// What a far rank answers. @throws PeerLost, or InvalidArgument if it refuses
  [[nodiscard]] Task receive(const Answer& answer);
  /// Until letters with bytes to a far rank go on their way at once. @throws PeerLost
  [[nodiscard]] Task room_to(int rank);
  [[nodiscard]] engine::Yield yield() { return engine::Yield(suspension_); }
  /// Until a near neighbour is done with the hidden slot of this rank's edge: a mean that was given up may be
  /// in the making there. @throws PeerLost
  [[nodiscard]] Task slot_at(const Neighbor& peer);
  void send(const Neighbor& to, std::uint64_t request, const Envelope& envelope,
            std::span<const std::byte> bytes = {}) const;

  [[nodiscard]] Core& core() const noexcept { return *core_; }
  [[nodiscard]] std::shared_ptr<Core> share_core() const noexcept { return core_; }

 private:
  [[nodiscard]] Task run_in_turn();
  void end() noexcept;

  std::shared_ptr<Core> core_;
  std::string_view name_;
  bool takes_turn_;
  bool is_over_ = false;
  engine::Suspension suspension_;
  Task task_;
  std::string waits_for_;
  int awaited_peer_ = -1;
  std::thread::id caller_ = std::this_thread::get_id();
};

/// An answer that is awaited for as long as this lives.
class Request {
 public:
  Request(Windows& windows, int peer);
  ~Request();
  Request(Request&& other) noexcept = default;
  Request& operator=(Request&&) = delete;
  [[nodiscard]] std::uint64_t number() const noexcept { return number_; }
  [[nodiscard]] const Answer& answer() const noexcept { return *answer_; }

  Request(Windows& windows, int peer, std::byte* bytes, std::size_t size);

 private:
  Windows& windows_;
  std::shared_ptr<Answer> answer_;
  std::uint64_t number_;
};

}  // namespace bluefog::window
