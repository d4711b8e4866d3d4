#include "agent/agent.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/binding.hpp"
#include "agent/descendants.hpp"
#include "agent/environment.hpp"
#include "agent/rank_output.hpp"
#include "agent/rank_process.hpp"
#include "agent/upstream.hpp"
#include "exit_codes.hpp"
#include "membership/rendezvous.hpp"
#include "report.hpp"
#include "times.hpp"

namespace bfrun {
namespace {

using bluefog::base::UniqueFd;
using std::chrono::milliseconds;

struct Rank {
  int number = 0;
  pid_t pid = 0;
  bool alive = false;
};

struct Ending {
  Rank* rank;
  int status;
};

// Each rank takes up to seven descriptors here; what was allowed before is for the ranks.
rlimit raise_limit_of_open_files() {
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const rlimit most{before.rlim_max, before.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &most);
  return before;
}

}  // namespace

class Agent::Impl : public bluefog::membership::Upstream {
 public:
  Impl(JobDescription job, UniqueFd orders, UniqueFd upstream)
      : job_(std::move(job)),
        orders_(io_, orders.release()),
        child_signal_(io_),
        timer_(io_),
        life_timer_(io_),
        rendezvous_(make_rendezvous()),
        upstream_(std::move(upstream)),
        output_(io_, upstream_, job_.tag_output) {}

  void run() {
    child_signal_.add(SIGCHLD);
    const bool started = start_ranks();
    upstream_.start();
    if (started) {
      output_.start();
      if (job_.sign_of_life_ms > 0) give_signs_of_life();
      wait_for_order();
      wait_for_child();
      reap();  // those that ended before the signal was waited for
    } else {
      end_everything_and_finish();
    }
    io_.run();
  }

 private:
  enum class Phase {
    running,
    stopping,   ///< the ranks have been asked to end
    lingering,  ///< all ranks have ended, other processes of the job have not
    finishing,  ///< no process is left, output may be
  };

  std::unique_ptr<bluefog::membership::RendezvousServer> make_rendezvous() {
    return std::make_unique<bluefog::membership::RendezvousServer>(
        io_, bluefog::membership::ServedJob{job_.job_id, job_.key, job_.size, job_.first_rank, job_.ranks},
        job_.hosts.size() > 1 ? this : nullptr);
  }

  // What the rendezvous has to say to those of other hosts.
  void on_waiting(const bluefog::membership::Seat& seat) override { upstream_.send(RankWaits{seat}); }
  void on_left(int rank, std::uint64_t ticket) override { upstream_.send(RankLeft{rank, ticket}); }

  bool start_ranks() {
    Environment environment =
        environment_of_host(job_, bluefog::base::current_environment(), rendezvous_->address());
    const std::vector<std::vector<int>> cpus = cpus_of_ranks(job_.bind_to, job_.ranks);
    if (job_.verbose) {
      for (const std::string& line : describe_settings(job_, environment, cpus)) upstream_.send(Note{line});
    }
    const rlimit open_files_of_ranks = raise_limit_of_open_files();
    const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    for (int local_rank = 0; local_rank < job_.ranks; ++local_rank) {
      const int rank = job_.first_rank + local_rank;
      set_rank(environment, rank, local_rank);
      UniqueFd output;
      UniqueFd error;
      try {
        if (job_.collect_output) {
          output = output_.add_pipe(rank, STDOUT_FILENO);
          error = output_.add_pipe(rank, STDERR_FILENO);
        }
        const pid_t pid =
            start_rank({job_.command, environment, cpus[static_cast<std::size_t>(local_rank)],
                        open_files_of_ranks, rank == 0 && job_.standard_input ? STDIN_FILENO : null.get(),
                        job_.collect_output ? output.get() : STDOUT_FILENO,
                        job_.collect_output ? error.get() : STDERR_FILENO});
        ranks_.push_back({rank, pid, true});
      } catch (const ExecError& failure) {
        const bool missing = failure.code().value() == ENOENT || failure.code().value() == ENOTDIR;
        upstream_.send(StartFailed{missing ? exit_code_command_not_found : exit_code_command_not_executable,
                                   "cannot run " + job_.command.front() + ": " + failure.code().message()});
        return false;
      } catch (const std::system_error& failure) {
        upstream_.send(StartFailed{1, "cannot start rank " + std::to_string(rank) + " of " +
                                          std::to_string(job_.size) + ": " + failure.what()});
        return false;
      }
    }
    return true;
  }

  void give_signs_of_life() {
    upstream_.send_sign_of_life();
    life_timer_.expires_after(milliseconds(job_.sign_of_life_ms));
    life_timer_.async_wait([this](const asio::error_code& error) {
      if (!error) give_signs_of_life();
    });
  }

  void wait_for_order() {
    orders_.async_read_some(asio::buffer(orders_buffer_),
                            [this](const asio::error_code& error, std::size_t length) {
                              if (error) return on_death_of_bfrun();
                              order_parser_.take({orders_buffer_.data(), length});
                              while (const auto order = order_parser_.next()) {
                                if (const auto* byte = std::get_if<unsigned char>(&*order)) on_order(*byte);
                                if (const auto* message = std::get_if<RosterOrder>(&*order))
                                  on_roster_order(*message);
                              }
                              wait_for_order();
                            });
  }

