#pragma once
/// @file errand.hpp  What a rank does by itself, step by step: no call that others make too, so it has no key
/// and no post. Rooms above the engine give it such; it carries them like its own operations.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/function_ref.hpp"

namespace bluefog::engine {

class Errand {
 public:
  virtual ~Errand() = default;

  enum class Step : std::uint8_t {
    Over,   ///< done
    Moved,  ///< there is more to do, at once
    Waits,  ///< until may_step()
  };
  /// Does a little, when may_step(). On any thread, but on one at a time. @throws what the operation throws
  [[nodiscard]] virtual Step step() = 0;
  /// Whether there is something to do now. Must not throw.
  [[nodiscard]] virtual bool may_step() = 0;
  /// Ends it in the middle: the caller has given up, or step() has thrown.
  virtual void give_up() noexcept {}

  /// "win_put".
  [[nodiscard]] virtual std::string_view name() const = 0;
  /// What it is about, as the user calls it.
  [[nodiscard]] virtual std::string_view subject() const = 0;
  /// Of its tensor, for the statistics.
  [[nodiscard]] virtual std::size_t bytes() const { return 0; }
  /// With whom it has exchanged how much, for the statistics.
  virtual void for_each_peer(
      base::FunctionRef<void(int peer, std::size_t sent, std::size_t received)> /*tell*/) const {}
  /// What it waits for, for people: "; rank 2 holds the mutex".
  [[nodiscard]] virtual std::string describe_wait() const = 0;
  /// The rank that it waits for, for the statistics; -1 if it is none.
  [[nodiscard]] virtual int awaited_peer() const { return -1; }
  /// Never over by itself: it serves others for as long as the engine runs, and nobody waits for it.
  [[nodiscard]] virtual bool is_service() const { return false; }

 protected:
  Errand() = default;
};

}  // namespace bluefog::engine
