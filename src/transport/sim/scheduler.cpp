#include "transport/sim/scheduler.hpp"

namespace bluefog::transport::sim {

Scheduler::Scheduler(int ranks)
    : frozen_(static_cast<std::size_t>(ranks)),
      killed_(static_cast<std::size_t>(ranks)),
      held_(static_cast<std::size_t>(ranks)) {}

Scheduler::~Scheduler() {
  // What still waits would never end by itself.
  for (std::size_t rank = 0; rank < killed_.size(); ++rank) {
    thaw(static_cast<int>(rank));
    kill(static_cast<int>(rank));
  }
  run_ready();
}

void Scheduler::at(TimePoint when, std::unique_ptr<Action> action) {
  events_.push_back({std::max(when, now_), next_order_++, std::move(action)});
  std::push_heap(events_.begin(), events_.end(),
                 [](const Event& a, const Event& b) { return a.is_after(b); });
}

Strand& Scheduler::spawn(int rank, std::function<void()> body) {
  strands_.push_back(std::make_unique<Strand>(rank, std::move(body)));
  make_ready(*strands_.back());
  return *strands_.back();
}

void Scheduler::make_ready(Strand& strand) {
  if (strand.is_ready_ || strand.ended()) return;
  strand.is_ready_ = true;
  const auto rank = static_cast<std::size_t>(strand.rank());
  if (frozen_[rank]) {
    held_[rank].push_back(&strand);
  } else {
    ready_.push_back(&strand);
  }
}

void Scheduler::suspend(TimePoint deadline) {
  Strand& self = *current_;
  if (!is_killed(self.rank())) {
    self.deadline_ = deadline;
    if (deadline != TimePoint::max()) set_alarm(self);
    self.fiber_.suspend();
    self.deadline_ = TimePoint::max();
  }
  if (is_killed(self.rank())) throw RankKilled{};
}

/// One event a strand: an earlier one looks again when it comes.
void Scheduler::set_alarm(Strand& strand) {
  if (strand.alarm_ <= strand.deadline_) return;
  strand.alarm_ = strand.deadline_;
  at(strand.alarm_, [this, &strand, alarm = strand.alarm_] {
    if (strand.alarm_ != alarm) return;
    strand.alarm_ = TimePoint::max();
    if (strand.deadline_ <= now_) {
      make_ready(strand);
    } else if (strand.deadline_ != TimePoint::max()) {
      set_alarm(strand);
    }
  });
}

void Scheduler::freeze(int rank) {
  const auto index = static_cast<std::size_t>(rank);
  frozen_[index] = true;
  std::erase_if(ready_, [&](Strand* strand) {
    if (strand->rank() != rank) return false;
    held_[index].push_back(strand);
    return true;
  });
}

void Scheduler::thaw(int rank) {
  const auto index = static_cast<std::size_t>(rank);
  frozen_[index] = false;
  for (Strand* strand : held_[index]) ready_.push_back(strand);
  held_[index].clear();
}

void Scheduler::kill(int rank) {
  killed_[static_cast<std::size_t>(rank)] = true;
  thaw(rank);
  for (const auto& strand : strands_) {
    if (strand->rank() == rank && strand.get() != current_) make_ready(*strand);
  }
}

void Scheduler::run_ready() {
  while (!ready_.empty()) {
    Strand& strand = *ready_.front();
    ready_.pop_front();
    strand.is_ready_ = false;
    current_ = &strand;
    strand.fiber_.resume();
    current_ = nullptr;
  }
}

bool Scheduler::step() {
  run_ready();
  if (events_.empty()) return false;
  now_ = events_.front().when;
  // All of one instant before anybody looks, so that a rank looks once.
  while (!events_.empty() && events_.front().when == now_) {
    std::pop_heap(events_.begin(), events_.end(),
                  [](const Event& a, const Event& b) { return a.is_after(b); });
    const Event event = std::move(events_.back());
    events_.pop_back();
    event.action->run();
  }
  run_ready();
  return true;
}

}  // namespace bluefog::transport::sim
