#pragma once
/// @file network.hpp  What a session needs to reach ranks that share no memory with it.

#include <cstdint>
#include <memory>
#include <vector>

#include <bluefog/config.hpp>

#include "base/executor.hpp"
#include "base/job_key.hpp"
#include "membership/rendezvous.hpp"
#include "transport/hosts/host_transport.hpp"
#include "transport/shm/shm_transport.hpp"
#include "transport/tcp/endpoint.hpp"

namespace bluefog::engine {

/// A machine as users count them: a host, or a pretended one (BLUEFOG_NODES_PER_MACHINE).
struct Machine {
  int index = 0;
  int first_rank = 0;
  int ranks = 0;
};
/// By their order; `config` has passed check_machines().
[[nodiscard]] std::vector<Machine> machines_of(const Config& config);
/// How many ranks run on the host of this one, whatever machines are pretended.
[[nodiscard]] int ranks_beside(const Config& config);
/// @throws InvalidArgument if there can be no such machines
void check_machines(const Config& config);

/// The first of the ranks that a rank shares memory with, as far as is known before they meet: those of its
/// host, or of its machine where that is a pretended one.
[[nodiscard]] int host_of(const Config& config, int rank);
[[nodiscard]] bool has_far_ranks(const Config& config);
/// Hash of which ranks share memory.
[[nodiscard]] std::uint64_t placement_of(const Config& config);
/// @throws Mismatch if the ranks do not agree on that
void check_placement(const Config& config, const membership::Roster& roster);
/// @throws InvalidArgument for settings of the network that make no sense
void check_network(const Config& config);

/// Where a rank listens for others; none in a job of one host. @throws Error if it cannot
[[nodiscard]] std::vector<transport::tcp::Listener> listeners_for(const Config& config);

/// What one rank knows of all others.
struct Network {
  std::uint64_t job = 0;
  std::uint64_t generation = 0;
  base::JobKey key;
  std::vector<std::vector<transport::tcp::Endpoint>> addresses;  ///< by rank; none for ranks of this host
  std::vector<transport::tcp::Listener> listeners;
};

[[nodiscard]] Network network_of(const Config& config, const membership::Roster& roster,
                                 std::vector<transport::tcp::Listener> listeners);
/// Of ranks that are threads of one process, by rank; none in a job of one host.
[[nodiscard]] std::vector<Network> networks_in_process(const std::vector<Config>& configs);

/// @param memory  of the ranks of this host
[[nodiscard]] std::unique_ptr<transport::hosts::HostTransport> transport_over(
    const Config& config, Network network, std::unique_ptr<transport::shm::ShmTransport> memory,
    base::Executor& executor);

}  // namespace bluefog::engine
