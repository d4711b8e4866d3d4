#pragma once
/// @file executor.hpp  Who runs the engine while it waits; threads here, coroutines of one thread under the
/// simulator.

#include <functional>
#include <memory>

#include "base/clock.hpp"
#include "base/doorbell.hpp"
#include "base/function_ref.hpp"

namespace bluefog::base {

/// A body that runs beside its owner until the owner destroys this object (the body must end by itself then).
class Background {
 public:
  virtual ~Background() = default;

 protected:
  Background() = default;
};

/// What one look at the work gave.
enum class Turn : std::uint8_t {
  Over,  ///< what was waited for has happened
  Busy,  ///< something moved, and more may move at once
  Idle,  ///< nothing to do until the doorbell rings
};

class Executor {
 public:
  virtual ~Executor() = default;
  [[nodiscard]] virtual const Clock& clock() const = 0;
  /// Takes turns until one is Over, or after `deadline`. The doorbell is rung when an idle turn may have
  /// become another.
  /// @param spin  whether the ranks of this host have cores of their own, so that spinning pays
  virtual void wait(Doorbell& bell, bool spin, TimePoint deadline, FunctionRef<Turn()> turn) = 0;
  [[nodiscard]] virtual std::unique_ptr<Background> spawn(const char* name, std::function<void()> body) = 0;
  /// One that is private to the owner's process.
  [[nodiscard]] virtual std::unique_ptr<Doorbell> make_doorbell() = 0;
  /// Whether one may block its thread without blocking the others.
  [[nodiscard]] virtual bool gives_ranks_threads() const noexcept { return true; }

 protected:
  Executor() = default;
};

/// Threads of the operating system: spin, then yield, then sleep on the futex of the doorbell.
class ThreadExecutor final : public Executor {
 public:
  [[nodiscard]] const Clock& clock() const override { return clock_; }
  void wait(Doorbell& bell, bool spin, TimePoint deadline, FunctionRef<Turn()> turn) override;
  [[nodiscard]] std::unique_ptr<Background> spawn(const char* name, std::function<void()> body) override;
  [[nodiscard]] std::unique_ptr<Doorbell> make_doorbell() override;

 private:
  SteadyClock clock_;
};

}  // namespace bluefog::base
