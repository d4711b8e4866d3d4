#include "membership/gathering.hpp"

#include <algorithm>
#include <utility>

namespace bluefog::membership {

void Gathering::take(Seat seat) {
  seats_[static_cast<std::size_t>(seat.rank)] = std::move(seat);
}

void Gathering::leave(int rank, std::uint64_t ticket) {
  std::optional<Seat>& seat = seats_[static_cast<std::size_t>(rank)];
  if (seat && seat->ticket == ticket) seat.reset();
}

void Gathering::leave_all(int first_rank, int ranks) {
  std::fill_n(seats_.begin() + first_rank, ranks, std::nullopt);
}

std::vector<int> Gathering::missing() const {
  std::vector<int> ranks;
  for (std::size_t rank = 0; rank < seats_.size(); ++rank) {
    if (!seats_[rank]) ranks.push_back(static_cast<int>(rank));
  }
  return ranks;
}

std::optional<Generation> Gathering::complete() {
  const auto waits = [](const std::optional<Seat>& seat) { return seat.has_value(); };
  if (!std::all_of(seats_.begin(), seats_.end(), waits)) return std::nullopt;
  Generation generation;
  generation.number = number_++;
  for (std::optional<Seat>& seat : seats_) generation.seats.push_back(*std::exchange(seat, std::nullopt));
  return generation;
}

}  // namespace bluefog::membership
