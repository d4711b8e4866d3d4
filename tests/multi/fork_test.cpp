// Processes that a rank forks: they are no ranks, and disturb nobody.

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bluefog/error.hpp>

#include "multi/descriptors.hpp"
#include "multi/job.hpp"
#include "quiet_fork.hpp"

namespace {

bool is_forked_child = false;

}  // namespace

/// Asked by LeakSanitizer at exit. What threads of the parent hold looks leaked in a child, which has not got
/// these threads.
extern "C" __attribute__((visibility("default"))) int __lsan_is_turned_off() {
  return is_forked_child ? 1 : 0;
}

namespace bluefog::test {
namespace {

/// What `body` says in a forked child; "" if all is as it should be.
std::string said_by_child(const std::function<std::string()>& body) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return "no pipe";
  std::fflush(stdout);
  const pid_t child = quiet_fork();
  if (child == 0) {
    is_forked_child = true;
    std::string text;
    try {
      text = body();
    } catch (const std::exception& error) {
      text = error.what();
    }
    [[maybe_unused]] const ssize_t written = ::write(pipe[1], text.data(), text.size());
    std::exit(0);  // not _exit: what the child was told to end with must do no harm
  }
  ::close(pipe[1]);
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t bytes = 0; (bytes = ::read(pipe[0], buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<std::size_t>(bytes));
  }
  ::close(pipe[0]);
  int status = -1;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? text : text + " (the child has crashed)";
}

template <class E>
std::string unless_thrown(const std::string& part, const std::function<void()>& call) {
  try {
    call();
  } catch (const E& error) {
    const std::string text = error.what();
    return text.find(part) != std::string::npos ? "" : "\"" + part + "\" is not in: " + text + "\n";
  } catch (const std::exception& error) {
    return std::string("another kind of error: ") + error.what() + "\n";
  }
  return "no error with \"" + part + "\"\n";
}

void expect_clean(const std::vector<RankEnd>& ends) {
  for (const RankEnd& end : ends) EXPECT_TRUE(end.is_clean()) << end.signal << end.failures;
}

TEST(Fork, TheChildHoldsNoDescriptorOfTheRank) {
  expect_clean(run_processes(2, [](const Config& config) {
    const std::set<std::string> before = open_descriptors();
    Context context(config);
    context.barrier();
    std::vector<std::string> of_rank;
    const std::set<std::string> now = open_descriptors();
    std::set_difference(now.begin(), now.end(), before.begin(), before.end(), std::back_inserter(of_rank));
    EXPECT_GE(of_rank.size(), 4U) << "two arenas, a pidfd, a socket";
    EXPECT_EQ(said_by_child([&] {
                const std::set<std::string> held = open_descriptors();
                std::string text;
                for (const std::string& name : of_rank) {
                  if (held.count(name) > 0) text += name + "\n";
                }
                return text;
              }),
              "");
    context.barrier();
  }));
}

TEST(Fork, TheChildIsNoRank) {
  expect_clean(run_processes(2, [](const Config& config) {
    Context context(config);
    OperationOptions named;
    named.name = "in flight";
    Handle handle = context.rank() == 0 ? context.barrier_async(named) : Handle();
    Config without_threads = config;  // ThreadSanitizer ends a forked child that starts one
    without_threads.report_on_sigusr1 = false;
    const std::string text = said_by_child([&] {
      std::string wrong;
      if (!context.is_shut_down()) wrong += "the Context seems alive\n";
      wrong += unless_thrown<Shutdown>("forked from rank", [&] { context.barrier(); });
      wrong += unless_thrown<Shutdown>("forked from rank", [&] { (void)context.allocate_shared(100); });
      wrong += unless_thrown<InvalidArgument>("alive", [&] { const Context another(without_threads); });
      if (handle.valid()) {
        wrong += unless_thrown<Shutdown>("forked from rank", [&] { handle.wait(); });
        handle.cancel();
      }
      context.shutdown();
      const Context gone = std::move(context);
      return wrong;
    });
    EXPECT_EQ(text, "");
    context.barrier();  // rank 0 has forked: before, rank 1 must not end what is in flight there
    context.rank() == 0 ? handle.wait() : context.barrier(named);
    context.barrier();
  }));
}

TEST(Fork, WritesOfTheChildStayWithIt) {
  expect_clean(run_processes(2, [](const Config& config) {
    Context context(config);
    constexpr std::size_t count = 100'000;  // mixed by slices: the peer's arena is mapped too
    auto x = context.make_shared<float>(count);
    std::fill(x.begin(), x.end(), static_cast<float>(context.rank()));
    NeighborAllreduceOptions meeting;
    meeting.meet = true;
    context.neighbor_allreduce(x.span(), x.span(), meeting);
    const std::string text = said_by_child([&] {
      std::fill(x.begin(), x.end(), 9.0F);
      // A child of the child has what that has written.
      return said_by_child([&] { return x[0] == 9.0F && x[count - 1] == 9.0F ? "" : "a write is lost"; });
    });
    EXPECT_EQ(text, "");
    EXPECT_EQ(std::vector<float>(x.begin(), x.end()), std::vector<float>(count, 0.5F));
    context.barrier();
    context.neighbor_allreduce(x.span(), x.span(), meeting);
    EXPECT_EQ(x[count - 1], 0.5F);
  }));
}

TEST(Fork, SharedMemoryMayBeFreedInTheChild) {
  expect_clean(run_processes(1, [](const Config& config) {
    Context context(config);
    auto x = context.make_shared<int>(1000);
    x[999] = 42;
    EXPECT_EQ(said_by_child([&] {
                x = {};
                return "";
              }),
              "");
    EXPECT_EQ(x[999], 42);
    auto y = context.make_shared<int>(1000);
    EXPECT_NE(y.data(), x.data());
  }));
}

TEST(Fork, TheTimelineOfTheRankIsWrittenByTheRankAlone) {
  const std::string prefix = testing::TempDir() + "bluefog_fork_timeline_" + std::to_string(::getpid()) + "_";
  Config config = test_config();
  config.timeline = prefix;
  expect_clean(run_processes(
      1,
      [](const Config& own) {
        Context context(own);
        context.timeline_start_activity("row", "of the parent");
        EXPECT_EQ(said_by_child([&] {
                    const bool recorded = context.timeline_start_activity("row", "of the child");
                    return recorded ? "the child writes" : "";
                  }),
                  "");
        EXPECT_TRUE(context.timeline_end_activity("row"));
      },
      config));
  std::ifstream file(prefix + "0.json");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::size_t first = text.find("of the parent");
  EXPECT_NE(first, std::string::npos) << text;
  EXPECT_EQ(first, text.rfind("of the parent")) << "written twice: " << text;
  EXPECT_EQ(text.find("of the child"), std::string::npos) << text;
  std::filesystem::remove(prefix + "0.json");
}

}  // namespace
}  // namespace bluefog::test
