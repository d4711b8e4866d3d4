// Seeded fault schedules: random jobs on the virtual network in which ranks are killed, frozen, cut off or
// late. However it ends, nobody hangs, every result is that of the reference or the tensor is untouched, and
// every error names what was lost. FAULT_SCHEDULES (how many) and FAULT_SEED (the first) widen or repeat the
// search.

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/error.hpp>
#include <bluefog/simulation.hpp>

#include "base/hash.hpp"
#include "multi/job.hpp"
#include "multi/matrix.hpp"
#include "multi/paths.hpp"
#include "multi/reductions.hpp"

namespace bluefog::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;
using Kind = SimulatedFault::Kind;

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(base::hash_combine(seed, 0x6661756c74ULL)) {}
  std::uint64_t below(std::uint64_t bound) {
    state_ += base::kGoldenRatio;
    return base::mix_bits(state_) % bound;
  }
  int between(int least, int most) {
    return least + static_cast<int>(below(static_cast<std::uint64_t>(most - least + 1)));
  }
  nanoseconds up_to(nanoseconds most) {
    return nanoseconds(below(static_cast<std::uint64_t>(most.count()) + 1));
  }

 private:
  std::uint64_t state_;
};

/// One call that every rank of its group makes.
struct Call {
  std::size_t operation = 0;  ///< of reduction_cases()
  Path path = Path::Ring;
  std::size_t count = 0;
};

struct Story {
  SimulationOptions options;
  std::vector<Call> calls;
  std::set<int> suspects;  ///< ranks that may be given up
};

std::vector<std::size_t> plain_operations() {
  std::vector<std::size_t> plain;
  for (std::size_t i = 0; i < reduction_cases().size(); ++i) {
    if (!reduction_cases()[i].sets_topology) plain.push_back(i);
  }
  return plain;
}

SimulatedFault random_fault(Random& random, int size) {
  SimulatedFault fault;
  fault.kind = static_cast<Kind>(random.below(4));
  fault.rank = random.between(0, size - 1);
  fault.peer = (fault.rank + random.between(1, size - 1)) % size;
  fault.at = random.below(4) == 0 ? random.up_to(20s) : random.up_to(20ms);
  fault.duration = random.below(2) == 0 ? random.up_to(20s) : random.up_to(100ms);
  return fault;
}

