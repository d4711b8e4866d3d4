// Errands on the engine's threads: what submit(), run() and finish() are for operations.

#include <algorithm>

#include <bluefog/error.hpp>

#include "base/recycled_memory.hpp"
#include "engine/engine.hpp"
#include "engine/errand.hpp"

namespace bluefog::engine {

std::shared_ptr<Operation> Engine::submit(std::shared_ptr<Errand> errand, bool is_async) {
  auto operation = make_errand(std::move(errand));
  operation->is_async = is_async;
  {
    const std::lock_guard lock(submit_mutex_);
    refuse_if_stopped(*operation);
    start_clock(*operation);
    incoming_errands_.push_back(operation);
    has_incoming_.store(true, std::memory_order_release);
    start_background_for(*operation);
  }
  wake_for(*operation);
  return operation;
}

std::shared_ptr<Operation> Engine::run_at_once(std::shared_ptr<Errand> errand) {
  auto operation = make_errand(std::move(errand));
  refuse_if_stopped(*operation);
  operation->started = clock().now();
  Errand& work = *operation->request().errand;
  std::exception_ptr error;
  try {
    while (true) {
      if (!work.may_step()) return submit(std::move(operation->request().errand), false);
      if (work.step() == Errand::Step::Over) break;
    }
  } catch (...) {
    error = std::current_exception();
    work.give_up();
  }
  end_errand(*operation, std::move(error));
  return operation;
}

std::shared_ptr<Operation> Engine::make_errand(std::shared_ptr<Errand> errand) {
  Request request;
  request.errand = std::move(errand);
  return std::allocate_shared<Operation>(base::RecyclingAllocator<Operation>(), std::move(request));
}

Task Engine::run_errand(Operation& operation) {
  Errand& errand = *operation.request().errand;
  std::exception_ptr error;
  try {
    for (auto step = Errand::Step::Moved; step != Errand::Step::Over;) {
      Until ready(operation.suspension, [&] { return operation.trouble != nullptr || errand.may_step(); });
      const int peer = errand.is_service() || errand.may_step() ? -1 : errand.awaited_peer();
      const base::TimePoint since = peer < 0 ? base::TimePoint{} : clock().now();
      co_await ready;
      if (peer >= 0) accounts_.add_errand_wait(peer, clock().now() - since);
      check_trouble(operation);
      step = errand.step();
      if (step == Errand::Step::Moved) co_await Yield(operation.suspension);
    }
  } catch (...) {
    error = std::current_exception();
  }
  if (error) {
    errand.give_up();
    std::rethrow_exception(error);
  }
}

/// Moves submitted errands to those under way; they need no room on the board.
void Engine::admit_errands() {
  for (; !incoming_errands_.empty(); incoming_errands_.pop_front()) {
    Operation& next = *incoming_errands_.front();
    next.task = run_errand(next);
    next.suspension.set(next.task.handle(), nullptr, nullptr);
    errands_.push_back(std::move(incoming_errands_.front()));
  }
}

bool Engine::pass_errands() {
  bool moved = false;
  for (auto at = errands_.begin(); at != errands_.end();) {
    const std::shared_ptr<Operation> operation = *at;
    moved = advance(*operation) || moved;
    if (!operation->task.finished()) {
      ++at;
      continue;
    }
    at = errands_.erase(at);
    std::exception_ptr error;
    try {
      operation->task.rethrow();
    } catch (...) {
      error = std::current_exception();
    }
    const bool is_async = operation->is_async;
    end_errand(*operation, std::move(error));
    if (is_async) async_open_.fetch_sub(1, std::memory_order_acq_rel);
    transport_.doorbell().ring();
  }
  return moved;
}

void Engine::end_errand(Operation& operation, std::exception_ptr error) {
  const Errand& errand = *operation.request().errand;
  const base::TimePoint now = clock().now();
  if (!errand.is_service()) {
    accounts_.add_errand(errand, now - operation.started, error != nullptr);
    if (timeline_ != nullptr) {
      timeline_->record(std::string(errand.subject()), errand.name(), operation.started, now);
    }
  }
  operation.close(std::move(error));
}

}  // namespace bluefog::engine
