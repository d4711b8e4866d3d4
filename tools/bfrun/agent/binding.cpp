#include "agent/binding.hpp"

#include "base/cpu.hpp"

namespace bfrun {

std::vector<std::vector<int>> cpus_of_ranks(BindTo bind_to, int size) {
  std::vector<std::vector<int>> ranks(static_cast<std::size_t>(size));
  if (bind_to == BindTo::none) return ranks;
  const std::vector<int> cpus = bluefog::base::affinity_cpus();
  const std::vector<std::vector<int>> nodes = bluefog::base::numa_nodes(cpus);
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    if (bind_to == BindTo::core) {
      ranks[rank] = {cpus[rank % cpus.size()]};
    } else {
      ranks[rank] = nodes[rank * nodes.size() / ranks.size()];  // neighbouring ranks share a node
    }
  }
  return ranks;
}

}  // namespace bfrun
