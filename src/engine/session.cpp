#include "engine/session.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bluefog/error.hpp>
#include <bluefog/graphs.hpp>

#include "base/cpu.hpp"
#include "base/log.hpp"
#include "engine/network.hpp"
#include "engine/placing.hpp"
#include "mixing/store_choice.hpp"
#include "transport/hosts/host_transport.hpp"
#include "transport/shm/shm_transport.hpp"

namespace bluefog::engine {

namespace {

using membership::Card;
using membership::Roster;
using transport::shm::Arena;
using transport::shm::ShmTransport;
namespace tcp = transport::tcp;

constexpr base::Duration shutdown_patience = std::chrono::seconds(10);

std::size_t arena_bytes(const Config& config) {
  if (config.arena_size != 0) return config.arena_size;
  const auto pages = static_cast<std::size_t>(::sysconf(_SC_PHYS_PAGES));
  // A process has 2^47 bytes of addresses, and may map the arenas of all ranks.
  constexpr std::size_t all_arenas = std::size_t{1} << 46;
  return std::min(pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)),
                  all_arenas / static_cast<std::size_t>(config.size));
}

/// Smaller outputs stay in the cache, where the next reader wants them.
constexpr std::size_t least_streamed_bytes = std::size_t{1} << 20;

Tuning tuning_for(const Config& config, ShmTransport& transport, const base::Clock& clock) {
  Tuning tuning;
  tuning.spin = ranks_beside(config) <= base::usable_cpus();
  mixing::StoreKind store =
      config.store == "streaming" ? mixing::StoreKind::Streaming : mixing::StoreKind::Plain;
  if (config.store == "auto" && config.size > 1) {
    const SharedMemory scratch = transport.allocate(mixing::store_trial_bytes);
    store = mixing::faster_store({static_cast<std::byte*>(scratch.data()), scratch.bytes()}, clock);
  }
  if (store == mixing::StoreKind::Streaming) tuning.streaming_threshold = least_streamed_bytes;
  log::debug(std::string("large outputs are stored ") +
             (store == mixing::StoreKind::Streaming ? "past the cache" : "through the cache") +
             ", kernels for " + std::string(mixing::instruction_set()));
  return tuning;
}

Card own_card(const Config& config, const Arena& arena, const std::vector<tcp::Listener>& listeners) {
  Card card;
  card.rank = config.rank;
  card.pid = ::getpid();
  card.arena_bytes = arena.bytes();
  card.arena.reset(::fcntl(arena.fd(), F_DUPFD_CLOEXEC, 0));
  if (!card.arena.valid()) throw Error(std::string("cannot pass the arena on: ") + std::strerror(errno));
  card.pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  if (!card.pidfd.valid()) {
    throw Error(std::string("this kernel gives no pidfd (Linux 5.3 or newer does): ") + std::strerror(errno));
  }
  card.placement = placement_of(config);
  for (const tcp::Listener& listener : listeners) card.endpoints.push_back(listener.endpoint);
  return card;
}

/// What a session is made of.
struct Parts {
  std::uint64_t generation = 0;
  std::shared_ptr<Arena> arena;
  transport::shm::MapPeer map_peer;
  std::optional<Network> network;  ///< in a job of several hosts
};

struct Made {
  std::shared_ptr<Session> session;
  // The session owns both.
  ShmTransport* memory;                  ///< of this host
  transport::hosts::HostTransport* far;  ///< to other hosts; nullptr if there are none
};

Made make_session(const Config& config, Parts parts, const Interposition& interposition) {
  auto executor = std::make_shared<base::ThreadExecutor>();
  auto memory = std::make_unique<ShmTransport>(config.rank, config.size, std::move(parts.arena),
                                               std::move(parts.map_peer));
  ShmTransport* const shared = memory.get();
  Tuning tuning = tuning_for(config, *memory, executor->clock());
  tuning.stores = interposition.stores;
  tuning.window_hook = interposition.window_hook;
  std::unique_ptr<transport::Transport> transport;
  transport::hosts::HostTransport* far = nullptr;
  if (parts.network) {
    auto hosts = transport_over(config, std::move(*parts.network), std::move(memory), *executor);
    far = hosts.get();
    transport = std::move(hosts);
  } else if (interposition.transport) {
    transport = interposition.transport(std::move(memory));
  } else {
    transport = std::move(memory);
  }
  auto session =
      std::make_shared<Session>(config, parts.generation, std::move(executor), std::move(transport), tuning,
                                std::make_shared<const Topology>(exponential_graph(config.size)));
  session->report_on_signal();
  return {std::move(session), shared, far};
}

