#pragma once
/// @file session.hpp  Everything that one rank's membership of a job is made of, in the order of
/// construction.

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include <bluefog/config.hpp>

#include "base/executor.hpp"
#include "base/fork_guard.hpp"
#include "base/function_ref.hpp"
#include "base/signal_report.hpp"
#include "engine/engine.hpp"
#include "engine/requests.hpp"
#include "membership/peer_watch.hpp"
#include "membership/rendezvous.hpp"
#include "trace/timeline.hpp"
#include "transport/shm/shm_transport.hpp"

namespace bluefog::engine {

/// What tests put between the engine of a rank and memory that is shared.
struct Interposition {
  std::function<std::unique_ptr<transport::Transport>(std::unique_ptr<transport::shm::ShmTransport>)>
      transport;
  BulkStores* stores = nullptr;
  StoreHook* window_hook = nullptr;
  transport::shm::MemoryGauge memory_gauge = nullptr;  ///< instead of the machine's
};

/// A room above the engine that lives as long as a session.
class Annex {
 public:
  virtual ~Annex() = default;
  /// The engine has stopped, and the peers are about to be told.
  virtual void close() = 0;
  /// Why the topology must stay as it is for now; or an empty text.
  [[nodiscard]] virtual std::string blocks_topology() const = 0;

 protected:
  Annex() = default;
};

class Session {
 public:
  /// Joins the job of `config`; waits until all ranks have. Size 1 joins nothing where no bfrun has set a
  /// rendezvous.
  [[nodiscard]] static std::shared_ptr<Session> join(const Config& config,
                                                     const Interposition& interposition = {});
  /// Ranks of one new job that share their mappings, for threads.
  /// @param interpositions  by rank, or empty
  [[nodiscard]] static std::vector<std::shared_ptr<Session>> in_process(
      int size, const Config& config, const std::vector<Interposition>& interpositions = {});
  /// From parts that somebody else has made. @param topology  the default one, of the job's size
  Session(Config config, std::uint64_t generation, std::shared_ptr<base::Executor> executor,
          std::unique_ptr<transport::Transport> transport, Tuning tuning,
          std::shared_ptr<const Topology> topology);
  ~Session();

  [[nodiscard]] const Config& config() const noexcept { return config_; }
  [[nodiscard]] transport::Transport& transport() noexcept { return *transport_; }
  [[nodiscard]] Engine& engine() noexcept { return *engine_; }
  [[nodiscard]] RequestFactory& requests() noexcept { return *requests_; }
  /// nullptr where nothing is recorded.
  [[nodiscard]] trace::Timeline* timeline() noexcept { return is_forked_copy() ? nullptr : timeline_.get(); }
  /// Whether this process was forked from that of the rank. Nothing but the rank's facts is of use then.
  [[nodiscard]] bool is_forked_copy() const noexcept { return home_.is_elsewhere(); }
  void shutdown();
  /// The one annex of the session; made when it is first asked for.
  [[nodiscard]] Annex& annex(base::FunctionRef<std::unique_ptr<Annex>()> make);
  /// Of the annex, if there is one.
  [[nodiscard]] std::string blocks_topology();
  /// From now on SIGUSR1 makes the rank tell its operations in flight, if the Config wants it.
  void report_on_signal();
  /// As the death of the rank's process would end it.
  void abandon() { engine_->abandon(); }

 private:
  /// At the rendezvous of this host.
  [[nodiscard]] static std::shared_ptr<Session> meet(const Config& config, std::chrono::milliseconds timeout,
                                                     const Interposition& interposition);

  Config config_;
  base::HomeProcess home_;
  std::shared_ptr<base::Executor> executor_;
  std::unique_ptr<trace::Timeline> timeline_;
  std::unique_ptr<transport::Transport> transport_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<RequestFactory> requests_;
  std::mutex annex_mutex_;
  std::unique_ptr<Annex> annex_;
  std::unique_ptr<membership::RendezvousClient> rendezvous_;
  std::unique_ptr<membership::PeerWatch> watch_;
  std::unique_ptr<base::SignalReport> report_;
};

}  // namespace bluefog::engine
