#include <bit>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <bluefog/ceca.hpp>
#include <bluefog/error.hpp>

#include "topology/checks.hpp"
#include "topology/fixed_rounds.hpp"
#include "topology/one_peer.hpp"

namespace bluefog {

namespace {

/// One round by the binary digits of size - 1, the first digit first.
struct Digit {
  int covered;  ///< e: over how many ranks before it h is the mean; the number that the digits before make
  bool is_one;
};

Digit digit_of(int size, std::uint64_t t) {
  const auto period = static_cast<std::uint64_t>(topology::exponential_period(size));
  const auto later = static_cast<int>(period - 1 - t % period);
  return {(size - 1) >> (later + 1), ((size - 1) >> later) % 2 != 0};
}

/// One permutation per round of a cycle.
template <class SenderTo>
SchedulePtr deliveries_of(const std::string& name, int size, SenderTo sender_to) {
  std::vector<Topology> rounds;
  for (std::uint64_t t = 0; t < static_cast<std::uint64_t>(topology::exponential_period(size)); ++t) {
    std::vector<Topology::Edge> edges;
    for (int receiver = 0; receiver < size; ++receiver) {
      const int sender = ((sender_to(receiver, digit_of(size, t)) % size) + size) % size;
      edges.push_back({receiver, sender, 1.0});
    }
    rounds.emplace_back(size, edges);
  }
  return std::make_shared<topology::FixedRounds>(name, std::move(rounds));
}

}  // namespace

CecaSchedule CecaSchedule::two_port(int size) {
  topology::check_size("CecaSchedule::two_port", size);
  return CecaSchedule(deliveries_of("CECA deliveries", size, [](int rank, const Digit& digit) {
    return rank - digit.covered - (digit.is_one ? 1 : 0);
  }));
}

CecaSchedule CecaSchedule::one_port(int size) {
  topology::check_size("CecaSchedule::one_port", size);
  if (size > 1 && size % 2 != 0) {
    throw InvalidArgument("CecaSchedule::one_port: " + std::to_string(size) +
                          " ranks do not form pairs: use CecaSchedule::two_port, or an even number");
  }
  return CecaSchedule(deliveries_of("CECA one-port deliveries", size, [](int rank, const Digit& digit) {
    const int distance = 2 * digit.covered + 1;
    return rank % 2 != 0 ? rank + distance : rank - distance;
  }));
}

CecaRound CecaSchedule::round(std::uint64_t t) const {
  const Digit digit = digit_of(size(), t);
  const double covered = digit.covered;
  if (digit.is_one) return {CecaState::X, 0.5, (covered + 1.0) / (2.0 * covered + 1.0)};
  return {CecaState::H, covered / (2.0 * covered + 1.0), 0.5};
}

}  // namespace bluefog
