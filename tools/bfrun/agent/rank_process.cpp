#include "agent/rank_process.hpp"

#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/blocked_signals.hpp"
#include "base/unique_fd.hpp"

namespace bfrun {
namespace {

using bluefog::base::UniqueFd;

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

void pin_to(const std::vector<int>& cpus) {
  if (cpus.empty()) return;
  const auto words = static_cast<std::size_t>(cpus.back()) / CPU_SETSIZE + 1;
  std::vector<cpu_set_t> mask(words);
  const std::size_t bytes = words * sizeof(cpu_set_t);
  std::memset(mask.data(), 0, bytes);
  for (const int cpu : cpus) CPU_SET_S(static_cast<std::size_t>(cpu), bytes, mask.data());
  ::sched_setaffinity(0, bytes, mask.data());  // a CPU taken offline meanwhile is no reason to fail
}

// bfrun's own handling of signals must not reach the command, nor a SIGINT ignored because bfrun runs in
// background: Python would then ignore Ctrl-C, which bfrun forwards.
void reset_signals() {
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction current {};
    if (::sigaction(signal, nullptr, &current) != 0) continue;
    const bool ours = signal == SIGINT || signal == SIGTERM || signal == SIGPIPE;
    if (current.sa_handler != SIG_IGN || ours) ::signal(signal, SIG_DFL);
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

void place(int fd, int target) {
  if (fd != target) ::dup2(fd, target);
}

[[noreturn]] void become_rank(const RankStart& start, pid_t agent, char** arguments, char** environment,
                              int error_pipe) {
  ::setsid();
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != agent) ::_exit(127);  // it died before the line above
  reset_signals();
  pin_to(start.cpus);
  ::setrlimit(RLIMIT_NOFILE, &start.open_files);
  place(start.standard_input, STDIN_FILENO);
  place(start.standard_output, STDOUT_FILENO);
  place(start.standard_error, STDERR_FILENO);
  ::execvpe(arguments[0], arguments, environment);
  const int error = errno;
  (void)!::write(error_pipe, &error, sizeof(error));
  ::_exit(127);
}

}  // namespace

pid_t start_rank(const RankStart& start) {
  std::vector<std::string> arguments = start.command;
  std::vector<std::string> environment;
  environment.reserve(start.environment.size());
  for (const auto& [name, value] : start.environment) {
    environment.emplace_back(name).append("=").append(value);
  }
  const std::vector<char*> argument_pointers = pointers_to(arguments);
  const std::vector<char*> environment_pointers = pointers_to(environment);

  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const pid_t agent = ::getpid();
  pid_t child = -1;
  {
    const bluefog::base::BlockedSignals blocked;  // between fork and exec the child still has our handlers
    child = ::fork();
    if (child == 0) {
      become_rank(start, agent, const_cast<char**>(argument_pointers.data()),
                  const_cast<char**>(environment_pointers.data()), write_end.get());
    }
  }
  if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
  write_end.reset();

  int error = 0;  // exec closes the pipe without a word
  ssize_t length = -1;
  do {
    length = ::read(read_end.get(), &error, sizeof(error));
  } while (length < 0 && errno == EINTR);
  if (length != static_cast<ssize_t>(sizeof(error))) return child;
  ::waitpid(child, nullptr, 0);
  throw ExecError(error, std::generic_category());
}

std::string describe_signal(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return std::to_string(signal) + (name == nullptr ? "" : " (SIG" + std::string(name) + ")");
}

std::string describe_end(int wait_status) {
  if (WIFSIGNALED(wait_status)) return "was killed by signal " + describe_signal(WTERMSIG(wait_status));
  return "exited with code " + std::to_string(WEXITSTATUS(wait_status));
}

int exit_code_of(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

}  // namespace bfrun
