#include <algorithm>

#include <bluefog/error.hpp>
#include <bluefog/graphs.hpp>
#include <bluefog/simulation.hpp>

#include "base/recycled_memory.hpp"
#include "engine/network.hpp"
#include "engine/session.hpp"
#include "transport/sim/network.hpp"
#include "transport/sim/sim_executor.hpp"
#include "transport/sim/sim_transport.hpp"

namespace bluefog {

namespace sim = transport::sim;

namespace {

/// How many ranks each host has, or none where they are not numbered side by side.
std::vector<int> ranks_of_hosts(const SimulationOptions& options) {
  std::vector<int> hosts = options.hosts;
  for (int rank = static_cast<int>(hosts.size()); rank < options.size; ++rank) {
    hosts.push_back(rank / options.ranks_per_host);
  }
  if (!std::is_sorted(hosts.begin(), hosts.end())) return {};
  std::vector<int> ranks;
  for (std::size_t rank = 0; rank < hosts.size(); ++rank) {
    if (rank == 0 || hosts[rank] != hosts[rank - 1]) ranks.push_back(0);
    ++ranks.back();
  }
  return ranks;
}

void check(const SimulationOptions& options) {
  const auto fail = [](const std::string& what) { throw InvalidArgument("Simulation: " + what); };
  if (options.size < 1) fail("a job has at least one rank, not " + std::to_string(options.size));
  if (options.ranks_per_host < 1) fail("a host has at least one rank");
  if (!options.hosts.empty() && options.hosts.size() != static_cast<std::size_t>(options.size)) {
    fail("hosts must name the host of each rank");
  }
  for (const int host : options.hosts) {
    if (host < 0 || host >= options.size) fail("a host has a number from 0 up to below the size");
  }
  if (options.port_turns < 1) fail("a message has at least one piece");
  if (!(options.byte_scale > 0)) fail("byte_scale must be positive");
  for (const LinkModel* link : {&options.between_hosts, &options.inside_host}) {
    if (link->latency.count() < 0 || link->jitter.count() < 0 || !(link->bandwidth >= 0)) {
      fail("latency, jitter and bandwidth of a link cannot be negative");
    }
  }
  for (const SimulatedFault& fault : options.faults) {
    const bool needs_peer = fault.kind == SimulatedFault::Kind::Cut;
    const auto is_rank = [&](int rank) { return rank >= 0 && rank < options.size; };
    if (!is_rank(fault.rank) || (needs_peer && (!is_rank(fault.peer) || fault.peer == fault.rank))) {
      fail("a fault names a rank that does not exist");
    }
    if (fault.at.count() < 0 || fault.duration.count() < 0) fail("a fault has a negative time");
  }
}

}  // namespace

class Simulation::Impl {
 public:
  explicit Impl(SimulationOptions options)
      : options_(std::move(options)), scheduler_(options_.size), network_(scheduler_, options_) {
    const auto topology = std::make_shared<const Topology>(exponential_graph(options_.size));
    for (int rank = 0; rank < options_.size; ++rank) {
      Config config = options_.config;
      config.rank = rank;
      config.size = options_.size;
      if (!config.nodes_per_machine) config.ranks_of_hosts = ranks_of_hosts(options_);
      engine::check_machines(config);
      auto executor = std::make_shared<sim::SimExecutor>(scheduler_, rank, options_.step_time);
      auto transport = std::make_unique<sim::SimTransport>(network_, *executor, rank, options_.size);
      engine::Tuning tuning;
      tuning.spin = false;
      tuning.retired_before_reclaim = 0;  // all ranks share one cache
      sessions_.push_back(std::make_shared<engine::Session>(config, 0, std::move(executor),
                                                            std::move(transport), tuning, topology));
      contexts_.push_back(Context(sessions_.back()));
    }
    for (const SimulatedFault& fault : options_.faults) network_.inject(fault);
  }

  ~Impl() {
    // All leave before the first is taken apart: they ring each other's doorbells.
    for (int rank = 0; rank < options_.size; ++rank) {
      engine::Session& session = *sessions_[static_cast<std::size_t>(rank)];
      scheduler_.is_killed(rank) ? session.abandon() : session.shutdown();
    }
  }

  std::vector<End> run(const std::function<void(Context&)>& body) {
    std::vector<End> ends(contexts_.size());
    int open = options_.size;
    for (int rank = 0; rank < options_.size; ++rank) {
      End& end = ends[static_cast<std::size_t>(rank)];
      end.how = End::How::Killed;  // unless it comes to an end of its own
      scheduler_.at(start_of(rank), [this, rank, &body, &end, &open] {
        scheduler_.spawn(rank, [this, rank, &body, &end, &open] {
          const Closing closing{*this, rank, end, open};
          if (scheduler_.is_killed(rank)) return;
          Context& context = contexts_[static_cast<std::size_t>(rank)];
          try {
            body(context);
            end.how = End::How::Returned;
          } catch (const sim::RankKilled&) {
            throw;
          } catch (...) {
            end.how = End::How::Threw;
            end.error = std::current_exception();
          }
          context.shutdown();
        });
      });
    }
    while (open > 0 && scheduler_.step()) {
    }
    if (open > 0) throw Error("Simulation: " + std::to_string(open) + " ranks wait for what cannot come");
    return ends;
  }

  [[nodiscard]] std::chrono::nanoseconds now() const { return scheduler_.now().time_since_epoch(); }

  void compute(std::chrono::nanoseconds duration) {
    if (scheduler_.current() == nullptr) throw InvalidArgument("Simulation::compute: no rank is running");
    const auto until = scheduler_.now() + duration;
    while (scheduler_.now() < until) scheduler_.suspend(until);
  }

 private:
  /// Notes the end of a body, whatever ends it.
  struct Closing {
    Impl& simulation;
    int rank;
    End& end;
    int& open;
    ~Closing() {
      end.at = simulation.now();
      --open;
    }
  };
  [[nodiscard]] base::TimePoint start_of(int rank) const {
    base::TimePoint start{};
    for (const SimulatedFault& fault : options_.faults) {
      if (fault.kind == SimulatedFault::Kind::Late && fault.rank == rank)
        start = base::TimePoint{} + fault.at;
    }
    return start;
  }

  base::RecycleMore recycle_more_;
  SimulationOptions options_;
  sim::Scheduler scheduler_;
  sim::Network network_;
  std::vector<std::shared_ptr<engine::Session>> sessions_;
  std::vector<Context> contexts_;
};

Simulation::Simulation(SimulationOptions options) {
  check(options);
  impl_ = std::make_unique<Impl>(std::move(options));
}
Simulation::~Simulation() = default;

std::vector<Simulation::End> Simulation::run(const std::function<void(Context&)>& body) {
  return impl_->run(body);
}
std::chrono::nanoseconds Simulation::now() const {
  return impl_->now();
}
void Simulation::compute(std::chrono::nanoseconds duration) {
  impl_->compute(duration);
}

}  // namespace bluefog
