#pragma once
/// @file peer_watch.hpp  Learns of the death of ranks on this host, at once, from their pidfds.

#include <functional>
#include <memory>
#include <vector>

#include "base/executor.hpp"
#include "base/fork_guard.hpp"

namespace bluefog::membership {

/// /proc and kill(pid, 0) call an unreaped zombie alive; a pidfd does not.
class PeerWatch {
 public:
  struct Peer {
    int rank;
    base::UnsharedFd pidfd;
  };
  /// @param on_death  called once per dead rank, on the watch's own thread
  PeerWatch(base::Executor& executor, std::vector<Peer> peers, std::function<void(int rank)> on_death);
  ~PeerWatch();
  PeerWatch(const PeerWatch&) = delete;
  PeerWatch& operator=(const PeerWatch&) = delete;

 private:
  void watch();

  std::vector<Peer> peers_;
  std::function<void(int)> on_death_;
  base::UnsharedFd stop_;
  std::unique_ptr<base::Background> thread_;
};

}  // namespace bluefog::membership
