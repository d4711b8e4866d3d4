#include "membership/peer_watch.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bluefog/error.hpp>

#include "base/log.hpp"

namespace bluefog::membership {

namespace {

/// @returns whether the process has got the signal (0: could get one), or is dead
bool send_signal(const base::UnsharedFd& pidfd, int signal) {
  return ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) == 0 || errno == ESRCH;
}

}  // namespace

PeerWatch::PeerWatch(base::Executor& executor, std::vector<Peer> peers, Periods periods, Callbacks callbacks,
                     std::optional<News> news)
    : clock_(executor.clock()),
      periods_(periods),
      callbacks_(std::move(callbacks)),
      news_(std::move(news)),
      stop_(base::UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))) {
  if (!stop_.valid()) throw Error(std::string("cannot create an eventfd: ") + std::strerror(errno));
  const auto start =
      static_cast<int>(std::min<std::int64_t>(periods.start / periods.heartbeat, 1'000'000'000));
  const Liveness liveness(std::max(start, Liveness::ticks_until_lost));
  for (Peer& peer : peers) {
    const bool may_be_killed = send_signal(peer.pidfd, 0);
    if (!may_be_killed) {  // namespaces of processes beside each other, for instance
      log::warning("rank " + std::to_string(peer.rank) + " cannot be signalled from here (" +
                   std::strerror(errno) + "): it will not be given up if it freezes, only if it dies");
    }
    peers_.push_back({std::move(peer), liveness, may_be_killed});
  }
  callbacks_.beat();
  thread_ = executor.spawn("bluefog-watch", [this] { watch(); });
}

PeerWatch::~PeerWatch() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(stop_.get(), &one, sizeof(one));
  thread_.reset();
}

void PeerWatch::watch() {
  base::TimePoint next_tick = clock_.now() + periods_.heartbeat;
  while (!wait_for_deaths(next_tick)) {
    const base::TimePoint now = clock_.now();
    if (now < next_tick) continue;
    tick();
    next_tick = now + periods_.heartbeat;  // ticks that were slept through are not made up for
  }
}

bool PeerWatch::wait_for_deaths(base::TimePoint until) {
  std::vector<pollfd> waits{{stop_.get(), POLLIN, 0}, {news_ ? news_->fd : -1, POLLIN, 0}};
  const std::size_t first_peer = waits.size();
  for (const Watched& watched : peers_) {
    waits.push_back({watched.is_dead ? -1 : watched.peer.pidfd.get(), POLLIN, 0});
  }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock_.now());
  const auto timeout = std::clamp<std::int64_t>(left.count(), 0, 60'000);
  if (::poll(waits.data(), waits.size(), static_cast<int>(timeout)) < 0) {
    if (errno == EINTR) return false;
    // The watch goes on all the same: others give up whoever stops beating.
    log::warning(std::string("cannot look whether other ranks live: ") + std::strerror(errno));
    return ::poll(waits.data(), 1, static_cast<int>(timeout)) > 0;
  }
  if (waits[0].revents != 0) return true;
  if (waits[1].revents != 0 && !news_->take()) news_.reset();
  for (std::size_t i = 0; i < peers_.size(); ++i) {
    if (waits[first_peer + i].revents == 0) continue;
    peers_[i].is_dead = true;
    callbacks_.on_death(peers_[i].peer.rank);
  }
  return false;
}

void PeerWatch::tick() {
  callbacks_.beat();
  for (Watched& watched : peers_) {
    if (watched.is_dead || !watched.may_be_killed) continue;
    if (watched.liveness.is_overdue(callbacks_.beats_of(watched.peer.rank))) give_up(watched);
  }
}

void PeerWatch::give_up(Watched& watched) {
  const auto silence = Liveness::ticks_until_lost * periods_.heartbeat;
  log::warning("rank " + std::to_string(watched.peer.rank) + " has given no sign of life for " +
               std::to_string(silence.count()) +
               " ms and is killed, for it must not write to memory of the others when it goes on; "
               "BLUEFOG_HEARTBEAT is a fifth of this time");
  static_cast<void>(send_signal(watched.peer.pidfd, SIGKILL));
  watched.may_be_killed = false;  // once is enough: the pidfd tells when it is dead
}

}  // namespace bluefog::membership
