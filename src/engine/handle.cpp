#include <functional>
#include <utility>

#include <bluefog/error.hpp>
#include <bluefog/handle.hpp>

#include "engine/engine.hpp"

namespace bluefog {

namespace {

void check(const Handle& handle) {
  if (!handle.valid()) throw InvalidArgument("this Handle refers to no operation");
}

base::TimePoint after(base::TimePoint now, base::Duration patience) {
  return patience < base::TimePoint::max() - now ? now + patience : base::TimePoint::max();
}

}  // namespace

Handle::Handle(std::shared_ptr<engine::Engine> engine, std::shared_ptr<engine::Operation> operation)
    : engine_(std::move(engine)), operation_(std::move(operation)) {}

bool Handle::done() {
  check(*this);
  return engine_->is_forked_copy() || engine_->poll(*operation_);
}

void Handle::wait() {
  while (!wait_for(std::chrono::hours(1))) {
  }
}

bool Handle::wait_for(std::chrono::nanoseconds patience) {
  check(*this);
  if (!operation_->closed()) engine_->require_home();
  if (!operation_->closed() && !engine_->wait(*operation_, after(engine_->clock().now(), patience)))
    return false;
  if (operation_->error()) std::rethrow_exception(operation_->error());
  if (engine_->is_forked_copy()) return true;
  if (const std::string complaint = engine_->take_complaint(); !complaint.empty()) throw Mismatch(complaint);
  return true;
}

void Handle::when_closed(std::function<void()> then) {
  check(*this);
  if (!engine_->gives_ranks_threads()) {
    throw InvalidArgument(
        "Handle::when_closed: all ranks of a Simulation are in one thread, so nobody could wait to be told; "
        "wait() for the Handle");
  }
  if (!engine_->is_forked_copy()) operation_->when_closed(std::move(then));
}

void Handle::cancel() {
  check(*this);
  if (!engine_->is_forked_copy()) engine_->cancel(*operation_);
}

GatheredTensor Handle::gathered() const {
  check(*this);
  if (!operation_->closed() || operation_->gathered == nullptr) {
    throw InvalidArgument("this operation has gathered nothing; wait for it first");
  }
  return {operation_->gathered, operation_->request().input.dtype, operation_->gathered_shape};
}

}  // namespace bluefog
