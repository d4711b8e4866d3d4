#include "cost_model.hpp"

#include <algorithm>
#include <vector>

namespace bfsim {

namespace {

using bluefog::LinkModel;
using bluefog::Topology;

double transfer(double bytes, const LinkModel& link) {
  return link.bandwidth > 0 ? bytes / link.bandwidth : 0;
}

/// Messages of a round.
struct Load {
  int busiest_port = 0;    ///< sent or received by one port
  int read_in_a_host = 0;  ///< by one rank, from its own host
};

Load load_of(const Topology& round, const Experiment& experiment) {
  const int per_host = experiment.plan.ranks_per_host;
  const int ranks_per_port = experiment.network.hosts_share_port ? per_host : 1;
  const auto ports = static_cast<std::size_t>((round.size() + ranks_per_port - 1) / ranks_per_port);
  std::vector<int> sent(ports);
  std::vector<int> received(ports);
  Load load;
  for (int rank = 0; rank < round.size(); ++rank) {
    int read = 0;
    for (const auto& [sender, weight] : round.in_neighbors(rank)) {
      if (sender / per_host == rank / per_host) {
        ++read;
      } else {
        ++sent[static_cast<std::size_t>(sender / ranks_per_port)];
        ++received[static_cast<std::size_t>(rank / ranks_per_port)];
      }
    }
    load.read_in_a_host = std::max(load.read_in_a_host, read);
  }
  for (const auto* messages : {&sent, &received}) {
    load.busiest_port = std::max(load.busiest_port, *std::max_element(messages->begin(), messages->end()));
  }
  return load;
}

double across_hosts(const Topology& hosts, const Experiment& experiment) {
  int degree = hosts.max_out_degree();
  for (int host = 0; host < hosts.size(); ++host) {
    degree = std::max(degree, static_cast<int>(hosts.in_neighbors(host).size()));
  }
  if (degree == 0) return 0;
  const LinkModel& link = experiment.network.between_hosts;
  const double shares = experiment.network.hosts_share_port ? 1 : experiment.plan.ranks_per_host;
  return seconds(link.latency) + degree * transfer(experiment.model_bytes / shares, link);
}

}  // namespace

double ring_all_reduce_seconds(int ranks, double model_bytes, const LinkModel& link) {
  const double steps = 2.0 * (ranks - 1);
  return steps * seconds(link.latency) + steps / ranks * transfer(model_bytes, link);
}

double flat_round_seconds(const Topology& round, const Experiment& experiment) {
  const Load load = load_of(round, experiment);
  const auto time_of = [&](int messages, const LinkModel& link) {
    return messages == 0 ? 0 : seconds(link.latency) + messages * transfer(experiment.model_bytes, link);
  };
  return std::max(time_of(load.busiest_port, experiment.network.between_hosts),
                  time_of(load.read_in_a_host, experiment.network.inside_host));
}

double hierarchical_round_seconds(const Topology& hosts, const Experiment& experiment) {
  const double per_host = experiment.plan.ranks_per_host;
  const LinkModel& inside = experiment.network.inside_host;
  return 2 * (per_host - 1) * seconds(inside.latency) +
         2 * (per_host - 1) / per_host * transfer(experiment.model_bytes, inside) +
         across_hosts(hosts, experiment);
}

double hierarchical_round_of_ours_seconds(const Topology& hosts, const Experiment& experiment) {
  const double per_host = experiment.plan.ranks_per_host;
  if (per_host == 1) return across_hosts(hosts, experiment);
  const LinkModel& inside = experiment.network.inside_host;
  return seconds(inside.latency) + 3 * (per_host - 1) / per_host * transfer(experiment.model_bytes, inside) +
         across_hosts(hosts, experiment);
}

double mean_round_seconds(const Experiment& experiment, int rounds) {
  const MixingPlan plan = make_plan(experiment.plan);
  double sum = 0;
  for (int t = 0; t < rounds; ++t) {
    const auto round = plan.schedule->shared_round(static_cast<std::uint64_t>(t));
    sum += plan.is_hierarchical ? hierarchical_round_of_ours_seconds(*round, experiment)
                                : flat_round_seconds(*round, experiment);
  }
  return sum / rounds;
}

}  // namespace bfsim
