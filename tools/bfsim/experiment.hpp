#pragma once
/// @file experiment.hpp  Ranks that compute and mix, step after step, on the engine over a virtual network.

#include <cstddef>
#include <string>
#include <vector>

#include <bluefog/simulation.hpp>

#include "compute_time.hpp"
#include "cost.hpp"
#include "mixing_plan.hpp"
#include "step_times.hpp"

namespace bfsim {

enum class Algorithm {
  Atc,  ///< adapt, then combine: compute, then mix and wait
  Awc,  ///< adapt while combining: mix what the last step left while computing
};

/// What tensors meet between two ranks.
struct VirtualNetwork {
  bluefog::LinkModel between_hosts;
  bluefog::LinkModel inside_host;
  /// The ranks of a host share one port; else each has its own of the same bandwidth.
  bool hosts_share_port = true;
};

struct Experiment {
  PlanOptions plan;
  VirtualNetwork network;
  ComputeTime compute;
  Algorithm algorithm = Algorithm::Atc;
  /// Of the model, as the network sees it.
  double model_bytes = 102e6;
  /// float32 elements that are really moved and mixed for it, each standing for many; 0: default_elements().
  std::size_t elements = 0;
  int steps = 100;
  /// Ranks also wait for the headers of those that they send to.
  bool check_topology = false;

  /// 1,000; for a hierarchical plan the fewest that a host mixes by slices, as it does large tensors.
  [[nodiscard]] std::size_t default_elements() const;
};

struct Outcome {
  StepTimes times;
  /// Distance of the ranks from their mean after each step, over that at the start; both are root mean
  /// squares over the ranks and the first elements.
  std::vector<double> consensus;
  std::size_t elements = 0;  ///< that were really moved and mixed
  Cost cost;
};

/// @throws bluefog::InvalidArgument for settings that do not fit each other, whatever the plan
void check(const Experiment& experiment);

/// @throws bluefog::InvalidArgument for settings that do not fit each other
[[nodiscard]] Outcome simulate(const Experiment& experiment);

/// Seconds that each of `rounds` rounds takes by itself: all ranks begin it at one moment, none computes, and
/// it is over when the last has ended.
[[nodiscard]] std::vector<double> time_rounds(const Experiment& experiment, int rounds);

}  // namespace bfsim
