#pragma once
/// @file sim_executor.hpp  Waiting in virtual time: a rank that waits lets the others run.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/executor.hpp"
#include "transport/sim/scheduler.hpp"

namespace bluefog::transport::sim {

class SimDoorbell final : public base::Doorbell {
 public:
  explicit SimDoorbell(Scheduler& scheduler) : scheduler_(scheduler) {}
  void ring() noexcept override;
  [[nodiscard]] std::uint32_t announce() noexcept override { return rings_; }
  void sleep(std::uint32_t announced, TimePoint deadline) override;
  void leave() noexcept override {}

 private:
  Scheduler& scheduler_;
  std::uint32_t rings_ = 0;
  std::vector<Strand*> sleepers_;
};

/// Time as one rank sees it. For a rank that was killed every deadline has passed.
class SimClock final : public base::Clock {
 public:
  SimClock(const Scheduler& scheduler, int rank) : scheduler_(scheduler), rank_(rank) {}
  [[nodiscard]] TimePoint now() const override;

 private:
  const Scheduler& scheduler_;
  int rank_;
};

class SimExecutor final : public base::Executor {
 public:
  /// @param step_time  of a turn in which something moved
  SimExecutor(Scheduler& scheduler, int rank, Duration step_time)
      : scheduler_(scheduler), rank_(rank), step_time_(step_time), clock_(scheduler, rank) {}
  [[nodiscard]] const base::Clock& clock() const override { return clock_; }
  void wait(base::Doorbell& bell, bool spin, TimePoint deadline,
            base::FunctionRef<base::Turn()> turn) override;
  [[nodiscard]] std::unique_ptr<base::Background> spawn(const char* name,
                                                        std::function<void()> body) override;
  [[nodiscard]] std::unique_ptr<base::Doorbell> make_doorbell() override;
  [[nodiscard]] bool gives_ranks_threads() const noexcept override { return false; }

  /// The rank moves memory for so long from now, or from the end of what it moves already; a wait that is
  /// over ends only then.
  void occupy(Duration duration) { busy_until_ = std::max(busy_until_, scheduler_.now()) + duration; }
  /// When the rank has moved all memory.
  [[nodiscard]] TimePoint free_at() const { return std::max(busy_until_, scheduler_.now()); }

 private:
  void pass_busy_time();

  Scheduler& scheduler_;
  int rank_;
  Duration step_time_;
  SimClock clock_;
  TimePoint busy_until_{};
};

}  // namespace bluefog::transport::sim
