#pragma once
/// @file simulation.hpp  Many ranks in one thread, over a virtual network with a virtual clock.
///
/// The ranks run the same engine as a real job; only what carries their messages and what tells the time is
/// virtual. A run depends on nothing but its options and the body, so it can be repeated to the bit.

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <iosfwd>
#include <memory>
#include <vector>

#include <bluefog/config.hpp>
#include <bluefog/context.hpp>
#include <bluefog/export.hpp>

namespace bluefog {

/// What a message meets between two ranks. S bytes over an idle link arrive after latency + S / bandwidth.
struct LinkModel {
  /// From the end of sending to arrival.
  std::chrono::nanoseconds latency{0};
  /// Bytes per second; 0: unlimited.
  double bandwidth = 0;
  /// Each message is late by a random time, uniform in [0, jitter]; messages between two ranks keep their
  /// order.
  std::chrono::nanoseconds jitter{0};
};

/// Something that goes wrong at a virtual time.
struct SimulatedFault {
  /// What happens.
  enum class Kind : std::uint8_t {
    Kill,    ///< the rank's process ends at once
    Freeze,  ///< the rank stands still for `duration`; after the liveness deadline its peers give it up
    Cut,     ///< nothing passes between `rank` and `peer` for `duration`
    Late,    ///< the rank enters its body only at this time
  };
  /// What happens.
  Kind kind = Kind::Kill;
  /// When, since the start.
  std::chrono::nanoseconds at{0};
  /// To whom.
  int rank = 0;
  /// Where there is one, the other end.
  int peer = -1;
  /// Of what passes.
  std::chrono::nanoseconds duration{0};
};

/// What Simulation takes.
struct SimulationOptions {
  /// Number of ranks.
  int size = 1;
  /// So many consecutive ranks lie on one virtual host: they share memory, and their deaths are known at
  /// once.
  int ranks_per_host = 1;
  /// If given, the virtual host of each rank, in place of `ranks_per_host`: numbers from 0 up to below
  /// `size`. Hosts are the machines of the job if their ranks are numbered side by side, unless
  /// `config.nodes_per_machine` says otherwise.
  std::vector<int> hosts;
  /// Between ranks of different hosts.
  LinkModel between_hosts;
  /// Between ranks of one host: the latency of a doorbell, and the speed at which one rank reads or writes
  /// the memory of another.
  LinkModel inside_host;
  /// If given, replaces `between_hosts` for a pair of ranks.
  std::function<LinkModel(int from, int to)> link;
  /// The ranks of a host send and receive through one port; else each has its own.
  bool hosts_share_port = true;
  /// Messages that want a shared port at the same time are served in turns, a piece of each, so that they end
  /// together; so many pieces make a message. 1: one message after the other, as in a port of one rank.
  int port_turns = 16;
  /// Each byte of a tensor takes as long as so many: a small tensor stands for a large one.
  double byte_scale = 1;
  /// What one step of the engine takes, so that faults may strike between two of them; large tensors are
  /// mixed in many. 0: computing takes no time but that of compute().
  std::chrono::nanoseconds step_time{0};
  /// Of jitter, and of what else is random.
  std::uint64_t seed = 1;
  /// A rank that has given no sign of life for so long is given up by its peers.
  std::chrono::nanoseconds liveness = std::chrono::seconds(5);
  /// In any order.
  std::vector<SimulatedFault> faults;
  /// Of every rank.
  Config config;
  /// Every delivery, fault and end, one a line.
  std::ostream* trace = nullptr;
};

/// Ranks of a job on virtual hosts and a virtual clock, in one thread: the engine runs as it does elsewhere,
/// and every run with the same options is the same.
class BLUEFOG_API Simulation {
 public:
  /// How a rank's body ended, and when.
  struct End {
    /// In which of these ways.
    enum class How : std::uint8_t { Returned, Threw, Killed };
    /// In which way.
    How how = How::Returned;
    std::exception_ptr error;  ///< of a body that threw
    /// When, since the start.
    std::chrono::nanoseconds at{0};
  };

  /// @throws InvalidArgument for options that make no sense
  explicit Simulation(SimulationOptions options);
  ~Simulation();
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;

  /// Runs `body` on every rank until all have ended; then shuts the ranks down. Once.
  /// The body must wait through BlueFog only: a rank that blocks the thread blocks all.
  std::vector<End> run(const std::function<void(Context&)>& body);

  /// Since the start.
  [[nodiscard]] std::chrono::nanoseconds now() const;
  /// Called in a body: the rank that runs computes for so long.
  void compute(std::chrono::nanoseconds duration);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bluefog
