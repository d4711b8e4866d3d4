#include "engine/engine.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include <bluefog/error.hpp>

#include "engine/errand.hpp"

namespace bluefog::engine {

namespace {

constexpr std::size_t remembered_reports = 64;
constexpr std::size_t remembered_names = 4096;
constexpr base::Duration alarm_resolution = std::chrono::seconds(1);

}  // namespace

Engine::Engine(transport::Transport& transport, base::Executor& executor, const Config& config, Tuning tuning,
               trace::Timeline* timeline)
    : transport_(transport),
      executor_(executor),
      config_(config),
      tuning_(tuning),
      stores_(tuning.stores != nullptr ? *tuning.stores : own_stores_),
      timeline_(timeline),
      rank_(transport.rank()),
      staging_(std::make_shared<StagingPool>(transport)),
      background_bell_(executor.make_doorbell()) {}

Engine::~Engine() {
  stop(base::Duration::zero());
}

std::shared_ptr<Operation> Engine::submit(Request request, bool is_async) {
  auto operation = std::allocate_shared<Operation>(base::RecyclingAllocator<Operation>(), std::move(request));
  operation->is_async = is_async;
  Gathering gathering = Gathering::No;
  {
    const std::lock_guard lock(submit_mutex_);
    refuse_if_stopped(*operation);
    const std::uint64_t stream = operation->request().stream;
    if (!operation->request().name.empty()) {
      if (named_in_flight_.size() >= remembered_names) {
        std::erase_if(named_in_flight_, [](const auto& entry) { return entry.second.expired(); });
      }
      auto& in_flight = named_in_flight_[stream];
      if (const auto other = in_flight.lock(); other != nullptr && !other->closed()) {
        // Takes its place in the order of calls all the same, so that the peers' second calls fail too.
        operation->request().local_error = std::make_exception_ptr(InvalidArgument(
            std::string(name_of(operation->request().kind)) + " \"" + operation->request().name +
            "\" on rank " + std::to_string(rank_) +
            ": an operation with this name is in flight; wait for it first, or give another name"));
      } else {
        in_flight = operation;
      }
    }
    operation->key = {stream, calls_[stream]++};
    operation->sequence = next_sequence_++;
    if (operation->request().ready != nullptr) start_clock(*operation);
    incoming_.push_back(operation);
    has_incoming_.store(true, std::memory_order_release);
    start_background_for(*operation);
    gathering = gather(*operation);
  }
  if (gathering != Gathering::GoesOn) wake_for(*operation);
  return operation;
}

void Engine::refuse_if_stopped(const Operation& operation) const {
  if (!stopped()) return;
  const Request& request = operation.request();
  throw Shutdown(std::string(request.errand != nullptr ? request.errand->name() : name_of(request.kind)) +
                 " on rank " + std::to_string(rank_) + ": this Context was shut down; call init() again");
}

/// Under submit_mutex_, where nobody is stopping the engine.
void Engine::start_background_for(const Operation& operation) {
  if (!operation.is_async) return;
  async_open_.fetch_add(1, std::memory_order_relaxed);
  if (background_ != nullptr) return;
  background_ = executor_.spawn("bluefog", [this] { background(); });
}

/// Makes somebody work on what was just submitted.
void Engine::wake_for(const Operation& operation) {
  if (operation.is_async) background_bell_->ring();
  if (const std::unique_lock lock(mutex_, std::try_to_lock); lock.owns_lock()) {
    if (operation.is_async) {  // its caller has other things to do than to mix
      const transport::Batch batch(transport_);
      admit(!is_gathering());
    } else {
      pass();
    }
  }
  if (operation.is_async) transport_.doorbell().ring();
}

void Engine::require_home() const {
  if (!is_forked_copy()) return;
  throw Shutdown("this process was forked from rank " + std::to_string(rank_) +
                 ": it is not a rank of the job; start ranks with bfrun");
}

bool Engine::wait(Operation& operation, base::TimePoint until) {
  while (!operation.closed()) {
    const base::TimePoint pause = std::min({until, next_alarm(), next_look_.load()});
    executor_.wait(transport_.doorbell(), tuning_.spin && !waits_for_word(), pause, [&] {
      const bool moved = drive();
      if (operation.closed() || next_look_.load() < pause) return base::Turn::Over;
      return moved ? base::Turn::Busy : base::Turn::Idle;
    });
    if (operation.closed()) break;
    const base::TimePoint now = clock().now();
    {
      const std::lock_guard lock(mutex_);
      check_time(now);
    }
    if (now >= until) return operation.closed();
  }
  // Others may sleep in the belief that this thread drives their operations.
  transport_.doorbell().ring();
  return true;
}

bool Engine::poll(Operation& operation) {
  if (!operation.closed()) drive();
  return operation.closed();
}

bool Engine::drive() {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  return lock.owns_lock() && pass();
}

void Engine::cancel(Operation& operation) {
  const std::lock_guard lock(mutex_);
  if (operation.closed() || operation.trouble) return;
  operation.trouble =
      std::make_exception_ptr(Interrupted(operation.describe(rank_) + ": given up by the caller"));
}

void Engine::stop(base::Duration patience) {
  if (stopped()) return;
  const base::TimePoint until = clock().now() + patience;
  while (true) {
    const std::shared_ptr<Operation> oldest = oldest_in_flight();
    if (oldest == nullptr || !wait(*oldest, until)) break;
  }
  {
    const std::lock_guard lock(submit_mutex_);
    stopped_.store(true, std::memory_order_release);
  }
  {
    const std::lock_guard lock(mutex_);
    admit();
    for (const auto* list : {&open_, &errands_}) {
      for (const auto& operation : *list) {
        if (operation->trouble) continue;
        operation->trouble = std::make_exception_ptr(Shutdown(
            operation->describe(rank_) + ": this Context was shut down while the operation was in flight"));
      }
    }
    // What has started to write goes on as far as it can alone: nobody else would.
    while (pass()) {
    }
  }
  close_all();
}

/// That somebody may wait for.
std::shared_ptr<Operation> Engine::oldest_in_flight() {
  const std::scoped_lock lock(submit_mutex_, mutex_);
  if (!open_.empty()) return open_.front();
  if (!incoming_.empty()) return incoming_.front();
  const auto is_awaited = [](const auto& operation) { return !operation->request().errand->is_service(); };
  if (const auto found = std::ranges::find_if(errands_, is_awaited); found != errands_.end()) return *found;
  const auto found = std::ranges::find_if(incoming_errands_, is_awaited);
  return found != incoming_errands_.end() ? *found : nullptr;
}

void Engine::abandon() {
  {
    const std::lock_guard lock(submit_mutex_);
    if (stopped_.exchange(true)) return;
  }
  close_all();
}

void Engine::close_all() {
  background_stop_.store(true);
  background_bell_->ring();
  transport_.doorbell().ring();
  std::unique_ptr<base::Background> ending;
  {
    const std::lock_guard lock(submit_mutex_);
    ending = std::move(background_);
  }
  ending.reset();
  const std::scoped_lock lock(mutex_, submit_mutex_);
  open_.insert(open_.end(), incoming_.begin(), incoming_.end());
  incoming_.clear();
  open_.splice(open_.end(), errands_);
  open_.insert(open_.end(), incoming_errands_.begin(), incoming_errands_.end());
  incoming_errands_.clear();
  for (const auto& operation : open_) {
    if (!operation->trouble) {
      operation->trouble = std::make_exception_ptr(
          Shutdown(operation->describe(rank_) + ": this Context was shut down before the operation began"));
    }
    operation->crossing.reset();
    operation->close(operation->trouble);
  }
  open_.clear();
}

void Engine::remember_reported(const Key& key) {
  reported_.push_back(key);
  if (reported_.size() > remembered_reports) reported_.pop_front();
}

std::string Engine::take_complaint() {
  auto taken = transport_.take_complaint();
  if (!taken && !holds_complaints_.load(std::memory_order_relaxed)) return {};
  const std::lock_guard lock(mutex_);
  for (; taken; taken = transport_.take_complaint()) held_complaints_.push_back(std::move(*taken));
  // What failed here too, or was complained about before, is told already.
  std::erase_if(held_complaints_, [this](const transport::ComplaintText& complaint) {
    return std::find(reported_.begin(), reported_.end(), complaint.key) != reported_.end();
  });
  std::string text;
  const auto closed =
      std::find_if(held_complaints_.begin(), held_complaints_.end(), [this](const auto& complaint) {
        return std::none_of(open_.begin(), open_.end(),
                            [&](const auto& open) { return open->key == complaint.key; });
      });
  if (closed != held_complaints_.end()) {
    remember_reported(closed->key);
    text = std::move(closed->text);
    held_complaints_.erase(closed);
  }
  holds_complaints_.store(!held_complaints_.empty(), std::memory_order_relaxed);
  return text;
}

/// Moves submitted operations, in their order, to those in flight.
void Engine::admit(bool with_gathered) {
  if (!has_incoming_.load(std::memory_order_acquire)) return;
  const std::lock_guard lock(submit_mutex_);
  admit_errands();
  if (!with_gathered) return;
  end_gathering();
  while (!incoming_.empty()) {
    const std::shared_ptr<Operation>& next = incoming_.front();
    if (!may_begin(*next)) return;
    lacks_slot_ = !post(*next);
    if (lacks_slot_) return;
    open_.push_back(next);
    incoming_.pop_front();
  }
  has_incoming_.store(false, std::memory_order_release);
}

bool Engine::pass(bool with_gathered) {
  transport::Batch batch(transport_);
  transport_.progress();
  admit(with_gathered);
  bool moved = false;
  for (auto at = open_.begin(); at != open_.end();) {
    const std::shared_ptr<Operation> operation = *at;
    const bool has_moved = advance(*operation);
    moved = moved || has_moved;
    if (operation->task.finished()) {
      at = open_.erase(at);
      finish(*operation);
    } else {
      ++at;
    }
    // Nobody waits for the work that follows.
    if (has_moved && !is_small(*operation)) flush(batch);
  }
  flush(batch);
  return pass_errands() || moved;
}

/// Tells the peers, and who waits here, what this pass has done so far.
void Engine::flush(transport::Batch& batch) {
  batch.flush();
  if (std::exchange(has_closed_, false)) transport_.doorbell().ring();
}

/// @returns whether the operation moved
bool Engine::advance(Operation& operation) {
  bool moved = false;
  while (!operation.task.finished()) {
    const bool is_yield = operation.suspension.is_yield();
    if (!is_ready(operation)) {
      note_wait(operation);
      return moved;
    }
    if (operation.looks_in_vain > 0) end_wait(operation);
    operation.suspension.resume();
    moved = true;
    if (is_yield) break;
  }
  return moved;
}

/// A look at peers may need memory that there is not; the operation alone fails then, not who drives it.
bool Engine::is_ready(Operation& operation) {
  try {
    return operation.suspension.ready();
  } catch (...) {
    if (!operation.trouble) operation.trouble = std::current_exception();
    return true;
  }
}

void Engine::finish(Operation& operation) {
  transport_.set_oldest_open(open_.empty() ? posted_through_ : open_.front()->sequence);
  std::exception_ptr error;
  try {
    operation.task.rethrow();
  } catch (...) {
    error = std::current_exception();
  }
  account(operation, error != nullptr);
  operation.crossing.reset();
  retire(operation);
  if (timeline_ != nullptr) {
    timeline_->record(operation.request().name, name_of(operation.request().kind), operation.started,
                      clock().now());
  }
  if (error) remember_reported(operation.key);
  const bool is_async = operation.is_async;
  operation.close(std::move(error));
  if (is_async) async_open_.fetch_sub(1, std::memory_order_acq_rel);
  has_closed_ = true;
}

Task Engine::run(Operation& operation) {
  std::exception_ptr error = operation.request().local_error;
  if (!error) {
    try {
      if (operation.crossing != nullptr) {
        co_await agree_over_hosts(operation);
      } else if (operation.request().meets) {
        co_await agree_as_component(operation);
      } else {
        co_await agree_with_neighbors(operation);
      }
      co_await move(operation);
      transport_.set_phase(operation.slot, Phase::Left);
      show_peers(operation);
    } catch (...) {
      error = std::current_exception();
    }
    if (error && reason_of(error).lost >= 0 && operation.crossing == nullptr) {
      try {
        co_await serve(operation);
      } catch (const std::exception&) {  // what there was before is what this rank throws
      }
    }
    if (error) co_await withdraw(operation, error);
  }
  if (error) std::rethrow_exception(error);
}

base::TimePoint Engine::next_alarm() const {
  return clock().now() + alarm_resolution;
}

void Engine::background() {
  while (!background_stop_.load()) {
    executor_.wait(*background_bell_, false, base::TimePoint::max(), [this] {
      const bool is_wanted = background_stop_.load() || async_open_.load() > 0;
      return is_wanted ? base::Turn::Over : base::Turn::Idle;
    });
    if (background_stop_.load()) return;
    const base::TimePoint until = std::min({next_alarm(), gathering_ends_.load(), next_look_.load()});
    executor_.wait(transport_.doorbell(), false, until, [this, until] {
      const bool moved = drive_gathered();
      if (async_open_.load() == 0 || background_stop_.load()) return base::Turn::Over;
      if (std::min(gathering_ends_.load(), next_look_.load()) < until) return base::Turn::Over;
      return moved ? base::Turn::Busy : base::Turn::Idle;
    });
    const std::lock_guard lock(mutex_);
    check_time(clock().now());
  }
}

}  // namespace bluefog::engine
