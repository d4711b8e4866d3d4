#include "transport/sim/sim_executor.hpp"

namespace bluefog::transport::sim {

namespace {

class StrandBackground final : public base::Background {
 public:
  StrandBackground(Scheduler& scheduler, Strand& strand) : scheduler_(scheduler), strand_(strand) {}
  /// Waits for the end of the body, which was told to end.
  ~StrandBackground() override {
    while (!strand_.ended()) {
      if (scheduler_.current() == nullptr) {
        if (!scheduler_.step()) return;
        continue;
      }
      try {
        scheduler_.suspend(scheduler_.now() + std::chrono::nanoseconds(1));
      } catch (const RankKilled&) {
        return;  // so was the body's rank
      }
    }
  }

 private:
  Scheduler& scheduler_;
  Strand& strand_;
};

}  // namespace

void SimDoorbell::ring() noexcept {
  ++rings_;
  for (Strand* const sleeper : sleepers_) scheduler_.make_ready(*sleeper);
  sleepers_.clear();
}

void SimDoorbell::sleep(std::uint32_t announced, TimePoint deadline) {
  if (rings_ != announced) return;
  Strand* const self = scheduler_.current();
  if (self == nullptr) {  // whoever runs the simulation waits: for everything
    while (rings_ == announced && scheduler_.now() < deadline) {
      if (!scheduler_.step() && rings_ == announced) scheduler_.skip_to(deadline);
    }
    return;
  }
  struct Forget {
    std::vector<Strand*>& sleepers;
    Strand* self;
    ~Forget() { std::erase(sleepers, self); }
  };
  sleepers_.push_back(self);
  const Forget forget{sleepers_, self};
  scheduler_.suspend(deadline);
}

TimePoint SimClock::now() const {
  constexpr Duration beyond_all_deadlines = std::chrono::hours(24 * 365 * 10);
  return scheduler_.is_killed(rank_) ? scheduler_.now() + beyond_all_deadlines : scheduler_.now();
}

void SimExecutor::wait(base::Doorbell& bell, bool /*spin*/, TimePoint deadline,
                       base::FunctionRef<base::Turn()> turn) {
  while (true) {
    const std::uint32_t announced = bell.announce();
    const base::Turn seen = turn();
    if (seen == base::Turn::Over || clock_.now() >= deadline) break;
    if (seen == base::Turn::Idle) bell.sleep(announced, deadline);
    if (seen == base::Turn::Busy && step_time_ > Duration::zero()) {
      occupy(step_time_);
      pass_busy_time();
    }
    bell.leave();
  }
  pass_busy_time();
}

void SimExecutor::pass_busy_time() {
  if (scheduler_.current() == nullptr) return;
  while (busy_until_ > scheduler_.now()) scheduler_.suspend(busy_until_);
}

std::unique_ptr<base::Background> SimExecutor::spawn(const char* /*name*/, std::function<void()> body) {
  return std::make_unique<StrandBackground>(scheduler_, scheduler_.spawn(rank_, std::move(body)));
}

std::unique_ptr<base::Doorbell> SimExecutor::make_doorbell() {
  return std::make_unique<SimDoorbell>(scheduler_);
}

}  // namespace bluefog::transport::sim
