#include "membership/host_leader.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>

#include <bluefog/version.hpp>

#include "base/executor.hpp"
#include "membership/gatherer_doors.hpp"
#include "membership/gatherer_road.hpp"
#include "membership/guest_room.hpp"
#include "membership/job_gatherer.hpp"
#include "membership/muster_secrets.hpp"
#include "membership/rendezvous.hpp"
#include "membership/rendezvous_socket.hpp"
#include "transport/tcp/interfaces.hpp"

namespace bluefog::membership {
namespace {

constexpr auto time_to_wind_up = std::chrono::seconds(2);
constexpr auto pause_between_looks = std::chrono::milliseconds(2);

const char* const way_to_a_key =
    "make a key, (umask 077; head -c 32 /dev/urandom > FILE), copy it to all hosts, and set "
    "BLUEFOG_JOB_KEY_FILE "
    "to its path for all ranks";

}  // namespace

/// All but constructor and destructor happens on its thread.
class HostLeader::Impl final : public Upstream {
 public:
  Impl(const MusterCall& call, base::UniqueFd listener)
      : call_(call),
        guests_(io_, std::move(listener), call.size,
                {[this](int rank) { on_arrival(rank); }, [this](int rank) { report(RankWent{rank}); },
                 [this] { on_impatience(); }}) {
    asio::post(io_, [this] { begin(); });
    thread_ = executor_.spawn("bluefog-lead", [this] { io_.run(); });
  }
  ~Impl() override {
    asio::post(io_, [this] { spawn(wind_up()); });
    thread_.reset();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // What the rendezvous has to say to those of other hosts.
  void on_waiting(const Seat& seat) override { report(RankWaits{seat}); }
  void on_left(int rank, std::uint64_t ticket) override { report(RankLeft{rank, ticket}); }

 private:
  [[nodiscard]] bool may_have_other_hosts() const { return call_.key.is_set() && call_.point.has_value(); }

  void begin() {
    guests_.start();
    if (!may_have_other_hosts()) {
      gather();
      if (call_.point) spawn(look_for_rank_0());
    } else if (call_.rank != 0) {
      road_ = std::make_unique<GathererRoad>(
          io_, call_,
          GathererRoad::Callbacks{[this] { on_road_open(); }, [this](const HostOrder& order) { take(order); },
                                  [this] { on_road_end(); }});
      spawn(road_->travel());
    }
  }

  // --- this host gathers the job: it is that of rank 0, or the only one

  void gather() {
    if (road_) road_->stop();
    gatherer_ = std::make_unique<JobGatherer>(
        call_.size, random_number(), [this](int host, const HostOrder& order) { send(host, order); });
    own_host_ = gatherer_->add_host("this address");
    if (may_have_other_hosts()) {
      doors_ = std::make_unique<GathererDoors>(io_, call_, *gatherer_);
      spawn(open_doors());
    }
    introduce();
  }

  void send(int host, const HostOrder& order) {
    if (host == own_host_) return asio::post(io_, [this, order] { take(order); });
    if (doors_) doors_->send(host, order);
  }

  asio::awaitable<void> open_doors() {
    const std::string problem = co_await doors_->open();
    if (!problem.empty() && !placed_) guests_.turn_all_away(problem);
  }

  /// Without a key this host must be that of rank 0 too.
  asio::awaitable<void> look_for_rank_0() {
    std::string problem;
    MeetingPoint one_place = *call_.point;
    one_place.ports.last = one_place.ports.first;
    const auto places = co_await resolve(io_, one_place, problem);
    if (places.empty() || placed_ || std::ranges::any_of(places, transport::tcp::is_of_this_host)) co_return;
    guests_.turn_all_away("rank 0 is on another host, " + call_.point->host +
                          ", and ranks of several hosts meet only with a key: " + way_to_a_key);
  }

  // --- reports and orders

  void introduce() {
    report(Introduction{BLUEFOG_VERSION});
    for (const int rank : guests_.ranks()) report(RankCame{rank});
  }

  void report(const HostReport& what) {
    if (gatherer_) {
      asio::post(io_, [this, what] { gatherer_->take(own_host_, what); });
    } else if (road_) {
      road_->send(what);
    }
  }

  void on_arrival(int rank) {
    if (rank == 0 && !gatherer_) return gather();
    report(RankCame{rank});
  }

  void on_impatience() {
    if (gatherer_ || has_road_) return report(WhoIsMissing{});
    MissingRanks missing;
    const std::vector<int> here = guests_.ranks();
    for (int rank = 0; rank < call_.size; ++rank) {
      if (!std::ranges::binary_search(here, rank)) missing.ranks.push_back(rank);
    }
    guests_.tell_missing(missing, note());
  }

  void take(const HostOrder& order) {
    if (const auto* placed = std::get_if<Placed>(&order)) return place(*placed);
    if (const auto* turned_away = std::get_if<TurnedAway>(&order)) return turn_away(*turned_away);
    if (const auto* missing = std::get_if<StillMissing>(&order)) {
      return guests_.tell_missing(missing->missing, note());
    }
    if (!rendezvous_) return;
    if (const auto* generation = std::get_if<Generation>(&order)) rendezvous_->complete(*generation);
    if (const auto* confirmed = std::get_if<LeaveConfirmed>(&order)) {
      rendezvous_->confirm_leave(confirmed->rank, confirmed->ticket, confirmed->missing);
    }
  }

  void place(const Placed& placed) {
    if (placed_) return;
    placed_ = placed;
    const ServedJob job{placed.job, call_.key.is_set() ? rank_key(call_, placed.job) : base::JobKey::random(),
                        call_.size, placed.first_rank(), placed.ranks()};
    try {
      rendezvous_ = std::make_unique<RendezvousServer>(io_, job, this);
    } catch (const std::system_error& error) {
      return guests_.turn_all_away(error.what());
    }
    protocol::PlacedHere answer;
    for (std::size_t host = 0; host < placed.ranks_of_hosts.size(); ++host) {
      answer.ranks_of_hosts[host] = static_cast<std::uint16_t>(placed.ranks_of_hosts[host]);
    }
    protocol::write_text(answer.rendezvous, rendezvous_->address());
    if (placed.ranks_of_hosts.size() > 1) protocol::write_text(answer.listen, addresses());
    guests_.place(answer, placed.first_rank(), placed.ranks());
  }

  void turn_away(const TurnedAway& order) {
    if (order.rank >= 0) return guests_.turn_away(order.rank, order.why);
    if (!order.for_good) return road_->turn_back(order.why);
    guests_.turn_all_away(order.why);
    if (road_) road_->stop();
  }

  void on_road_open() {
    has_road_ = true;
    introduce();
  }

  void on_road_end() {
    has_road_ = false;
    if (!placed_) return;
    road_->stop();
    guests_.turn_all_away("the rank that led rank 0's host has ended, and so nobody can join again");
    spawn(close_rendezvous());
  }

  // Those that wait at it hear that it has vanished; those that have met need it no more.
  asio::awaitable<void> close_rendezvous() {
    co_await wait_until([this] { return rendezvous_->is_idle(); });
    rendezvous_.reset();
  }

  /// What a rank that waits in vain should know beside who is missing.
  [[nodiscard]] std::string note() const {
    if (placed_) return {};
    if (!call_.key.is_set()) {
      return std::string("Without a key only ranks of one host meet; over several hosts, ") + way_to_a_key;
    }
    if (!call_.point) {
      return "Only ranks of one host meet so; over several, set BLUEFOG_RENDEZVOUS=host:port for all ranks";
    }
    if (doors_ && doors_->refused() > 0) {
      return std::to_string(doors_->refused()) +
             " connections from elsewhere were refused: of another job, of another number of ranks, with "
             "another key, or of another version of BlueFog";
    }
    if (road_ && !road_->problems().empty()) {
      return "Rank 0's host has not been reached (" + road_->problems() +
             "). Who ends a connection is of another job, of another number of ranks, with another key, or "
             "of "
             "another version of BlueFog";
    }
    return {};
  }

  [[nodiscard]] std::string addresses() const {
    const std::string& preferred = doors_ ? doors_->reached_at() : road_->own_address();
    return transport::tcp::addresses_to_listen_at({}, preferred, most_endpoints);
  }

  // --- the end

  asio::awaitable<void> wind_up() {
    guests_.stop();
    if (road_ && !placed_) road_->stop();
    if (doors_) doors_->finish();
    co_await wait_until(
        [this] { return (!rendezvous_ || rendezvous_->is_idle()) && (!doors_ || doors_->is_empty()); });
    io_.stop();
  }

  /// Not for long.
  template <typename Condition>
  asio::awaitable<void> wait_until(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + time_to_wind_up;
    asio::steady_timer timer(io_);
    while (!condition() && std::chrono::steady_clock::now() < deadline) {
      asio::error_code ignored;
      timer.expires_after(pause_between_looks);
      co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
  }

  void spawn(asio::awaitable<void> body) { asio::co_spawn(io_, std::move(body), asio::detached); }

  const MusterCall call_;
  base::ThreadExecutor executor_;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard_{io_.get_executor()};
  GuestRoom guests_;
  std::unique_ptr<JobGatherer> gatherer_;  ///< on rank 0's host
  std::unique_ptr<GathererDoors> doors_;
  std::unique_ptr<GathererRoad> road_;  ///< elsewhere
  bool has_road_ = false;               ///< it is open
  int own_host_ = -1;
  std::optional<Placed> placed_;
  std::unique_ptr<RendezvousServer> rendezvous_;
  std::unique_ptr<base::Background> thread_;
};

HostLeader::HostLeader(const MusterCall& call, base::UniqueFd listener)
    : impl_(std::make_unique<Impl>(call, std::move(listener))) {}

HostLeader::~HostLeader() = default;

void HostLeader::abandon() noexcept {
  static_cast<void>(impl_.release());
}

}  // namespace bluefog::membership
