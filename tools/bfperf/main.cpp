// bfperf: times neighbor_allreduce, every path beside a local average of private buffers, and the operations
// on windows beside a copy, in the same run, interleaved.
//
//   bfrun -np 4 bfperf --topology exp2 --bytes 16777216
//   bfrun -np 2 bfperf --topology one-peer --latency
//   bfrun -np 4 bfperf --idle 10
//   bfrun -np 2 bfperf --windows --bytes 1048576

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>
#include <unistd.h>

#include "figures.hpp"
#include "variants.hpp"
#include "windows.hpp"

namespace bluefog::perf {

namespace {

using Time = std::chrono::steady_clock::time_point;

std::int64_t nanoseconds(Time time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

/// Time of each repetition in microseconds, from the first rank's begin to the last rank's end: with more
/// ranks than cores some would otherwise do their share before the last one begins, and the local average
/// would look better than it is. The monotonic clock is one for all processes of a host.
std::vector<double> durations(Context& context, const std::vector<std::int64_t>& begin,
                              const std::vector<std::int64_t>& end) {
  const std::size_t repetitions = begin.size();
  const GatheredTensor begins = context.allgather(std::span(begin));
  const GatheredTensor ends = context.allgather(std::span(end));
  const auto* first = reinterpret_cast<const std::int64_t*>(begins.data.get());
  const auto* last = reinterpret_cast<const std::int64_t*>(ends.data.get());
  std::vector<double> result;
  for (std::size_t i = 0; i < repetitions; ++i) {
    std::int64_t began = first[i];
    std::int64_t finished = 0;
    for (int rank = 0; rank < context.size(); ++rank) {
      const std::size_t at = static_cast<std::size_t>(rank) * repetitions + i;
      began = std::min(began, first[at]);
      finished = std::max(finished, last[at]);
    }
    result.push_back(static_cast<double>(finished - began) / 1000);
  }
  return result;
}

SchedulePtr schedule_named(const std::string& name, int size) {
  if (name == "one-peer") return one_peer_exponential(size);
  if (name == "exp2") return static_schedule(exponential_two_graph(size));
  if (name == "ring") return static_schedule(ring_graph(size));
  throw InvalidArgument("unknown topology " + name);
}

struct Options {
  std::size_t bytes = std::size_t{16} << 20;
  int repetitions = 31;
  std::string topology = "exp2";
  bool latency = false;
  double idle_seconds = 0;
  int calls = 10'000;
  bool windows = false;
  int calls_in_a_row = 1;
  Output output = Output::Text;
};

bool compare_paths(Context& context, const Options& options) {
  const Problem problem{options.bytes / sizeof(float), schedule_named(options.topology, context.size())};
  std::vector<Variant> variants = make_variants(context, problem);
  const auto repetitions = static_cast<std::size_t>(options.repetitions);
  constexpr std::size_t warm_up = 2;
  std::vector<std::vector<std::int64_t>> begin(variants.size());
  std::vector<std::vector<std::int64_t>> end(variants.size());
  bool right = true;
  for (std::size_t repetition = 0; repetition < repetitions + warm_up; ++repetition) {
    for (std::size_t v = 0; v < variants.size(); ++v) {
      variants[v].refresh();
      context.barrier();
      const Time started = std::chrono::steady_clock::now();
      variants[v].run();
      const Time finished = std::chrono::steady_clock::now();
      right = variants[v].is_right() && right;
      context.barrier();
      if (repetition < warm_up) continue;
      begin[v].push_back(nanoseconds(started));
      end[v].push_back(nanoseconds(finished));
    }
  }
  double limit = 0;
  for (std::size_t v = 0; v < variants.size(); ++v) {
    const std::vector<double> times = durations(context, begin[v], end[v]);
    const double median = percentile(times, 0.5);
    if (v == 0) limit = median;
    if (context.rank() != 0) continue;
    char text[200];
    std::snprintf(text, sizeof(text), "%-22s median %10.1f us   min %10.1f us   %5.2f x local average",
                  variants[v].name.c_str(), median, percentile(times, 0), median / limit);
    print(options.output,
          {{"path", variants[v].name},
           {"ranks", context.size()},
           {"bytes", options.bytes},
           {"topology", options.topology},
           {"median_us", median},
           {"min_us", percentile(times, 0)},
           {"p99_us", percentile(times, 0.99)},
           {"times_local_average", median / limit},
           {"right", right}},
          text);
  }
  if (!right) std::fprintf(stderr, "bfperf: wrong values on rank %d\n", context.rank());
  return right;
}

/// What this process holds: resident memory in KiB, and open descriptors.
struct Holdings {
  long resident_kib;
  long descriptors;
};

Holdings holdings() {
  long pages = 0;
  long resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  const auto open = std::filesystem::directory_iterator("/proc/self/fd");
  return {resident * (::sysconf(_SC_PAGESIZE) / 1024), std::distance(begin(open), end(open))};
}

/// Share of a core that a rank burns while it waits in barrier() for the last one, which sleeps.
void measure_idle(Context& context, const Options& options) {
  context.barrier();
  if (context.rank() == context.size() - 1) {
    std::this_thread::sleep_for(std::chrono::duration<double>(options.idle_seconds));
  }
  const std::clock_t before = std::clock();
  context.barrier();
  const double used = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  const std::vector<double> mine{used / options.idle_seconds};
  const GatheredTensor all = context.allgather(std::span(mine));
  if (context.rank() != 0) return;
  const auto* shares = reinterpret_cast<const double*>(all.data.get());
  const double most = *std::max_element(shares, shares + context.size());
  char text[200];
  std::snprintf(text, sizeof(text), "%d ranks wait %.0f s in barrier(): at most %.2f %% of a core each",
                context.size(), options.idle_seconds, 100 * most);
  print(options.output,
        {{"idle_seconds", options.idle_seconds}, {"ranks", context.size()}, {"most_of_a_core", most}}, text);
}

/// Blocking calls in a row, as a user's loop makes them.
void measure_latency(Context& context, const Options& options) {
  const SchedulePtr schedule = schedule_named(options.topology, context.size());
  const std::size_t count = options.bytes / sizeof(float);
  for (const bool meet : {false, true}) {
    std::vector<float> input(count, 1.0F);
    std::vector<float> output(count);
    NeighborAllreduceOptions call;
    call.schedule = schedule;
    call.meet = meet;
    std::vector<double> times;
    times.reserve(static_cast<std::size_t>(options.calls));
    Holdings before{};
    for (int i = 0; i < options.calls + 100; ++i) {
      if (i == 100) before = holdings();
      call.round = static_cast<std::uint64_t>(i);
      const Time started = std::chrono::steady_clock::now();
      context.neighbor_allreduce(std::span<const float>(input), std::span(output), call);
      const auto elapsed = std::chrono::steady_clock::now() - started;
      if (i >= 100) times.push_back(std::chrono::duration<double, std::micro>(elapsed).count());
    }
    const Holdings after = holdings();
    context.barrier();
    if (context.rank() != 0) continue;
    char text[240];
    std::snprintf(text, sizeof(text),
                  "%zu bytes, %d ranks, %s: p50 %.2f us   p99 %.2f us   memory %+ld KiB, descriptors %+ld",
                  options.bytes, context.size(), meet ? "meeting" : "neighbours only", percentile(times, 0.5),
                  percentile(times, 0.99), after.resident_kib - before.resident_kib,
                  after.descriptors - before.descriptors);
    print(options.output,
          {{"latency", meet ? "meeting" : "neighbours"},
           {"ranks", context.size()},
           {"bytes", options.bytes},
           {"p50_us", percentile(times, 0.5)},
           {"p99_us", percentile(times, 0.99)},
           {"memory_growth_kib", after.resident_kib - before.resident_kib},
           {"descriptor_growth", after.descriptors - before.descriptors}},
          text);
  }
}

}  // namespace

}  // namespace bluefog::perf

int main(int argc, char** argv) {
  using namespace bluefog::perf;
  Options options;
  CLI::App app{"Times neighbor_allreduce, or operations on windows; start it with bfrun -np N"};
  app.add_option("--bytes", options.bytes, "Bytes of float32 per rank; rounded down to whole numbers")
      ->check(CLI::Range(sizeof(float), std::size_t{1} << 40))
      ->capture_default_str();
  app.add_option("--repetitions", options.repetitions, "Timed repetitions of each path")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--topology", options.topology, "exp2, one-peer or ring")
      ->check(CLI::IsMember({"exp2", "one-peer", "ring"}))
      ->capture_default_str();
  app.add_flag("--latency", options.latency,
               "Time many small blocking calls instead; --bytes 4096 unless given");
  app.add_option("--calls", options.calls, "Calls of --latency")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--idle", options.idle_seconds,
                 "Measure what ranks burn that wait so many seconds in barrier()")
      ->check(CLI::Range(0.001, 1e6));
  app.add_flag("--windows", options.windows, "Time the operations on windows instead")
      ->excludes("--latency")
      ->excludes("--idle");
  app.add_option("--calls-in-a-row", options.calls_in_a_row,
                 "Of --windows: calls in each repetition, before anybody reads")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag_callback(
      "--json", [&] { options.output = Output::JsonLines; }, "Print JSON lines");
  CLI11_PARSE(app, argc, argv);
  try {
    bluefog::Context context;
    if (options.idle_seconds > 0) {
      measure_idle(context, options);
      return 0;
    }
    if (options.windows) {
      const WindowProblem problem{options.bytes / sizeof(float) * sizeof(float), options.repetitions,
                                  options.calls_in_a_row};
      return measure_windows(context, problem, options.output) ? 0 : 1;
    }
    if (!options.latency) return compare_paths(context, options) ? 0 : 1;
    if (app.count("--bytes") == 0) options.bytes = 4096;
    measure_latency(context, options);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bfperf: %s\n", error.what());
    return 1;
  }
}
