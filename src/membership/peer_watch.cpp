#include "membership/peer_watch.hpp"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <bluefog/error.hpp>

namespace bluefog::membership {

PeerWatch::PeerWatch(base::Executor& executor, std::vector<Peer> peers, std::function<void(int)> on_death)
    : peers_(std::move(peers)),
      on_death_(std::move(on_death)),
      stop_(base::UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))) {
  if (!stop_.valid()) throw Error(std::string("cannot create an eventfd: ") + std::strerror(errno));
  thread_ = executor.spawn("bluefog-watch", [this] { watch(); });
}

PeerWatch::~PeerWatch() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(stop_.get(), &one, sizeof(one));
  thread_.reset();
}

void PeerWatch::watch() {
  std::vector<pollfd> waits{{stop_.get(), POLLIN, 0}};
  for (const Peer& peer : peers_) waits.push_back({peer.pidfd.get(), POLLIN, 0});
  while (true) {
    if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) return;
    if (waits[0].revents != 0) return;
    for (std::size_t i = 1; i < waits.size(); ++i) {
      if (waits[i].revents == 0) continue;
      waits[i].fd = -1;
      waits[i].revents = 0;
      on_death_(peers_[i - 1].rank);
    }
  }
}

}  // namespace bluefog::membership
