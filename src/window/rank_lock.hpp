#pragma once
/// @file rank_lock.hpp  This rank's way to a lock of a window, wherever it lies.

#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "window/core.hpp"
#include "window/letters.hpp"

namespace bluefog::window {

/// Released by the destructor.
class RankLock {
 public:
  /// @param caller  the thread that made the call; none for a service
  RankLock(std::shared_ptr<Core> core, LockPlace& place, std::thread::id caller);
  ~RankLock() { release(); }
  RankLock(RankLock&& other) noexcept;
  RankLock& operator=(RankLock&&) = delete;

  /// One try. @throws InvalidArgument if the caller's thread keeps it, PeerLost if its owner is lost
  [[nodiscard]] bool try_lock(std::string_view operation);
  void release() noexcept;
  [[nodiscard]] bool is_of_tensor() const noexcept { return place_->source < 0; }
  /// The caller's thread holds it beyond this operation.
  void keep();
  /// "the mutex of rank 1 at rank 2, which rank 2 holds".
  [[nodiscard]] std::string describe() const;
  /// The other rank that holds it, or, if it lies far away, where it lies; -1 if this process itself does.
  [[nodiscard]] int awaited_peer() const;

 private:
  [[nodiscard]] bool enter_process();
  void leave_process();
  void ask_far();

  std::shared_ptr<Core> core_;
  LockPlace* place_;
  std::thread::id caller_;
  bool is_in_ = false;              ///< no other thread of this process is at it
  RobustLock lock_;                 ///< at a near rank
  std::shared_ptr<Answer> answer_;  ///< of a far one
  std::uint64_t request_ = 0;
};

}  // namespace bluefog::window