Story story_of(std::uint64_t seed) {
  Random random(seed);
  Story story;
  SimulationOptions& options = story.options;
  options.size = random.between(2, 6);
  options.ranks_per_host = random.between(1, 4);
  if (random.below(3) == 0) {
    for (int rank = 0; rank < options.size; ++rank)
      options.hosts.push_back(random.between(0, 2) % options.size);
  }
  options.between_hosts = {random.up_to(random.below(3) == 0 ? 20ms : 100us), 1e8 * random.between(1, 50),
                           random.up_to(50us)};
  options.inside_host = {random.up_to(5us), 1e10, {}};
  options.step_time = random.up_to(20us);
  options.seed = seed;
  options.config = test_config();
  options.config.op_timeout = 10min;
  for (int i = random.between(0, 3); i > 0; --i) {
    const SimulatedFault fault = random_fault(random, options.size);
    options.faults.push_back(fault);
    story.suspects.insert(fault.rank);
    if (fault.kind == Kind::Cut) story.suspects.insert(fault.peer);
  }
  constexpr std::size_t counts[] = {1, 700, 40'000};
  const auto operations = plain_operations();
  for (int i = random.between(10, 40); i > 0; --i) {
    const bool is_large = random.below(6) == 0;
    story.calls.push_back({operations[random.below(operations.size())],
                           all_paths[random.below(std::size(all_paths))],
                           is_large ? counts[2] : counts[random.below(2)]});
  }
  return story;
}

void call(Context& context, const Call& call, const Buffers& buffers) {
  ReductionOptions options = reduction_cases()[call.operation].options(context.rank(), context.size());
  if (auto* neighbor = std::get_if<NeighborAllreduceOptions>(&options)) {
    neighbor->meet = meets(call.path);
    return context.neighbor_allreduce(buffers.input, buffers.output, *neighbor);
  }
  context.allreduce(buffers.input, buffers.output, std::get<AllreduceOptions>(options));
}

/// That faults did happen.
struct Count {
  int deaths = 0;
  int errors = 0;
  int successes = 0;
};

/// What went wrong in the test's eyes, one a line.
class Complaints {
 public:
  template <class... Parts>
  void add(const Parts&... parts) {
    (text_ << ... << parts) << "\n";
  }
  [[nodiscard]] std::string text() const { return text_.str(); }

 private:
  std::ostringstream text_;
};

void check_error(const Story& story, const Context& context, const PeerLost& error, Complaints& complaints) {
  const std::string text = error.what();
  const std::string self = "on rank " + std::to_string(context.rank());
  const std::string peer = "rank " + std::to_string(error.peer());
  for (const std::string& part : {self, peer, std::string("call "), std::string("allreduce")}) {
    if (text.find(part) == std::string::npos) complaints.add("\"", part, "\" is missing: ", text);
  }
  // Whoever was given up and comes back has lost everybody.
  const bool is_gone = story.suspects.contains(error.peer()) || story.suspects.contains(context.rank());
  if (!is_gone) complaints.add("rank ", error.peer(), " is blamed without reason: ", text);
}

void run_calls(Context& context, const Story& story, Complaints& complaints, Count& count) {
  const int rank = context.rank();
  for (std::size_t number = 0; number < story.calls.size(); ++number) {
    const Call& next = story.calls[number];
    const ReductionCase& operation = reduction_cases()[next.operation];
    if (!operation.takes_part(rank, context.size())) continue;
    const Buffers buffers(context, next.path, DType::Float32, Shape(next.count));
    fill(buffers.writable_input.data, DType::Float32, next.count, rank, number);
    bool succeeded = false;
    try {
      call(context, next, buffers);
      succeeded = true;
      ++count.successes;
    } catch (const PeerLost& error) {
      ++count.errors;
      check_error(story, context, error, complaints);
    } catch (const std::exception& error) {
      complaints.add("an error of another kind: ", error.what());
    }
    const Expectation wanted = operation.expectation(rank, context.size());
    const Expectation untouched{Form::Sum, {{rank, 1.0}}, rank};
    if (succeeded &&
        first_difference(wanted, buffers.output.data, DType::Float32, next.count, number) != -1) {
      complaints.add("call ", number, " (", operation.name, ", ", next.path, ", ", next.count, ") on rank ",
                     rank, " succeeded with a wrong result");
    }
    if ((!succeeded || buffers.output.data != buffers.input.data) &&
        first_difference(untouched, buffers.input.data, DType::Float32, next.count, number) != -1) {
      complaints.add("call ", number, " (", operation.name, ", ", next.path, ", ", next.count, ") on rank ",
                     rank, succeeded ? " succeeded" : " failed", " and tore its input");
    }
  }
}

/// @returns complaints, and the trace
std::pair<std::string, std::string> tell(std::uint64_t seed, Count& count) {
  Story story = story_of(seed);
  std::ostringstream trace;
  story.options.trace = &trace;
  Complaints complaints;
  Simulation simulation(story.options);
  const auto ends = simulation.run([&](Context& context) { run_calls(context, story, complaints, count); });
  for (std::size_t rank = 0; rank < ends.size(); ++rank) {
    if (ends[rank].how == Simulation::End::How::Killed) ++count.deaths;
    const bool may_die = story.suspects.contains(static_cast<int>(rank));
    if (ends[rank].how == Simulation::End::How::Threw) complaints.add("rank ", rank, " threw");
    if (ends[rank].how == Simulation::End::How::Killed && !may_die) complaints.add("rank ", rank, " died");
  }
  if (simulation.now() > 5min) complaints.add("took ", simulation.now().count() / 1'000'000'000, " s");
  return {complaints.text(), trace.str()};
}

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(FaultSchedules, EndWithTheInvariantsTrue) {
  const std::uint64_t first = number_from("FAULT_SEED", 1);
  const std::uint64_t schedules = number_from("FAULT_SCHEDULES", is_reduced() ? 60 : 600);
  std::uint64_t failed = 0;
  Count count;
  for (std::uint64_t seed = first; seed < first + schedules && failed < 10; ++seed) {
    const auto [complaints, trace] = tell(seed, count);
    if (!complaints.empty()) ++failed;
    EXPECT_EQ(complaints, "") << "repeat with FAULT_SEED=" << seed << " FAULT_SCHEDULES=1";
    if (seed % 20 == 0) {
      EXPECT_EQ(trace, tell(seed, count).second) << "the run of seed " << seed << " cannot be repeated";
    }
  }
  std::cout << count.deaths << " deaths, " << count.errors << " errors, " << count.successes
            << " successes\n";
  if (schedules < 50) return;
  EXPECT_GT(count.deaths, 0);
  EXPECT_GT(count.errors, 0);
  EXPECT_GT(count.successes, count.errors);
}

}  // namespace
}  // namespace bluefog::test
