#pragma once
/// @file rank_mixer.hpp  One rank's part in the mixing rounds, through the operations of its Context.

#include <cstddef>
#include <memory>
#include <span>

#include <bluefog/bluefog.hpp>

#include "mixing_plan.hpp"

namespace bfsim {

/// Holds the rank's tensor, in the arena of its host.
class RankMixer {
 public:
  virtual ~RankMixer() = default;
  [[nodiscard]] virtual std::span<float> x() = 0;
  /// Mixes x in place.
  virtual void mix(int step) = 0;
  /// Begins to mix x; it must not change before finish(), after which x holds the result.
  virtual void start(int step) = 0;
  virtual void finish() = 0;

 protected:
  RankMixer() = default;
};

struct MixerOptions {
  std::size_t elements = 0;
  int ranks_per_host = 1;
  bool check_topology = false;
};

/// @param elements  a multiple of ranks_per_host for a hierarchical plan
[[nodiscard]] std::unique_ptr<RankMixer> make_mixer(bluefog::Context& context, const MixingPlan& plan,
                                                    const MixerOptions& options);

/// A rank cannot do the steps of a hierarchical round, one after the other, while it computes.
[[nodiscard]] inline bool can_overlap(const MixingPlan& plan) {
  return !plan.is_hierarchical;
}

}  // namespace bfsim
