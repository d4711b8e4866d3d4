#include "meeting.hpp"

#include <algorithm>
#include <utility>

namespace bfrun {
namespace {

int size_of(const std::vector<HostRanks>& hosts) {
  return hosts.back().first_rank + hosts.back().ranks;
}

bool is_of(const HostRanks& host, int rank) {
  return rank >= host.first_rank && rank < host.first_rank + host.ranks;
}

}  // namespace

Meeting::Meeting(std::vector<HostRanks> hosts, std::function<void(std::size_t, const std::string&)> send)
    : hosts_(std::move(hosts)), send_(std::move(send)), gathering_(size_of(hosts_)) {}

void Meeting::on_waiting(const HostRanks& host, const RankWaits& waiting) {
  if (!is_of(host, waiting.seat.rank)) return;
  gathering_.take(waiting.seat);
  if (const auto generation = gathering_.complete()) send_to_all(encode_order(*generation));
}

void Meeting::on_left(const HostRanks& host, const RankLeft& left) {
  if (!is_of(host, left.rank)) return;
  gathering_.leave(left.rank, left.ticket);
  const std::string order = encode_order(LeaveConfirmed{left.rank, left.ticket, missing_ranks(host)});
  for (std::size_t i = 0; i < hosts_.size(); ++i) {
    if (hosts_[i].first_rank == host.first_rank) send_(i, order);
  }
}

void Meeting::tell_loss(const HostRanks& host, int rank, const std::string& why) const {
  const std::string order = encode_order(RankLost{rank, why});
  for (std::size_t i = 0; i < hosts_.size(); ++i) {
    if (hosts_[i].first_rank != host.first_rank) send_(i, order);
  }
}

bluefog::membership::MissingRanks Meeting::missing_ranks(const HostRanks& asking) const {
  bluefog::membership::MissingRanks missing{gathering_.missing(), {}};
  for (const HostRanks& host : hosts_) {
    const auto of_host = std::count_if(missing.ranks.begin(), missing.ranks.end(),
                                       [&](int rank) { return is_of(host, rank); });
    if (host.first_rank == asking.first_rank || of_host < host.ranks) continue;
    missing.hosts.append(missing.hosts.empty() ? "" : ", ").append(host.name);
  }
  return missing;
}

void Meeting::send_to_all(const std::string& order) const {
  for (std::size_t i = 0; i < hosts_.size(); ++i) send_(i, order);
}

}  // namespace bfrun
