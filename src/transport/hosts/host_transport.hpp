#pragma once
/// @file host_transport.hpp  The transport of a job on several hosts: ranks of this host share memory, all
/// others are reached by TCP.

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/executor.hpp"
#include "transport/remote/split_transport.hpp"
#include "transport/shm/shm_transport.hpp"
#include "transport/tcp/tcp_wire.hpp"

namespace bluefog::transport::hosts {

class HostTransport final : public remote::SplitTransport {
 public:
  /// @param near   of the ranks of this host
  /// @param hosts  the host of each rank
  HostTransport(std::unique_ptr<shm::ShmTransport> near, std::vector<int> hosts, tcp::WireOptions options,
                std::vector<tcp::Listener> listeners, base::Executor& executor);

  [[nodiscard]] tcp::TcpWire& wire() noexcept { return wire_; }

  /// Somebody knows for certain that a far rank has died. Any thread.
  void tell_death(int peer, const std::string& reason) { wire_.tell_death(peer, reason); }

  [[nodiscard]] PeerState state(int peer) const override;
  [[nodiscard]] bool shares_memory(int peer) const override {
    return hosts_[static_cast<std::size_t>(peer)] == own_host_;
  }
  [[nodiscard]] int host_of(int rank) const override { return hosts_[static_cast<std::size_t>(rank)]; }
  void leave() override;
  void progress() override;
  void set_note_sink(NoteSink* sink) override { wire_.set_note_sink(sink); }
  [[nodiscard]] std::string why_lost(int peer) const override;
  [[nodiscard]] std::string path_to(int peer) const override;
  [[nodiscard]] std::optional<ComplaintText> take_complaint() override;

 private:
  std::unique_ptr<shm::ShmTransport> memory_;
  std::vector<int> hosts_;
  int own_host_;
  std::vector<std::optional<std::string>> losses_;  ///< by rank: why it is lost
  std::vector<std::atomic<PeerState>> far_states_;  ///< by rank; as of the last progress()

  std::mutex complaints_mutex_;
  std::deque<ComplaintText> complaints_;
  std::atomic<bool> has_complaints_{false};

  tcp::TcpWire wire_;  // its thread ends before all that it rings
};

}  // namespace bluefog::transport::hosts
