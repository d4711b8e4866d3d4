#pragma once
/// @file launch.hpp  What the environment says of how a rank was started: by bfrun, by another launcher, or
/// by hand.

#include <string>
#include <vector>

#include "base/environment.hpp"

namespace bluefog::base {

/// Names of variables, and values that are put together from several.
struct Launch {
  std::string rank = "BLUEFOG_RANK";
  std::string size = "BLUEFOG_SIZE";
  std::string restart_count = "BLUEFOG_RESTART_COUNT";
  std::string rendezvous;  ///< empty: this host
  std::string job_id;      ///< empty: nothing tells the job from others at the same place

  [[nodiscard]] bool has_place() const { return !rendezvous.empty() || !job_id.empty(); }
};

/// MASTER_PORT is torch's. The ranks meet at one of so many ports behind it.
inline constexpr int ports_behind_master = 8;

/// A launcher's word counts only where it also says where its ranks meet.
/// @throws InvalidArgument  they are on several hosts, but meet nowhere
[[nodiscard]] Launch launch_of(const Environment& environment);

/// One sentence if a launcher has started this process as one of several ranks, which cannot meet.
[[nodiscard]] std::vector<std::string> warnings_about_other_launchers(const Environment& environment);

}  // namespace bluefog::base
