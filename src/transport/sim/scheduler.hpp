#pragma once
/// @file scheduler.hpp  Virtual time: what happens when, and which fiber runs.
///
/// One thread. Events happen in the order of their times, those of one time in the order in which they were
/// made, so a run depends on nothing but its input.

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/recycled_memory.hpp"
#include "transport/sim/fiber.hpp"

namespace bluefog::transport::sim {

using base::Duration;
using base::TimePoint;

/// Thrown out of a wait of a rank that has been killed, so that its stack unwinds. Not an std::exception: no
/// handler of errors may take it.
struct RankKilled {};

class Scheduler;

/// A fiber of one rank, as the scheduler sees it.
class Strand {
 public:
  Strand(int rank, std::function<void()> body) : rank_(rank), fiber_(std::move(body)) {}
  [[nodiscard]] int rank() const noexcept { return rank_; }
  [[nodiscard]] bool ended() const noexcept { return fiber_.ended(); }
  [[nodiscard]] std::exception_ptr error() const noexcept { return fiber_.error(); }

 private:
  friend class Scheduler;
  int rank_;
  Fiber fiber_;
  bool is_ready_ = false;
  TimePoint deadline_ = TimePoint::max();  ///< of the present wait
  TimePoint alarm_ = TimePoint::max();     ///< of the event that is to look at the deadline
};

class Scheduler {
 public:
  /// @param ranks  strands belong to ranks 0 to ranks - 1
  explicit Scheduler(int ranks);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  [[nodiscard]] TimePoint now() const noexcept { return now_; }
  /// What happens at a time.
  class Action {
   public:
    virtual ~Action() = default;
    virtual void run() = 0;

    static void* operator new(std::size_t bytes) { return base::allocate_recycled(bytes); }
    static void operator delete(void* action, std::size_t bytes) noexcept {
      base::free_recycled(action, bytes);
    }

   protected:
    Action() = default;
  };
  /// Runs the action at a time, which is not before now.
  void at(TimePoint when, std::unique_ptr<Action> action);
  template <class Function>
  void at(TimePoint when, Function function) {
    at(when, std::unique_ptr<Action>(std::make_unique<FunctionAction<Function>>(std::move(function))));
  }

  /// A new strand, ready at once; lives as long as the scheduler.
  Strand& spawn(int rank, std::function<void()> body);
  void make_ready(Strand& strand);
  /// The strand that runs now, or nullptr outside of all.
  [[nodiscard]] Strand* current() const noexcept { return current_; }
  /// Called by a strand: others run until it is made ready or the deadline has come.
  /// @throws RankKilled if its rank was killed meanwhile
  void suspend(TimePoint deadline);

  /// Strands of a frozen rank wait, whatever they are told.
  void freeze(int rank);
  void thaw(int rank);
  [[nodiscard]] bool is_frozen(int rank) const { return frozen_[static_cast<std::size_t>(rank)]; }
  /// Unwinds the strands of a rank.
  void kill(int rank);
  [[nodiscard]] bool is_killed(int rank) const { return killed_[static_cast<std::size_t>(rank)]; }

  /// Runs ready strands, then the next event. @returns false when there is nothing left to do
  bool step();
  /// Lets time pass in which nothing happens.
  void skip_to(TimePoint when) { now_ = std::max(now_, when); }

 private:
  template <class Function>
  class FunctionAction final : public Action {
   public:
    explicit FunctionAction(Function function) : function_(std::move(function)) {}
    void run() override { function_(); }

   private:
    Function function_;
  };
  struct Event {
    TimePoint when;
    std::uint64_t order;
    std::unique_ptr<Action> action;
    [[nodiscard]] bool is_after(const Event& other) const {
      return when != other.when ? when > other.when : order > other.order;
    }
  };
  void run_ready();
  void set_alarm(Strand& strand);

  TimePoint now_{};
  std::uint64_t next_order_ = 0;
  std::vector<Event> events_;  ///< a heap
  std::vector<std::unique_ptr<Strand>> strands_;
  std::deque<Strand*> ready_;
  std::vector<bool> frozen_;
  std::vector<bool> killed_;
  std::vector<std::vector<Strand*>> held_;  ///< ready strands of frozen ranks
  Strand* current_ = nullptr;
};

}  // namespace bluefog::transport::sim
