#include "membership/job_gatherer.hpp"

#include <algorithm>
#include <utility>

#include <bluefog/version.hpp>

namespace bluefog::membership {
namespace {

std::string list_of(const std::vector<int>& ranks) {
  std::string text;
  for (const int rank : ranks) text.append(text.empty() ? "" : ", ").append(std::to_string(rank));
  return text;
}

}  // namespace

JobGatherer::JobGatherer(int size, std::uint64_t job,
                         std::function<void(int host, const HostOrder& order)> send)
    : size_(size),
      job_(job),
      send_(std::move(send)),
      seen_on_(static_cast<std::size_t>(size), -1),
      gathering_(size) {}

int JobGatherer::add_host(const std::string& name) {
  hosts_[next_host_].name = name;
  return next_host_++;
}

void JobGatherer::take(int host, const HostReport& report) {
  const auto found = hosts_.find(host);
  if (found == hosts_.end()) return;
  if (!found->second.is_introduced && !std::holds_alternative<Introduction>(report)) return;
  std::visit([this, host](const auto& one) { on(host, one); }, report);
}

void JobGatherer::end_host(int host) {
  const auto found = hosts_.find(host);
  if (found == hosts_.end()) return;
  std::ranges::replace(seen_on_, host, -1);
  if (is_placed() && found->second.ranks > 0)
    gathering_.leave_all(found->second.first_rank, found->second.ranks);
  hosts_.erase(found);
}

void JobGatherer::on(int host, const Introduction& report) {
  if (report.version != BLUEFOG_VERSION) {
    return send_(host, TurnedAway{-1, true,
                                  "its version of BlueFog is " + report.version +
                                      ", but that of rank 0's host is " BLUEFOG_VERSION
                                      ": install one version on all hosts"});
  }
  if (is_placed()) {
    return send_(host, TurnedAway{-1, false, "all ranks of the job have come already, from other hosts"});
  }
  hosts_[host].is_introduced = true;
}

void JobGatherer::on(int host, const RankCame& report) {
  if (is_placed()) return;
  int& seen_on = seen_on_[static_cast<std::size_t>(report.rank)];
  if (seen_on >= 0 && seen_on != host) {
    const std::string why =
        "rank " + std::to_string(report.rank) + " has come already, on the host at " + hosts_[seen_on].name;
    return send_(host, TurnedAway{report.rank, false, why});
  }
  seen_on = host;
  if (std::ranges::count(seen_on_, -1) == 0) place_all();
}

void JobGatherer::on(int host, const RankWent& report) {
  int& seen_on = seen_on_[static_cast<std::size_t>(report.rank)];
  if (!is_placed() && seen_on == host) seen_on = -1;
}

void JobGatherer::on(int host, const WhoIsMissing& /*report*/) {
  send_(host, StillMissing{missing()});
}

void JobGatherer::on(int host, const RankWaits& report) {
  if (!has(host, report.seat.rank)) return;
  gathering_.take(report.seat);
  const auto generation = gathering_.complete();
  if (!generation) return;
  for (const auto& [other, facts] : hosts_) {
    if (facts.ranks > 0) send_(other, *generation);
  }
}

void JobGatherer::on(int host, const RankLeft& report) {
  if (!has(host, report.rank)) return;
  gathering_.leave(report.rank, report.ticket);
  send_(host, LeaveConfirmed{report.rank, report.ticket, missing()});
}

void JobGatherer::place_all() {
  if (const std::string problem = place_hosts(); !problem.empty()) {
    for (const auto& [host, facts] : hosts_) send_(host, TurnedAway{-1, true, problem});
    std::ranges::fill(seen_on_, -1);
    return;
  }
  host_of_rank_ = seen_on_;
  int index = 0;
  for (int rank = 0; rank < size_; rank += ranks_of_hosts_[static_cast<std::size_t>(index++)]) {
    send_(host_of_rank_[static_cast<std::size_t>(rank)], Placed{job_, ranks_of_hosts_, index});
  }
}

std::string JobGatherer::place_hosts() {
  ranks_of_hosts_.clear();
  for (auto& [host, facts] : hosts_) facts.ranks = 0;
  std::string problem;
  for (int rank = 0; rank < size_; ++rank) {
    const int seen_on = seen_on_[static_cast<std::size_t>(rank)];
    Host& host = hosts_[seen_on];
    const bool goes_on = rank > 0 && seen_on == seen_on_[static_cast<std::size_t>(rank) - 1];
    if (!goes_on && host.ranks > 0 && problem.empty()) {
      std::vector<int> together;
      for (int other = 0; other < size_; ++other) {
        if (seen_on_[static_cast<std::size_t>(other)] == seen_on) together.push_back(other);
      }
      problem = "the ranks of a host must follow each other, but one host has the ranks " +
                list_of(together) +
                ": place them host by host (mpirun --map-by slot, srun --distribution=block)";
    }
    if (!goes_on) {
      host.first_rank = rank;
      ranks_of_hosts_.push_back(0);
    }
    ++host.ranks;
    ++ranks_of_hosts_.back();
  }
  return problem;
}

bool JobGatherer::has(int host, int rank) const {
  return is_placed() && host_of_rank_[static_cast<std::size_t>(rank)] == host;
}

MissingRanks JobGatherer::missing() const {
  if (is_placed()) return {gathering_.missing(), {}};
  MissingRanks missing;
  for (int rank = 0; rank < size_; ++rank) {
    if (seen_on_[static_cast<std::size_t>(rank)] < 0) missing.ranks.push_back(rank);
  }
  return missing;
}

}  // namespace bluefog::membership
