#include "multi/job.hpp"

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <utility>

#include <asio/buffer.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <fcntl.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "membership/rendezvous.hpp"

namespace bluefog::test {

namespace {

/// A job of processes that has not ended by then is killed, and the test fails.
constexpr auto longest_job = std::chrono::seconds(240);

std::string message_of_current_exception() {
  try {
    throw;
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

std::string failures_of(const ProcessBody& body, const Config& config) {
  std::string text;
  testing::TestPartResultArray results;
  {
    const testing::ScopedFakeTestPartResultReporter intercept(
        testing::ScopedFakeTestPartResultReporter::INTERCEPT_ALL_THREADS, &results);
    try {
      body(config);
    } catch (...) {
      text = message_of_current_exception() + "\n";
    }
  }
  for (int i = 0; i < results.size(); ++i) {
    const testing::TestPartResult& result = results.GetTestPartResult(i);
    if (result.failed()) text += std::string(result.message()) + "\n";
  }
  return text;
}

[[noreturn]] void be_rank(const ProcessBody& body, const Config& config, int report) {
  const std::string failures = failures_of(body, config);
  for (std::size_t sent = 0; sent < failures.size();) {
    const ssize_t written = ::write(report, failures.data() + sent, failures.size() - sent);
    if (written <= 0) break;
    sent += static_cast<std::size_t>(written);
  }
  std::exit(failures.empty() ? 0 : 1);  // not _exit: sanitizers report at exit
}

/// The parent's side of one rank.
struct Child {
  explicit Child(asio::io_context& io) : report(io) {}
  pid_t pid = -1;
  asio::posix::stream_descriptor report;
  std::array<char, 4096> buffer{};
  RankEnd end;
};

/// Collects what the children report; the rendezvous lives in the same event loop, so that this process stays
/// single-threaded.
class Parent {
 public:
  Parent(int size, const ProcessBody& body, Config config)
      : server_(
            std::make_unique<membership::RendezvousServer>(io_, membership::ServedJob::on_one_host(size))),
        deadline_(io_) {
    config.size = size;
    config.rendezvous = server_->address();
    std::fflush(nullptr);
    for (config.rank = 0; config.rank < size; ++config.rank) start(body, config);
  }

  std::vector<RankEnd> wait() {
    deadline_.expires_after(longest_job);
    deadline_.async_wait([this](const asio::error_code& error) {
      if (error) return;
      for (const auto& child : children_) {
        if (child->report.is_open()) child->end.failures += "killed: the job took too long\n";
        ::kill(child->pid, SIGKILL);  // not waited for yet, so the number is still its own
      }
    });
    for (const auto& child : children_) read(*child);
    io_.run();
    std::vector<RankEnd> ends;
    for (const auto& child : children_) {
      int status = 0;
      ::waitpid(child->pid, &status, 0);
      if (WIFEXITED(status)) child->end.exit_code = WEXITSTATUS(status);
      if (WIFSIGNALED(status)) child->end.signal = WTERMSIG(status);
      ends.push_back(std::move(child->end));
    }
    return ends;
  }

 private:
  void start(const ProcessBody& body, const Config& config) {
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) throw Error("no pipe for a rank");
    const pid_t pid = ::fork();
    if (pid < 0) throw Error("cannot fork a rank");
    if (pid == 0) be_rank(body, config, pipe[1]);
    ::close(pipe[1]);
    children_.push_back(std::make_unique<Child>(io_));
    children_.back()->pid = pid;
    children_.back()->report.assign(pipe[0]);
    ++open_;
  }

  void read(Child& child) {
    child.report.async_read_some(asio::buffer(child.buffer),
                                 [this, &child](const asio::error_code& error, std::size_t bytes) {
                                   child.end.failures.append(child.buffer.data(), bytes);
                                   if (!error) return read(child);
                                   child.report.close();
                                   if (--open_ > 0) return;
                                   deadline_.cancel();
                                   server_.reset();
                                 });
  }

  asio::io_context io_;
  std::unique_ptr<membership::RendezvousServer> server_;
  asio::steady_timer deadline_;
  std::vector<std::unique_ptr<Child>> children_;
  int open_ = 0;
};

void run_threads(int size, const Body& body, const Config& config) {
  auto contexts = Context::in_process(size, config);
  std::vector<std::string> failures(contexts.size());
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < contexts.size(); ++i) {
      threads.emplace_back([&, i] {
        try {
          body(contexts[i]);
        } catch (...) {
          failures[i] = message_of_current_exception();
        }
        contexts[i].shutdown();
      });
    }
  }
  for (std::size_t i = 0; i < failures.size(); ++i) EXPECT_EQ(failures[i], "") << "on rank " << i;
}

std::string message_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (...) {
    return message_of_current_exception();
  }
}