void check(const Config& config) {
  if (config.size < 1 || config.rank < 0 || config.rank >= config.size) {
    throw InvalidArgument("rank " + std::to_string(config.rank) + " of " + std::to_string(config.size) +
                          " makes no sense; look at BLUEFOG_RANK and BLUEFOG_SIZE");
  }
  if (config.heartbeat.count() <= 0) throw InvalidArgument("BLUEFOG_HEARTBEAT must be more than 0 s");
  check_machines(config);
  check_network(config);
}

/// The rendezvous knows of deaths on other hosts, also of ranks that this one has no connection to.
std::optional<membership::PeerWatch::News> news_of(membership::RendezvousClient& rendezvous,
                                                   transport::hosts::HostTransport* far) {
  if (far == nullptr) return {};
  return membership::PeerWatch::News{rendezvous.fd(), [&rendezvous, far] {
                                       while (const auto loss = rendezvous.take_loss()) {
                                         if (!far->shares_memory(loss->rank))
                                           far->tell_death(loss->rank, loss->why);
                                       }
                                       return !rendezvous.has_ended();
                                     }};
}

}  // namespace

Session::Session(Config config, std::uint64_t generation, std::shared_ptr<base::Executor> executor,
                 std::unique_ptr<transport::Transport> transport, Tuning tuning,
                 std::shared_ptr<const Topology> topology)
    : config_(std::move(config)), executor_(std::move(executor)), transport_(std::move(transport)) {
  if (!config_.timeline.empty())
    timeline_ = std::make_unique<trace::Timeline>(config_.timeline, config_.rank);
  engine_ = std::make_unique<Engine>(*transport_, *executor_, config_, tuning, timeline_.get());
  std::vector<int> hosts;
  hosts.reserve(static_cast<std::size_t>(config_.size));
  for (int rank = 0; rank < config_.size; ++rank) hosts.push_back(transport_->host_of(rank));
  std::vector<int> machine_sizes;
  for (const Machine& machine : machines_of(config_)) machine_sizes.push_back(machine.ranks);
  requests_ = std::make_unique<RequestFactory>(config_.rank, config_.size, generation, std::move(topology),
                                               std::move(hosts), mixing::MachineMap(machine_sizes));
}

std::shared_ptr<Session> Session::join(const Config& config, const Interposition& interposition) {
  check(config);
  log::configure(log::parse_level(config.log_level).value_or(log::Level::warning), config.log_hide_time,
                 config.rank);
  if (config.size == 1 && !has_rendezvous(config)) {
    auto arena = ShmTransport::make_arena(config.rank, arena_bytes(config));
    return make_session(config, {0, std::move(arena), nullptr, {}}, interposition).session;
  }
  if (config.rendezvous.empty() && config.job_id.empty()) {
    throw InvalidArgument("the job has " + std::to_string(config.size) +
                          " ranks, but nothing says where they meet: start the program with bfrun -np " +
                          std::to_string(config.size) + ", or set BLUEFOG_RENDEZVOUS");
  }
  std::optional<base::SignalReport> until_joined;
  if (config.report_on_sigusr1) {
    until_joined.emplace([&config] {
      log::report(rank_text(config.rank) + " waits for all " + std::to_string(config.size) +
                  " ranks to join" + (config.rendezvous.empty() ? "" : " at " + config.rendezvous));
    });
  }
  if (has_rendezvous(config)) return meet(config, config.start_timeout, interposition);
  const auto start = std::chrono::steady_clock::now();
  const Config found = placed(config);
  check(found);
  const auto elapsed =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
  return meet(found, config.start_timeout - elapsed, interposition);
}

