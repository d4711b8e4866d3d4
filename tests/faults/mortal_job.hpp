#pragma once
/// @file mortal_job.hpp  Jobs of threads in which ranks die: their stores have no effect from some moment on,
/// and the others are told, as the watch of a process would.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include <bluefog/config.hpp>

#include "engine/session.hpp"
#include "faults/mortal.hpp"

namespace bluefog::test {

/// Which store of which rank is not done any more. Those of a second one count from the death of the first,
/// and so on.
struct Death {
  int rank;
  std::uint64_t store;
};

/// What a rank does. It must not die after it has spared itself.
using MortalBody = std::function<void(engine::Session&, Fate&)>;

/// Runs `body` on every rank. An exception of a rank that has not died is a failure of the test.
/// @returns how many deaths were reached
std::size_t run_with_deaths(int size, const Config& config, const std::vector<Death>& deaths,
                            const MortalBody& body);

}  // namespace bluefog::test
