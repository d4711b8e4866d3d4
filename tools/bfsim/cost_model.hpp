#pragma once
/// @file cost_model.hpp  What a round should take: closed forms, in seconds, for ranks that begin together.
///
/// al, B: latency and bandwidth (bytes per second) of a link, `i` inside a host; S: bytes of the model; P:
/// ranks; L: ranks of a host. A bandwidth of 0 is unlimited.

#include <bluefog/schedule.hpp>

#include "experiment.hpp"

namespace bfsim {

/// 2 (P - 1) al + 2 (P - 1) / P S / B, all ranks in one ring.
[[nodiscard]] double ring_all_reduce_seconds(int ranks, double model_bytes, const bluefog::LinkModel& link);

/// al + f S / B, f messages through the busiest port; but al_i + d S / B_i for d messages read inside a host
/// if that takes longer. One-peer exponential-2 with a shared port: round j carries min(2^j, L) messages.
[[nodiscard]] double flat_round_seconds(const bluefog::Topology& round, const Experiment& experiment);

/// Inside the host a ring: 2 (L - 1) al_i + 2 (L - 1) / L S / B_i, and between hosts al + d S / B through a
/// shared port (al + d S / (L B) through own ports) for d hosts to send to.
[[nodiscard]] double hierarchical_round_seconds(const bluefog::Topology& hosts, const Experiment& experiment);

/// The same with what our operations cost inside the host: al_i + 3 (L - 1) / L S / B_i. The mean by slices
/// reads and writes (L - 1) / L of the model each, the gathering reads as much once more. Ranks meet by
/// looking at each other's words: only the first meeting of ranks that begin together costs them a latency.
[[nodiscard]] double hierarchical_round_of_ours_seconds(const bluefog::Topology& hosts,
                                                        const Experiment& experiment);

/// Mean over the first `rounds` rounds: of the experiment's plan, the hierarchical ones as ours.
[[nodiscard]] double mean_round_seconds(const Experiment& experiment, int rounds);

}  // namespace bfsim
