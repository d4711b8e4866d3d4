#include "launcher.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <set>
#include <string>
#include <system_error>
#include <utility>

#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.hpp"
#include "base/unique_fd.hpp"
#include "descendants.hpp"
#include "rank_process.hpp"
#include "report.hpp"

namespace bfrun {
namespace {

using bluefog::base::UniqueFd;

constexpr std::chrono::milliseconds patience_with_agent{2000};
constexpr std::chrono::milliseconds patience_with_killed_processes{30'000};

class Launcher {
 public:
  Launcher(pid_t agent, UniqueFd orders)
      : agent_(agent), orders_(std::move(orders)), signals_(io_), timer_(io_) {
    signals_.add(SIGINT);
    signals_.add(SIGTERM);
    signals_.add(SIGCHLD);
    if (!is_ignored(SIGHUP)) signals_.add(SIGHUP);  // nohup bfrun ...
  }

  /// Until the agent has ended; returns its wait status.
  int run() {
    wait_for_signal();
    if (!agent_has_ended()) io_.run();
    return status_;
  }

 private:
  static bool is_ignored(int signal) {
    struct sigaction current {};
    return ::sigaction(signal, nullptr, &current) == 0 && current.sa_handler == SIG_IGN;
  }

  void wait_for_signal() {
    signals_.async_wait([this](const asio::error_code& error, int signal) {
      if (error) return;
      if (signal != SIGCHLD) {
        pass_on(signal);
      } else if (agent_has_ended()) {
        return io_.stop();
      }
      wait_for_signal();
    });
  }

  void pass_on(int signal) {
    const auto order = static_cast<unsigned char>(signal);
    (void)!::write(orders_.get(), &order, 1);  // fails only if the agent is dead, which SIGCHLD tells
    if (!std::exchange(stopping_, true)) return;
    // Asked twice: the agent ends everything at once, unless it is stuck itself.
    timer_.expires_after(patience_with_agent);
    timer_.async_wait([this](const asio::error_code& error) {
      if (!error) ::kill(agent_, SIGKILL);
    });
  }

  bool agent_has_ended() { return ::waitpid(agent_, &status_, WNOHANG) == agent_; }

  asio::io_context io_;
  pid_t agent_;
  UniqueFd orders_;
  asio::signal_set signals_;
  asio::steady_timer timer_;
  bool stopping_ = false;
  int status_ = 0;
};

}  // namespace

int launch(const Options& options) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  // A shell that replaces itself by bfrun leaves it children that are none of the job, `bfrun > >(tee log)`.
  const std::vector<pid_t> before = descendants();
  const bool foreground = ::tcgetpgrp(STDIN_FILENO) == ::getpgrp();

  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const pid_t agent = ::fork();
  if (agent < 0) throw std::system_error(errno, std::generic_category(), "cannot start the agent");
  if (agent == 0) {
    write_end.reset();
    ::setsid();
    return run_agent(options, foreground, std::move(read_end));
  }
  read_end.reset();
  ::signal(SIGPIPE, SIG_IGN);

  const int status = Launcher(agent, std::move(write_end)).run();
  if (WIFSIGNALED(status)) {
    report("its agent (pid " + std::to_string(agent) + ") " + describe_end(status) + "; the job is stopped");
  }
  end_descendants({before.begin(), before.end()}, patience_with_killed_processes);
  return exit_code_of(status);
}

}  // namespace bfrun
