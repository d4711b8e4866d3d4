#include "agent.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/read.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "binding.hpp"
#include "descendants.hpp"
#include "environment.hpp"
#include "membership/rendezvous.hpp"
#include "output.hpp"
#include "rank_process.hpp"
#include "report.hpp"

namespace bfrun {
namespace {

using bluefog::base::UniqueFd;
using std::chrono::milliseconds;

// A job ends within a second of its first death: the ranks' time to end by themselves, then that of helpers
// which clean up when their rank is gone (Python's resource tracker, for instance), and some for the kernel.
constexpr milliseconds grace_after_death{500};
constexpr milliseconds grace_after_interrupt{600};
constexpr milliseconds linger_of_stopped_job{300};
constexpr milliseconds linger_of_finished_job{500};
// After Ctrl-C, tagged output that nobody reads is given up.
constexpr milliseconds patience_with_reader{300};
// Only a system call that no signal ends makes it last so long.
constexpr milliseconds patience_with_killed_processes{30'000};

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

// Orders come by the pipe, also those that began as a signal; ranks are not to inherit that signals are
// ignored.
void block_signals() {
  sigset_t blocked;
  sigemptyset(&blocked);
  for (const int signal : {SIGPIPE, SIGINT, SIGTERM, SIGHUP}) sigaddset(&blocked, signal);
  ::sigprocmask(SIG_BLOCK, &blocked, nullptr);
}

class Agent {
 public:
  Agent(const Options& options, bool foreground, UniqueFd orders)
      : options_(options),
        foreground_(foreground),
        orders_(io_, orders.release()),
        child_signal_(io_),
        timer_(io_),
        rendezvous_(std::make_unique<bluefog::membership::RendezvousServer>(io_, options.num_proc)) {
    if (options.tag_output) output_ = std::make_unique<TaggedOutput>(io_);
  }

  int run() {
    child_signal_.add(SIGCHLD);
    if (!start_ranks()) {
      end_everything();
      return exit_code_;
    }
    if (output_) {
      output_->start();
      output_runs_ = true;
    }
    wait_for_order();
    wait_for_child();
    reap();  // those that ended before the signal was waited for
    io_.run();
    return exit_code_;
  }

 private:
  enum class Phase {
    running,
    stopping,   ///< the ranks have been asked to end
    lingering,  ///< all ranks have ended, other processes of the job have not
    finishing,  ///< no process is left, output may be
  };

  bool start_ranks() {
    Environment environment =
        environment_of_job(options_, bluefog::base::current_environment(), rendezvous_->address());
    const std::vector<std::vector<int>> cpus = cpus_of_ranks(options_.bind_to, options_.num_proc);
    if (options_.verbose) report_settings(options_, environment, cpus);
    const rlimit open_files_of_ranks = raise_limit_of_open_files();
    const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    for (int rank = 0; rank < options_.num_proc; ++rank) {
      set_rank(environment, rank);
      UniqueFd output;
      UniqueFd error;
      try {
        if (output_) {
          output = output_->add_pipe(rank, STDOUT_FILENO);
          error = output_->add_pipe(rank, STDERR_FILENO);
        }
        const int input = rank == 0 && may_read_standard_input() ? STDIN_FILENO : null.get();
        const pid_t pid = start_rank({options_.command, environment, cpus[static_cast<std::size_t>(rank)],
                                      open_files_of_ranks, input, output_ ? output.get() : STDOUT_FILENO,
                                      output_ ? error.get() : STDERR_FILENO});
        ranks_.push_back({rank, pid, true});
      } catch (const ExecError& failure) {
        const bool missing = failure.code().value() == ENOENT || failure.code().value() == ENOTDIR;
        exit_code_ = missing ? exit_code_command_not_found : exit_code_command_not_executable;
        report("cannot run " + options_.command.front() + ": " + failure.code().message());
        return false;
      } catch (const std::system_error& failure) {
        exit_code_ = 1;
        report("cannot start rank " + std::to_string(rank) + " of " + std::to_string(options_.num_proc) +
               ": " + failure.what());
        return false;
      }
    }
    return true;
  }

  // A rank has a session of its own, so the kernel would let it read from the terminal even while bfrun is in
  // background; the shell would lose its input.
  [[nodiscard]] bool may_read_standard_input() const { return foreground_ || ::isatty(STDIN_FILENO) == 0; }

  void wait_for_order() {
    orders_.async_read_some(asio::buffer(&order_, 1), [this](const asio::error_code& error, std::size_t) {
      if (error == asio::error::operation_aborted) return;
      if (error) return on_death_of_bfrun();
      on_order(order_);
      wait_for_order();
    });
  }

  void on_order(int signal) {
    if (phase_ == Phase::finishing) ::_exit(128 + signal);  // whoever reads our output does not
    interrupted_ = true;
    if (phase_ != Phase::running) return end_everything_and_finish();
    exit_code_ = 128 + signal;
    report("received signal " + describe_signal(signal) + "; the job is stopped");
    stop(signal, grace_after_interrupt);
  }

  void on_death_of_bfrun() {
    end_everything();
    bfrun::report("bfrun has died; the job is ended");  // at once: no output waits any more
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
    // The job went on without its dead, and came to a good end.
    if (keeps_going() && phase_ == Phase::running && any_succeeded_) exit_code_ = 0;
    if (!any_child) return finish();
    if (phase_ != Phase::lingering) linger();
  }

  void on_end_of_rank(const Ending& ending) {
    if (phase_ != Phase::running) return;
    if (ending.status == 0) {
      any_succeeded_ = true;
      return;
    }
    const char* consequence = !keeps_going()     ? "; the job is stopped"
                              : any_rank_lives() ? "; the other ranks go on"
                                                 : "; no rank is left";
    report("rank " + std::to_string(ending.rank->number) + " (pid " + std::to_string(ending.rank->pid) +
           ") " + describe_end(ending.status) + consequence);
    if (exit_code_ == 0) exit_code_ = exit_code_of(ending.status);
    if (!keeps_going()) stop(SIGTERM, grace_after_death);
  }

  [[nodiscard]] bool keeps_going() const { return options_.on_rank_death == OnRankDeath::keep; }
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
      if (!stopped && left > 0)
        report("ending " + std::to_string(left) + " process(es) that outlived the ranks");
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
    if (!left.empty()) report("process " + std::to_string(left.front()) + " cannot be killed");
  }

  void end_everything_and_finish() {
    end_everything();
    finish();
  }

  void finish() {
    phase_ = Phase::finishing;
    timer_.cancel();
    rendezvous_.reset();
    if (output_) {
      output_->finish([this] { io_.stop(); });
      if (interrupted_) after(patience_with_reader, [this] { ::_exit(exit_code_); });
    } else {
      io_.stop();
    }
  }

  void report(const std::string& text) {
    if (output_runs_ && phase_ != Phase::finishing) {
      output_->write(STDERR_FILENO, report_line(text));
    } else {
      bfrun::report(text);
    }
  }

  const Options& options_;
  const bool foreground_;
  asio::io_context io_;
  asio::posix::stream_descriptor orders_;
  asio::signal_set child_signal_;
  asio::steady_timer timer_;
  std::unique_ptr<bluefog::membership::RendezvousServer> rendezvous_;
  std::unique_ptr<TaggedOutput> output_;
  bool output_runs_ = false;
  bool interrupted_ = false;
  bool any_succeeded_ = false;
  std::vector<Rank> ranks_;
  Phase phase_ = Phase::running;
  int exit_code_ = 0;
  unsigned char order_ = 0;
};

}  // namespace

int run_agent(const Options& options, bool foreground, UniqueFd orders) {
  ::prctl(PR_SET_NAME, "bfrun-agent");
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  block_signals();
  return Agent(options, foreground, std::move(orders)).run();
}

}  // namespace bfrun
