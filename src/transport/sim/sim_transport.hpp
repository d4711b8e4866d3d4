#pragma once
/// @file sim_transport.hpp  One rank's transport on the virtual network. Ranks of one virtual host read each
/// other's words and memory where they are; others exchange messages.

#include <span>
#include <utility>
#include <vector>

#include "transport/remote/split_transport.hpp"
#include "transport/sim/network.hpp"
#include "transport/sim/sim_executor.hpp"
#include "transport/sim/sim_memory.hpp"

namespace bluefog::transport::sim {

class SimTransport final : private remote::Wire, public remote::SplitTransport {
 public:
  SimTransport(Network& network, SimExecutor& executor, int rank, int size);

  /// The network's side.
  void receive(int from, remote::Message message);
  void set_lost(int peer);
  /// This rank was killed.
  void die() { memory_.die(); }
  [[nodiscard]] SimMemory& memory_of_host() { return memory_; }

  [[nodiscard]] PeerState state(int peer) const override;
  [[nodiscard]] bool shares_memory(int peer) const override { return memory_.shares_memory(peer); }
  [[nodiscard]] int host_of(int rank) const override { return memory_.host_of(rank); }
  void set_note_sink(NoteSink* sink) override { sink_ = sink; }
  [[nodiscard]] std::string path_to(int peer) const override {
    return shares_memory(peer) ? Transport::path_to(peer) : "simulated network";
  }

 private:
  void send(int peer, remote::Message message) override {
    message.payload.own();
    network_.send(rank(), peer, std::move(message));
  }
  void send_left(std::span<const int> peers) override { network_.announce_end(rank(), peers); }

  Network& network_;
  SimMemory memory_;
  std::vector<bool> lost_;
  NoteSink* sink_ = nullptr;
};

}  // namespace bluefog::transport::sim
