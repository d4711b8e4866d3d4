// Ranks that are killed at random instants while they mix. Prints how long the others take to go on.
//
//   KILL_STORM=1000 kill_storm_test      so many kills for each way of mixing, instead of a few

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <new>
#include <ostream>
#include <random>
#include <span>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>

#include <bluefog/error.hpp>

#include "multi/job.hpp"

namespace bluefog::test {
namespace {

constexpr int most_ranks = 5;
constexpr int steps = 2000;  ///< more than any job comes to
constexpr std::size_t elements = 600'000;
constexpr int kills_by_default = 24;
constexpr auto latest_kill = std::chrono::milliseconds(15);

enum class Path { Slices, Ring };
std::ostream& operator<<(std::ostream& out, Path path) {
  return out << (path == Path::Slices ? "Slices" : "Ring");
}

std::int64_t now() {
  return std::chrono::steady_clock::now().time_since_epoch().count();
}

/// What a rank does between two mixings, so that the ranks never agree and every mixing changes every
/// element.
void step(std::span<float> x, int rank, int number) {
  const float change = static_cast<float>((rank + 1) * (number % 7 + 1));
  for (float& element : x) element += change;
}

NeighborAllreduceOptions meeting(int size) {
  NeighborAllreduceOptions options;
  options.schedule = static_schedule(exponential_two_graph(size));
  options.meet = true;
  return options;
}

/// The value of all elements of a rank before and after each mixing. All ways of mixing give the same bits,
/// so a job of one element each tells.
struct Course {
  std::vector<float> before;
  std::vector<float> after;
};
std::vector<Course> undisturbed(int size) {
  std::vector<Course> courses(static_cast<std::size_t>(size));
  run_job(Ranks::SimulatedHost, size, [&](Context& context) {
    Course& course = courses[static_cast<std::size_t>(context.rank())];
    std::vector<float> x{static_cast<float>(context.rank())};
    for (int number = 0; number < steps; ++number) {
      step(x, context.rank(), number);
      course.before.push_back(x[0]);
      context.neighbor_allreduce(std::span<const float>(x), std::span(x), meeting(size));
      course.after.push_back(x[0]);
    }
  });
  return courses;
}

/// Seen by all processes of a job.
struct Times {
  std::array<std::atomic<std::int64_t>, most_ranks> killed{};
  std::array<std::atomic<std::int64_t>, most_ranks> went_on{};
};
class SharedTimes {
 public:
  SharedTimes()
      : times_(new (::mmap(nullptr, sizeof(Times), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
                   Times) {}
  SharedTimes(const SharedTimes&) = delete;
  SharedTimes& operator=(const SharedTimes&) = delete;
  ~SharedTimes() { ::munmap(times_, sizeof(Times)); }
  Times& operator*() const { return *times_; }
  Times* operator->() const { return times_; }

 private:
  Times* times_;
};

struct Job {
  Path path;
  int size;
  std::vector<int> victims;
  std::vector<std::chrono::microseconds> instants;  ///< of their deaths, after the start
};

Job random_job(Path path, std::mt19937_64& random) {
  const auto pick = [&random](std::int64_t first, std::int64_t last) {
    return std::uniform_int_distribution<std::int64_t>(first, last)(random);
  };
  Job job{path, static_cast<int>(pick(2, most_ranks)), {}, {}};
  job.victims.push_back(static_cast<int>(pick(0, job.size - 1)));
  job.instants.emplace_back(pick(0, std::chrono::microseconds(latest_kill).count()));
  if (job.size > 2 && pick(0, 1) == 0) {  // another one, while the first one's slice is being finished, say
    job.victims.push_back((job.victims[0] + static_cast<int>(pick(1, job.size - 1))) % job.size);
    job.instants.push_back(job.instants[0] + std::chrono::microseconds(pick(0, 2000)));
  }
  return job;
}

void expect_all(std::span<const float> x, float value, int number) {
  const auto different =
      std::find_if(x.begin(), x.end(), [value](float element) { return element != value; });
  if (different == x.end()) return;
  ADD_FAILURE() << "torn before mixing " << number << ": element " << different - x.begin() << " is "
                << *different << " and not " << value;
}

/// One rank: mixes until another is lost, checks every element, and goes on with the other survivors.
void survive(Context& context, const Job& job, const Course& right, Times& times) {
  const auto rank = static_cast<std::size_t>(context.rank());
  std::vector<float> own(job.path == Path::Ring ? elements : 0);
  auto shared = context.make_shared<float>(job.path == Path::Slices ? elements : 1);
  const std::span<float> x = job.path == Path::Ring ? std::span(own) : shared.span();
  std::fill(x.begin(), x.end(), static_cast<float>(context.rank()));
  context.barrier();

  const auto victim = std::find(job.victims.begin(), job.victims.end(), context.rank());
  std::jthread death;
  if (victim != job.victims.end()) {
    death = std::jthread([&, instant = job.instants[static_cast<std::size_t>(victim - job.victims.begin())]] {
      std::this_thread::sleep_for(instant);
      times.killed[rank] = now();
      ::raise(SIGKILL);
    });
  }
  std::size_t number = 0;
  try {
    for (; number < steps; ++number) {
      step(x, context.rank(), static_cast<int>(number));
      context.neighbor_allreduce(std::span<const float>(x), x, meeting(job.size));
    }
    while (true) context.barrier();  // until the deaths come, however late
  } catch (const PeerLost& error) {
    EXPECT_NE(std::find(job.victims.begin(), job.victims.end(), error.peer()), job.victims.end())
        << error.what();
  }
  expect_all(x, number < steps ? right.before[number] : right.after.back(), static_cast<int>(number));
  if (victim != job.victims.end()) return;  // its own death is still to come
  OperationOptions survivors;
  for (int other = 0; other < job.size; ++other) {
    if (std::find(job.victims.begin(), job.victims.end(), other) == job.victims.end())
      survivors.group.push_back(other);
  }
  context.barrier(survivors);
  times.went_on[rank] = now();
}

class KillStorm : public testing::TestWithParam<Path> {};

TEST_P(KillStorm, TearsNothingAndTheSurvivorsGoOn) {
  const char* wish = std::getenv("KILL_STORM");
  const int kills = wish != nullptr ? std::atoi(wish) : kills_by_default;
  const std::uint64_t seed = wish != nullptr ? std::random_device()() : 1;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  std::vector<std::vector<Course>> right(most_ranks + 1);
  for (int size = 2; size <= most_ranks; ++size) right[static_cast<std::size_t>(size)] = undisturbed(size);

  std::vector<double> waits;
  int killed = 0;
  while (killed < kills && !HasFailure()) {
    const Job job = random_job(GetParam(), random);
    const SharedTimes times;
    const auto ends = run_processes(job.size, [&](const Config& config) {
      Context context(config);
      survive(context, job, right[static_cast<std::size_t>(job.size)][static_cast<std::size_t>(config.rank)],
              *times);
    });
    std::int64_t first = std::numeric_limits<std::int64_t>::max();
    for (const int victim : job.victims) {
      EXPECT_EQ(ends[static_cast<std::size_t>(victim)].signal, SIGKILL) << "the fault did not happen";
      first = std::min(first, times->killed[static_cast<std::size_t>(victim)].load());
      ++killed;
    }
    for (std::size_t rank = 0; rank < ends.size(); ++rank) {
      EXPECT_EQ(ends[rank].failures, "") << "on rank " << rank << " of " << job.size;
      if (const std::int64_t went_on = times->went_on[rank]; went_on > 0)
        waits.push_back(static_cast<double>(went_on - first) / 1e6);
    }
  }
  ASSERT_FALSE(waits.empty());
  std::sort(waits.begin(), waits.end());
  const auto percentile = [&](double part) {
    return waits[static_cast<std::size_t>(part * static_cast<double>(waits.size() - 1))];
  };
  std::printf("%d kills, %zu survivors went on after: p50 %.1f ms, p99 %.1f ms, most %.1f ms\n", killed,
              waits.size(), percentile(0.5), percentile(0.99), waits.back());
}

INSTANTIATE_TEST_SUITE_P(Paths, KillStorm, testing::Values(Path::Slices, Path::Ring),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace bluefog::test
