#pragma once
/// @file gathering.hpp  Which ranks of a job wait for the others, wherever they run.

#include <cstdint>
#include <optional>
#include <vector>

#include "transport/tcp/endpoint.hpp"

namespace bluefog::membership {

/// What everybody may know of a rank that waits for the others.
struct Seat {
  int rank = -1;
  std::uint64_t ticket = 0;  ///< tells one attempt to join from the next; given by the rank's rendezvous
  std::uint64_t placement = 0;
  std::vector<transport::tcp::Endpoint> endpoints;
};

struct Generation {
  std::uint64_t number = 0;
  std::vector<Seat> seats;  ///< by rank
};

/// The generation that forms. The one place that decides whether a rank is in it or has left before.
class Gathering {
 public:
  explicit Gathering(int size) : seats_(static_cast<std::size_t>(size)) {}

  /// A rank waits; it takes the place of an earlier attempt of that rank.
  void take(Seat seat);
  /// It waits no longer. Without effect if its generation is complete, or a later attempt waits.
  void leave(int rank, std::uint64_t ticket);
  /// None of these ranks waits any longer.
  void leave_all(int first_rank, int ranks);
  [[nodiscard]] std::vector<int> missing() const;
  /// If all wait: the generation, which is complete now; the next begins to form.
  [[nodiscard]] std::optional<Generation> complete();

 private:
  std::vector<std::optional<Seat>> seats_;
  std::uint64_t number_ = 0;
};

}  // namespace bluefog::membership
