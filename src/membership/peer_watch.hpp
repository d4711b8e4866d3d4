#pragma once
/// @file peer_watch.hpp  Learns of the death of ranks on this host, and sees to it that a rank is dead before
/// it is given up.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/executor.hpp"
#include "base/fork_guard.hpp"
#include "membership/liveness.hpp"

namespace bluefog::membership {

/// Watches from a thread of its own, which also gives this rank's signs of life: whatever the program does
/// meanwhile (it saves a checkpoint, holds an interpreter's lock), the rank counts as alive.
///
/// A death shows on the pidfd at once; /proc and kill(pid, 0) call an unreaped zombie alive. A rank without a
/// sign of life (stopped, for instance) may go on at any moment and write to memory that the others believe
/// theirs. So it is killed through its pidfd, and reported only when that says that it is dead.
class PeerWatch {
 public:
  struct Peer {
    int rank;
    base::UnsharedFd pidfd;
  };
  /// What the watch has to do with shared memory, and what it tells; called on its thread.
  struct Callbacks {
    std::function<void()> beat;
    /// How often a rank has beaten; nothing if it has left, or this rank has nothing to do with it.
    std::function<std::optional<std::uint64_t>(int rank)> beats_of;
    /// Once per dead rank.
    std::function<void(int rank)> on_death;
  };
  struct Periods {
    std::chrono::milliseconds heartbeat;
    std::chrono::milliseconds start;  ///< until a peer's first beat
  };
  /// A descriptor that tells of other things; it must outlive the watch.
  struct News {
    int fd = -1;
    std::function<bool()> take;  ///< called when it is readable. @returns whether more may come
  };
  PeerWatch(base::Executor& executor, std::vector<Peer> peers, Periods periods, Callbacks callbacks,
            std::optional<News> news = {});
  ~PeerWatch();
  PeerWatch(const PeerWatch&) = delete;
  PeerWatch& operator=(const PeerWatch&) = delete;

 private:
  struct Watched {
    Peer peer;
    Liveness liveness;
    bool may_be_killed;
    bool is_dead = false;
  };
  void watch();
  /// Waits for deaths, or until the time to beat again. @returns whether the watch is over
  [[nodiscard]] bool wait_for_deaths(base::TimePoint until);
  void tick();
  void give_up(Watched& watched);

  const base::Clock& clock_;
  Periods periods_;
  Callbacks callbacks_;
  std::optional<News> news_;
  std::vector<Watched> peers_;
  base::UnsharedFd stop_;
  std::unique_ptr<base::Background> thread_;
};

}  // namespace bluefog::membership
