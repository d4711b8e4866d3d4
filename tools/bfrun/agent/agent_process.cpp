#include "agent/agent_process.hpp"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "addresses.hpp"
#include "agent/agent.hpp"
#include "agent/descendants.hpp"
#include "agent/rank_process.hpp"
#include "exit_codes.hpp"
#include "messages/events.hpp"
#include "report.hpp"
#include "times.hpp"

namespace bfrun {
namespace {

using bluefog::base::UniqueFd;

// Orders come by their stream, also those that began as a signal; ranks are not to inherit that signals are
// ignored.
void block_signals() {
  sigset_t blocked;
  sigemptyset(&blocked);
  for (const int signal : {SIGPIPE, SIGINT, SIGTERM, SIGHUP}) sigaddset(&blocked, signal);
  ::sigprocmask(SIG_BLOCK, &blocked, nullptr);
}

void write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // nobody reads: the orders will end too
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

// The agent's own variables too, for the PATH by which a command is found is the agent's.
void take_over(const JobDescription& job) {
  for (const auto& [name, value] : job.environment) ::setenv(name.c_str(), value.c_str(), 1);
  if (!job.directory.empty() && ::chdir(job.directory.c_str()) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot enter the directory " + job.directory);
  }
}

// Passes orders on until the agent has ended; the end of the input becomes the end of the orders.
void pass_on_orders(UniqueFd& orders, pid_t agent) {
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, agent, 0)));
  if (!pidfd.valid()) throw std::system_error(errno, std::generic_category(), "pidfd_open");
  std::array<char, 65536> buffer{};
  while (true) {
    std::array<pollfd, 2> entries{
        {{pidfd.get(), POLLIN, 0}, {orders.valid() ? STDIN_FILENO : -1, POLLIN, 0}}};
    if (::poll(entries.data(), entries.size(), -1) < 0) continue;
    if (entries[0].revents != 0) return;
    if (entries[1].revents == 0) continue;
    const ssize_t length = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (length > 0) {
      write_all(orders.get(), {buffer.data(), static_cast<std::size_t>(length)});
    } else if (length == 0 || (errno != EINTR && errno != EAGAIN)) {
      orders.reset();
    }
  }
}

}  // namespace

void run_agent(UniqueFd orders, UniqueFd upstream) {
  ::prctl(PR_SET_NAME, "bfrun-agent");
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::setsid();
  block_signals();
  try {
    write_all(upstream.get(), std::string(mark_of_agent) + encode_event(greeting_of_this_host()));
    JobDescription job = read_job_description(orders.get());
    take_over(job);
    Agent(std::move(job), std::move(orders), UniqueFd(::fcntl(upstream.get(), F_DUPFD_CLOEXEC, 0))).run();
  } catch (const EndOfOrders&) {
    return;
  } catch (const std::exception& error) {
    write_all(upstream.get(), encode_event(StartFailed{exit_code_of_failures, error.what()}));
  }
}

int serve_bfrun_of_another_host() {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const pid_t agent = ::fork();
  if (agent < 0) throw std::system_error(errno, std::generic_category(), "cannot start the agent");
  if (agent == 0) {
    write_end.reset();
    UniqueFd upstream(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
    const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    ::dup2(null.get(), STDIN_FILENO);
    ::dup2(STDERR_FILENO, STDOUT_FILENO);  // nothing may stray into the frames
    run_agent(std::move(read_end), std::move(upstream));
    return 0;
  }
  read_end.reset();
  ::signal(SIGPIPE, SIG_IGN);
  pass_on_orders(write_end, agent);

  int status = 0;
  ::waitpid(agent, &status, 0);
  if (WIFSIGNALED(status)) report("the agent " + describe_end(status));
  end_descendants({}, patience_with_killed_processes);
  return exit_code_of(status);
}

}  // namespace bfrun
