// When a rank counts as dead, and what is done about one that gives no sign of life.

#include "membership/peer_watch.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/executor.hpp"
#include "membership/liveness.hpp"

namespace bluefog::membership {
namespace {

using namespace std::chrono_literals;

TEST(Liveness, GivesUpAfterFiveTicksWithoutABeat) {
  Liveness peer(100);
  EXPECT_FALSE(peer.is_overdue(1));
  for (int tick = 1; tick < Liveness::ticks_until_lost; ++tick) EXPECT_FALSE(peer.is_overdue(1)) << tick;
  EXPECT_TRUE(peer.is_overdue(1));
}

TEST(Liveness, ABeatMakesUpForAllThatWereMissed) {
  Liveness peer(100);
  for (std::uint64_t beat = 1; beat < 10; ++beat) {
    for (int tick = 0; tick < Liveness::ticks_until_lost; ++tick) EXPECT_FALSE(peer.is_overdue(beat));
  }
}

TEST(Liveness, WaitsLongerForTheFirstBeat) {
  Liveness peer(100);
  for (int tick = 1; tick < 100; ++tick) EXPECT_FALSE(peer.is_overdue(0)) << tick;
  EXPECT_TRUE(peer.is_overdue(0));
}

TEST(Liveness, DoesNotJudgeWhoHasLeft) {
  Liveness peer(5);
  EXPECT_FALSE(peer.is_overdue(7));
  for (int tick = 0; tick < 100; ++tick) EXPECT_FALSE(peer.is_overdue(std::nullopt));
}

/// A child process that only waits, stopped or not.
class Child {
 public:
  explicit Child(bool is_stopped) : pid_(::fork()) {
    if (pid_ == 0) {
      if (is_stopped) ::raise(SIGSTOP);
      while (true) ::pause();
    }
    int status = 0;
    if (is_stopped) ::waitpid(pid_, &status, WUNTRACED);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (end()) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  [[nodiscard]] base::UniqueFd pidfd() const {
    return base::UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  }
  void kill() const { ::kill(pid_, SIGKILL); }
  /// The signal that ended it; nothing while it lives.
  [[nodiscard]] std::optional<int> end() {
    int status = 0;
    if (!end_ && ::waitpid(pid_, &status, WNOHANG) == pid_) end_ = WTERMSIG(status);
    return end_;
  }

 private:
  pid_t pid_;
  std::optional<int> end_;
};

/// A watch over one child, rank 3, with heartbeats as the test says.
class Watch {
 public:
  explicit Watch(const Child& child, std::function<std::optional<std::uint64_t>()> beats_of_child) {
    std::vector<PeerWatch::Peer> peers;
    peers.push_back({3, base::UnsharedFd(child.pidfd())});
    watch_ =
        std::make_unique<PeerWatch>(executor_, std::move(peers), PeerWatch::Periods{1ms, 1ms},
                                    PeerWatch::Callbacks{[this] {
                                                           ++beats_;
                                                           beats_.notify_all();
                                                         },
                                                         [beats_of_child](int) { return beats_of_child(); },
                                                         [this](int rank) {
                                                           dead_ = rank;
                                                           dead_.notify_all();
                                                         }});
  }
  void wait_for_beats(int count) {
    for (int seen = beats_; seen < count; seen = beats_) beats_.wait(seen);
  }
  /// The first rank that was reported dead.
  [[nodiscard]] int wait_for_death() {
    dead_.wait(-1);
    return dead_;
  }
  [[nodiscard]] bool has_reported() const { return dead_ >= 0; }

 private:
  base::ThreadExecutor executor_;
  std::atomic<int> beats_{0};
  std::atomic<int> dead_{-1};
  std::unique_ptr<PeerWatch> watch_;
};

TEST(PeerWatch, ReportsADeath) {
  Child child(false);
  Watch watch(child, [beats = std::uint64_t{0}]() mutable { return ++beats; });
  child.kill();
  EXPECT_EQ(watch.wait_for_death(), 3);
}

TEST(PeerWatch, KillsARankWithoutASignOfLifeBeforeItReportsIt) {
  Child child(true);
  Watch watch(child, [] { return std::uint64_t{1}; });
  EXPECT_EQ(watch.wait_for_death(), 3);
  EXPECT_EQ(child.end(), SIGKILL);
}

TEST(PeerWatch, LeavesAloneWhoBeats) {
  Child child(true);
  Watch watch(child, [beats = std::uint64_t{0}]() mutable { return ++beats; });
  watch.wait_for_beats(10 * Liveness::ticks_until_lost);
  EXPECT_FALSE(watch.has_reported());
  EXPECT_FALSE(child.end());
}

TEST(PeerWatch, LeavesAloneWhoHasLeft) {
  Child child(true);
  Watch watch(child, [] { return std::optional<std::uint64_t>(); });
  watch.wait_for_beats(10 * Liveness::ticks_until_lost);
  EXPECT_FALSE(watch.has_reported());
  EXPECT_FALSE(child.end());
}

}  // namespace
}  // namespace bluefog::membership
