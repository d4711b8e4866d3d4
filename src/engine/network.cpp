#include "engine/network.hpp"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include <bluefog/error.hpp>

#include "base/hash.hpp"

namespace bluefog::engine {

namespace {

namespace tcp = transport::tcp;

tcp::SocketOptions socket_options(const Config& config) {
  return {config.tcp_congestion, config.tcp_buffer, config.heartbeat};
}

std::vector<tcp::Endpoint> endpoints_of(const std::vector<tcp::Listener>& listeners) {
  std::vector<tcp::Endpoint> endpoints;
  endpoints.reserve(listeners.size());
  for (const tcp::Listener& listener : listeners) endpoints.push_back(listener.endpoint);
  return endpoints;
}

struct HostRanks {
  int first_rank = 0;
  int ranks = 0;
};

/// The real host of a rank, whatever machines are pretended.
HostRanks host_with(const Config& config, int rank) {
  int first_rank = 0;
  for (const int ranks : config.ranks_of_hosts) {
    if (rank < first_rank + ranks) return {first_rank, ranks};
    first_rank += ranks;
  }
  return {0, config.size};
}

}  // namespace

std::vector<Machine> machines_of(const Config& config) {
  std::vector<int> sizes = config.ranks_of_hosts;
  if (config.nodes_per_machine) {
    sizes.assign(static_cast<std::size_t>(config.size / *config.nodes_per_machine),
                 *config.nodes_per_machine);
  } else if (sizes.empty()) {
    sizes.push_back(config.size);
  }
  std::vector<Machine> machines;
  int first_rank = 0;
  for (const int ranks : sizes) {
    machines.push_back({static_cast<int>(machines.size()), first_rank, ranks});
    first_rank += ranks;
  }
  return machines;
}

int ranks_beside(const Config& config) {
  return host_with(config, config.rank).ranks;
}

void check_machines(const Config& config) {
  const std::vector<int>& hosts = config.ranks_of_hosts;
  const bool has_empty_host = std::any_of(hosts.begin(), hosts.end(), [](int ranks) { return ranks < 1; });
  if (has_empty_host || (!hosts.empty() && std::accumulate(hosts.begin(), hosts.end(), 0) != config.size)) {
    throw InvalidArgument("BLUEFOG_RANKS_OF_HOSTS must hold numbers of ranks whose sum is " +
                          std::to_string(config.size));
  }
  if (!config.nodes_per_machine) return;
  const int ranks = *config.nodes_per_machine;
  const std::string setting = "BLUEFOG_NODES_PER_MACHINE=" + std::to_string(ranks) + " does not divide the ";
  if (ranks < 1 || config.size % ranks != 0) {
    throw InvalidArgument(setting + std::to_string(config.size) + " ranks");
  }
  for (const int of_host : config.ranks_of_hosts) {
    if (of_host % ranks != 0) {
      throw InvalidArgument(setting + std::to_string(of_host) +
                            " ranks of a host; a machine lies on one host");
    }
  }
}

int host_of(const Config& config, int rank) {
  if (config.transport == "tcp") return rank;
  if (config.transport == "auto" && config.nodes_per_machine) return rank - rank % *config.nodes_per_machine;
  return host_with(config, rank).first_rank;
}

bool has_far_ranks(const Config& config) {
  return host_of(config, 0) != host_of(config, config.size - 1);
}

/// The lowest bit says whether tensors are encrypted, the others who shares memory.
std::uint64_t placement_of(const Config& config) {
  std::uint64_t hash = 0;
  for (int rank = 0; rank < config.size; ++rank) {
    hash = base::hash_combine(hash, static_cast<std::uint64_t>(host_of(config, rank)));
  }
  return hash << 1 | (config.encrypt ? 1U : 0U);
}

void check_placement(const Config& config, const membership::Roster& roster) {
  const std::uint64_t own = placement_of(config);
  for (const membership::Card& card : roster.members) {
    if (card.placement == own) continue;
    throw Mismatch(
        "rank " + std::to_string(config.rank) + " and rank " + std::to_string(card.rank) +
        " do not agree on " +
        (card.placement >> 1 == own >> 1
             ? "encryption; give BLUEFOG_ENCRYPT (bfrun --encrypt) alike on all ranks"
             : "which ranks share memory; give BLUEFOG_TRANSPORT and BLUEFOG_NODES_PER_MACHINE alike "
               "on all ranks"));
  }
}

void check_network(const Config& config) {
  if (config.transport != "auto" && config.transport != "shm" && config.transport != "tcp") {
    throw InvalidArgument("BLUEFOG_TRANSPORT is \"" + config.transport + "\", but must be auto, shm or tcp");
  }
  if (config.transport == "shm" && config.ranks_of_hosts.size() > 1) {
    throw InvalidArgument("BLUEFOG_TRANSPORT is shm, but the job has " +
                          std::to_string(config.ranks_of_hosts.size()) + " hosts, which share no memory");
  }
  if (config.tcp_connections < 1 || config.tcp_connections > static_cast<int>(tcp::most_data_connections)) {
    throw InvalidArgument("BLUEFOG_TCP_CONNECTIONS is " + std::to_string(config.tcp_connections) +
                          ", but must lie between 1 and " + std::to_string(tcp::most_data_connections));
  }
  if (tcp::parse_addresses(config.listen).size() > membership::most_endpoints) {
    throw InvalidArgument("BLUEFOG_LISTEN names more than " + std::to_string(membership::most_endpoints) +
                          " addresses");
  }
  static_cast<void>(tcp::parse_port_range(config.port_range));
  if (has_far_ranks(config)) tcp::check(socket_options(config));
}

std::vector<tcp::Listener> listeners_for(const Config& config) {
  if (!has_far_ranks(config)) return {};
  return tcp::listen_on(tcp::parse_addresses(config.listen), tcp::parse_port_range(config.port_range));
}

Network network_of(const Config& config, const membership::Roster& roster,
                   std::vector<tcp::Listener> listeners) {
  Network network;
  network.job = roster.job;
  network.generation = roster.generation;
  network.key = roster.key;
  network.listeners = std::move(listeners);
  for (const membership::Card& card : roster.members) {
    const bool is_far = host_of(config, card.rank) != host_of(config, config.rank);
    if (is_far && card.endpoints.empty()) {
      throw Error("rank " + std::to_string(card.rank) + " lies on another machine, but listens nowhere");
    }
    network.addresses.push_back(is_far ? card.endpoints : std::vector<tcp::Endpoint>());
  }
  return network;
}

std::vector<Network> networks_in_process(const std::vector<Config>& configs) {
  if (!has_far_ranks(configs.front())) return {};
  const base::JobKey key = base::JobKey::random();
  std::vector<Network> networks(configs.size());
  for (std::size_t rank = 0; rank < configs.size(); ++rank) {
    networks[rank].key = key;
    networks[rank].listeners = listeners_for(configs[rank]);
  }
  for (std::size_t rank = 0; rank < configs.size(); ++rank) {
    for (std::size_t peer = 0; peer < configs.size(); ++peer) {
      const bool is_far =
          host_of(configs[rank], static_cast<int>(peer)) != host_of(configs[rank], static_cast<int>(rank));
      networks[rank].addresses.push_back(is_far ? endpoints_of(networks[peer].listeners)
                                                : std::vector<tcp::Endpoint>());
    }
  }
  return networks;
}

std::unique_ptr<transport::hosts::HostTransport> transport_over(
    const Config& config, Network network, std::unique_ptr<transport::shm::ShmTransport> memory,
    base::Executor& executor) {
  tcp::WireOptions options;
  options.identity = {config.rank, config.size, network.job, network.generation,
                      tcp::Identity::handshake_key(network.key, network.job, network.generation)};
  options.sockets = socket_options(config);
  options.encrypts = config.encrypt;
  options.data_connections = static_cast<std::size_t>(config.tcp_connections);
  options.start_timeout = config.start_timeout;
  options.addresses = std::move(network.addresses);
  std::vector<int> hosts;
  hosts.reserve(static_cast<std::size_t>(config.size));
  for (int rank = 0; rank < config.size; ++rank) hosts.push_back(host_of(config, rank));
  return std::make_unique<transport::hosts::HostTransport>(
      std::move(memory), std::move(hosts), std::move(options), std::move(network.listeners), executor);
}

}  // namespace bluefog::engine