std::shared_ptr<Session> Session::meet(const Config& config, std::chrono::milliseconds timeout,
                                       const Interposition& interposition) {
  auto arena = ShmTransport::make_arena(config.rank, arena_bytes(config));
  std::vector<tcp::Listener> listeners = listeners_for(config);
  Roster roster;
  auto rendezvous = membership::RendezvousClient::join(config.rendezvous, config.size,
                                                       own_card(config, *arena, listeners), timeout, roster);
  check_placement(config, roster);
  Parts parts;
  parts.generation = roster.job ^ roster.generation;
  parts.arena = std::move(arena);
  if (has_far_ranks(config)) parts.network = network_of(config, roster, std::move(listeners));
  std::vector<membership::PeerWatch::Peer> peers;
  struct PeerArena {
    base::UnsharedFd fd;
    std::size_t bytes;
  };
  auto arenas = std::make_shared<std::vector<PeerArena>>();
  for (Card& card : roster.members) {
    const bool is_near = host_of(config, card.rank) == host_of(config, config.rank);
    if (is_near && card.rank != config.rank && !card.arena.valid()) {
      throw Error(rank_text(card.rank) + " should share memory with " + rank_text(config.rank) +
                  ", but its rendezvous is another; look at BLUEFOG_RANKS_OF_HOSTS");
    }
    if (card.rank != config.rank && is_near) {
      peers.push_back({card.rank, base::UnsharedFd(std::move(card.pidfd))});
    }
    // What lies on another machine is out of reach, also where that is only pretended.
    arenas->push_back(
        {base::UnsharedFd(is_near ? std::move(card.arena) : base::UniqueFd()), card.arena_bytes});
  }
  parts.map_peer = [arenas](int peer) {
    const PeerArena& at = (*arenas)[static_cast<std::size_t>(peer)];
    return ShmTransport::map_arena(at.fd.get(), at.bytes);
  };
  auto [session, memory, far] = make_session(config, std::move(parts), interposition);
  session->rendezvous_ = std::move(rendezvous);
  ShmTransport* const shared = memory;
  session->watch_ = std::make_unique<membership::PeerWatch>(
      *session->executor_, std::move(peers),
      membership::PeerWatch::Periods{config.heartbeat, config.start_timeout},
      membership::PeerWatch::Callbacks{[shared] { shared->beat(); },
                                       [shared](int rank) { return shared->beats_of(rank); },
                                       [shared](int rank) { shared->set_lost(rank); }},
      news_of(*session->rendezvous_, far));
  return session;
}

std::vector<std::shared_ptr<Session>> Session::in_process(int size, const Config& config,
                                                          const std::vector<Interposition>& interpositions) {
  std::vector<Config> configs(static_cast<std::size_t>(size), config);
  auto arenas = std::make_shared<std::vector<std::shared_ptr<Arena>>>();
  for (int rank = 0; rank < size; ++rank) {
    Config& own = configs[static_cast<std::size_t>(rank)];
    own.rank = rank;
    own.size = size;
    check(own);
    const auto index = static_cast<std::size_t>(rank);
    arenas->push_back(ShmTransport::make_arena(
        rank, arena_bytes(own),
        index < interpositions.size() ? interpositions[index].memory_gauge : nullptr));
  }
  std::vector<Network> networks = networks_in_process(configs);
  std::vector<std::shared_ptr<Session>> sessions;
  for (std::size_t rank = 0; rank < configs.size(); ++rank) {
    Parts parts;
    parts.arena = (*arenas)[rank];
    // One mapping for all: tools that look for races see only one address for each word.
    parts.map_peer = [arenas](int peer) {
      return (*arenas)[static_cast<std::size_t>(peer)]->share_mapping();
    };
    if (!networks.empty()) parts.network = std::move(networks[rank]);
    sessions.push_back(make_session(configs[rank], std::move(parts),
                                    rank < interpositions.size() ? interpositions[rank] : Interposition{})
                           .session);
  }
  return sessions;
}

void Session::shutdown() {
  if (!home_.is_surely_here() || engine_->stopped()) return;
  engine_->stop(shutdown_patience);
  {
    const std::lock_guard lock(annex_mutex_);
    if (annex_ != nullptr) annex_->close();
  }
  transport_->leave();
  watch_.reset();
  rendezvous_.reset();
  report_.reset();
  if (timeline_ != nullptr) timeline_->close();
}

Annex& Session::annex(base::FunctionRef<std::unique_ptr<Annex>()> make) {
  const std::lock_guard lock(annex_mutex_);
  if (annex_ == nullptr) annex_ = make();
  return *annex_;
}

std::string Session::blocks_topology() {
  const std::lock_guard lock(annex_mutex_);
  return annex_ == nullptr ? "" : annex_->blocks_topology();
}

void Session::report_on_signal() {
  if (!config_.report_on_sigusr1) return;
  report_ = std::make_unique<base::SignalReport>([engine = engine_.get()] { engine->report(); });
}

Session::~Session() {
  if (home_.is_surely_here()) {
    shutdown();
    return;
  }
  // A forked child has neither the threads nor a say in the job.
  static_cast<void>(annex_.release());
  static_cast<void>(engine_.release());
  static_cast<void>(watch_.release());
  static_cast<void>(timeline_.release());
}

}  // namespace bluefog::engine