void run_simulation(Ranks ranks, int size, const Body& body, const Config& config) {
  Simulation simulation(simulated(ranks, size, config));
  const auto ends = simulation.run(body);
  for (std::size_t i = 0; i < ends.size(); ++i) {
    EXPECT_EQ(ends[i].how, Simulation::End::How::Returned)
        << "on rank " << i << (ends[i].error ? ": " + message_of(ends[i].error) : "");
  }
}

/// This process's part of the job. Where it stays behind, the others wait in vain, and fail too.
void run_launched(int size, const Body& body, const Config& config) {
  Config own = Config::from_environment();
  own.arena_size = config.arena_size;
  own.op_timeout = config.op_timeout;
  Context context(own);
  ASSERT_EQ(context.size(), size);
  body(context);
}

}  // namespace

std::ostream& operator<<(std::ostream& out, Ranks ranks) {
  constexpr const char* names[] = {"Threads",        "Processes",        "SimulatedHost",  "SimulatedPairs",
                                   "SimulatedHosts", "SimulatedUneven",  "TcpThreads",     "TcpPairs",
                                   "TcpProcesses",   "EncryptedThreads", "EncryptedPairs", "Launched"};
  return out << names[static_cast<int>(ranks)];
}

bool is_launched() {
  return std::getenv("BLUEFOG_RANK") != nullptr;
}

Config test_config() {
  Config config;
  config.arena_size = std::size_t{4} << 30;
  config.op_timeout = std::chrono::seconds(60);
  return config;
}

Config with_transport_of(Ranks ranks, int size, Config config) {
  if (ranks == Ranks::EncryptedThreads || ranks == Ranks::EncryptedPairs) config.encrypt = true;
  if (!is_simulated(ranks) && are_all_far(ranks)) config.transport = "tcp";
  if (ranks == Ranks::TcpPairs || ranks == Ranks::EncryptedPairs)
    config.nodes_per_machine = size % 2 == 0 ? 2 : 1;
  return config;
}

SimulationOptions simulated(Ranks ranks, int size, const Config& config) {
  SimulationOptions options;
  options.size = size;
  options.ranks_per_host = ranks == Ranks::SimulatedHost ? size : ranks == Ranks::SimulatedPairs ? 2 : 1;
  if (ranks == Ranks::SimulatedUneven) {
    for (int host = 0; static_cast<int>(options.hosts.size()) < size; ++host) {
      options.hosts.insert(options.hosts.end(), static_cast<std::size_t>(host + 1), host);
    }
    options.hosts.resize(static_cast<std::size_t>(size));
  }
  options.between_hosts = {std::chrono::microseconds(20), 1e9, std::chrono::microseconds(5)};
  options.inside_host = {std::chrono::microseconds(1), 1e10, {}};
  options.config = config;
  return options;
}

std::vector<RankEnd> run_processes(int size, const ProcessBody& body, const Config& config) {
  return Parent(size, body, config).wait();
}

void run_job(Ranks ranks, int size, const Body& body, const Config& config) {
  if (ranks == Ranks::Launched) return run_launched(size, body, config);
  if (is_simulated(ranks)) return run_simulation(ranks, size, body, config);
  if (!are_processes(ranks)) return run_threads(size, body, with_transport_of(ranks, size, config));
  const auto ends = run_processes(
      size,
      [&body](const Config& own) {
        Context context(own);
        body(context);
      },
      with_transport_of(ranks, size, config));
  for (std::size_t i = 0; i < ends.size(); ++i) {
    EXPECT_TRUE(ends[i].is_clean()) << "rank " << i << ": exit code " << ends[i].exit_code << ", signal "
                                    << ends[i].signal << "\n"
                                    << ends[i].failures;
  }
}

OperationOptions among(Group group) {
  OperationOptions options;
  options.group = std::move(group);
  return options;
}

bool is_told_in(const std::function<void()>& call) {
  try {
    call();
  } catch (const Mismatch&) {
    return true;
  }
  return false;
}

}  // namespace bluefog::test