  void on_roster_order(const RosterOrder& order) {
    if (!rendezvous_) return;
    if (const auto* generation = std::get_if<GenerationComplete>(&order)) rendezvous_->complete(*generation);
    if (const auto* confirmed = std::get_if<LeaveConfirmed>(&order)) {
      rendezvous_->confirm_leave(confirmed->rank, confirmed->ticket, confirmed->missing);
    }
    if (const auto* lost = std::get_if<RankLost>(&order)) rendezvous_->tell_loss(lost->rank, lost->why);
  }

  void on_order(unsigned char order) {
    if (order == order_more_output) {
      upstream_.grant(bytes_per_order_of_output);
      if (upstream_.has_room()) output_.resume();
    } else if (order > order_closed) {
      output_.close(order - order_closed);
    } else if (phase_ == Phase::finishing) {
      return;
    } else if (order == order_end_now || phase_ == Phase::lingering) {
      end_everything_and_finish();
    } else if (phase_ == Phase::running) {
      stop(order, grace_after_order);
    }
  }

  void on_death_of_bfrun() {
    end_everything();
    report("bfrun has died; the job is ended");
    ::_exit(128 + SIGKILL);
  }

  void wait_for_child() {
    child_signal_.async_wait([this](const asio::error_code& error, int) {
      if (error) return;
      wait_for_child();
      reap();
    });
  }

  // Every child that has ended; a rank's own group is told while the rank's number cannot belong to another.
  void reap() {
    if (phase_ == Phase::finishing) return;
    std::vector<Ending> endings;
    bool any_child = true;
    while (true) {
      siginfo_t info{};
      any_child = ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
      if (!any_child || info.si_pid == 0) break;
      const auto rank = std::find_if(ranks_.begin(), ranks_.end(), [&](const Rank& other) {
        return other.alive && other.pid == info.si_pid;
      });
      const bool failed = info.si_code != CLD_EXITED || info.si_status != 0;
      if (rank != ranks_.end() && failed) ::kill(-rank->pid, SIGTERM);
      int status = 0;
      ::waitpid(info.si_pid, &status, 0);
      if (rank == ranks_.end()) continue;
      rank->alive = false;
      endings.push_back({&*rank, status});
    }
    // The cause before its consequences: peers of a killed rank soon exit with errors of their own.
    std::stable_partition(endings.begin(), endings.end(),
                          [](const Ending& end) { return WIFSIGNALED(end.status); });
    for (const Ending& ending : endings) on_end_of_rank(ending);
    if (any_rank_lives()) return;
    if (!any_child) return finish();
    if (phase_ != Phase::lingering) linger();
  }

  void on_end_of_rank(const Ending& ending) {
    upstream_.send(RankEnded{ending.rank->number, ending.rank->pid, ending.status});
    // bfrun would order the same, but a moment later.
    const bool stops = ending.status != 0 && job_.on_rank_death == OnRankDeath::stop;
    if (stops && phase_ == Phase::running) stop(SIGTERM, grace_after_death);
  }

  [[nodiscard]] bool any_rank_lives() const {
    return std::any_of(ranks_.begin(), ranks_.end(), [](const Rank& rank) { return rank.alive; });
  }

  void stop(int signal, milliseconds grace) {
    phase_ = Phase::stopping;
    for (const Rank& rank : ranks_) {
      if (rank.alive) ::kill(-rank.pid, signal);  // the group, as a terminal does it
    }
    after(grace, [this] {
      for (const Rank& rank : ranks_) {
        if (rank.alive) ::kill(rank.pid, SIGKILL);
      }
    });
  }

  void linger() {
    const bool stopped = phase_ == Phase::stopping;
    phase_ = Phase::lingering;
    after(stopped ? linger_of_stopped_job : linger_of_finished_job, [this, stopped] {
      const std::size_t left = descendants().size();
      if (!stopped && left > 0) {
        upstream_.send(Note{"ending " + std::to_string(left) + " process(es) that outlived the ranks"});
      }
      end_everything_and_finish();
    });
  }

  template <typename Action>
  void after(milliseconds delay, Action action) {
    timer_.expires_after(delay);
    timer_.async_wait([action](const asio::error_code& error) {
      if (!error) action();
    });
  }

  void end_everything() {
    const std::vector<pid_t> left = end_descendants({}, patience_with_killed_processes);
    for (Rank& rank : ranks_) rank.alive = false;
    if (!left.empty()) {
      upstream_.send(Note{"process " + std::to_string(left.front()) + " cannot be killed"});
    }
  }

  void end_everything_and_finish() {
    end_everything();
    finish();
  }

  void finish() {
    phase_ = Phase::finishing;
    timer_.cancel();
    life_timer_.cancel();
    rendezvous_.reset();
    output_.finish();
    upstream_.send(HostFinished{});
    upstream_.finish([this] { asio::post(io_, [this] { io_.stop(); }); });
  }

  const JobDescription job_;
  asio::io_context io_;
  asio::posix::stream_descriptor orders_;
  asio::signal_set child_signal_;
  asio::steady_timer timer_;
  asio::steady_timer life_timer_;
  std::unique_ptr<bluefog::membership::RendezvousServer> rendezvous_;
  bfrun::Upstream upstream_;
  RankOutput output_;
  std::vector<Rank> ranks_;
  Phase phase_ = Phase::running;
  std::array<char, 65536> orders_buffer_{};
  OrderParser order_parser_{job_.size};
};

Agent::Agent(JobDescription job, UniqueFd orders, UniqueFd upstream)
    : impl_(std::make_unique<Impl>(std::move(job), std::move(orders), std::move(upstream))) {}

Agent::~Agent() = default;

void Agent::run() {
  impl_->run();
}

}  // namespace bfrun
