#include "mixing_plan.hpp"

#include <algorithm>
#include <functional>
#include <map>

#include <bluefog/error.hpp>
#include <bluefog/graphs.hpp>

namespace bfsim {

namespace {

using bluefog::InvalidArgument;
using bluefog::SchedulePtr;
using bluefog::static_schedule;

struct Size {
  int ranks;
  int ranks_per_host;
};
using Maker = std::function<SchedulePtr(const PlanOptions&, const Size&)>;

const std::map<std::string, Maker>& makers() {
  using Options = PlanOptions;
  static const std::map<std::string, Maker> known{
      {"ring",
       [](const Options&, const Size& size) { return static_schedule(bluefog::ring_graph(size.ranks)); }},
      {"ring-one-way",
       [](const Options&, const Size& size) {
         return static_schedule(bluefog::ring_graph(size.ranks, bluefog::RingStyle::Right));
       }},
      {"exp2", [](const Options&,
                  const Size& size) { return static_schedule(bluefog::exponential_two_graph(size.ranks)); }},
      {"symmetric-exp4",
       [](const Options&, const Size& size) {
         return static_schedule(bluefog::symmetric_exponential_graph(size.ranks));
       }},
      {"torus",
       [](const Options&, const Size& size) { return static_schedule(bluefog::torus_graph(size.ranks)); }},
      {"hypercube", [](const Options&,
                       const Size& size) { return static_schedule(bluefog::hypercube_graph(size.ranks)); }},
      {"grid", [](const Options&,
                  const Size& size) { return static_schedule(bluefog::mesh_grid_2d_graph(size.ranks)); }},
      {"star",
       [](const Options&, const Size& size) { return static_schedule(bluefog::star_graph(size.ranks)); }},
      {"full", [](const Options&,
                  const Size& size) { return static_schedule(bluefog::fully_connected_graph(size.ranks)); }},
      {"one-peer-exp",
       [](const Options&, const Size& size) { return bluefog::one_peer_exponential(size.ranks); }},
      {"one-peer-hypercube",
       [](const Options&, const Size& size) { return bluefog::one_peer_hypercube(size.ranks); }},
      {"base-k", [](const Options& options,
                    const Size& size) { return bluefog::base_k_plus_one(size.ranks, options.max_degree); }},
      {"hyper-hypercube",
       [](const Options& options, const Size& size) {
         return bluefog::hyper_hypercube(size.ranks, options.max_degree);
       }},
      {"random-matching",
       [](const Options& options, const Size& size) {
         return bluefog::one_peer_random_matching(size.ranks, options.seed);
       }},
      {"random-shift",
       [](const Options& options, const Size& size) {
         return bluefog::one_peer_random_shift(size.ranks, options.seed);
       }},
      {"inner-outer-ring",
       [](const Options&, const Size& size) {
         return bluefog::inner_outer_ring(size.ranks, size.ranks_per_host);
       }},
      {"inner-outer-exp2",
       [](const Options&, const Size& size) {
         return bluefog::inner_outer_expo2(size.ranks, size.ranks_per_host);
       }},
  };
  return known;
}

SchedulePtr make_schedule(const std::string& name, const PlanOptions& options, const Size& size) {
  const auto maker = makers().find(name);
  if (maker == makers().end()) throw InvalidArgument("there is no schedule \"" + name + "\"");
  return maker->second(options, size);
}

}  // namespace

int MixingPlan::period() const {
  constexpr std::uint64_t most = 64;
  return static_cast<int>(std::min(schedule->period(), most));
}

MixingPlan make_plan(const PlanOptions& options) {
  if (options.schedule != hierarchical_plan_name) {
    return {make_schedule(options.schedule, options, {options.ranks, options.ranks_per_host}), false};
  }
  if (options.ranks % options.ranks_per_host != 0) {
    throw InvalidArgument("hierarchical: " + std::to_string(options.ranks) + " ranks do not fill hosts of " +
                          std::to_string(options.ranks_per_host));
  }
  return {make_schedule(options.over_hosts, options, {options.ranks / options.ranks_per_host, 1}), true};
}

std::vector<std::string> flat_plan_names() {
  std::vector<std::string> names;
  for (const auto& [name, maker] : makers()) names.push_back(name);
  return names;
}

}  // namespace bfsim
