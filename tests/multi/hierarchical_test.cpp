// hierarchical_neighbor_allreduce: values, to the bit, wherever ranks and tensors lie; exactness of one-peer
// schedules over machines; and how many bytes cross between machines.

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/graphs.hpp>

#include "multi/machines.hpp"
#include "multi/paths.hpp"
#include "multi/reductions.hpp"
#include "multi/reference.hpp"

namespace bluefog::test {
namespace {

using Options = HierarchicalNeighborAllreduceOptions;

/// One way to say how machines mix, and what machine m of `count` then computes: terms over machines.
struct Mixing {
  std::string name;
  std::function<void(Context& context, int count)> prepare;
  std::function<Options(int machine, int count)> options;
  std::function<Expectation(int machine, int count)> expectation;
};

Expectation of_topology(const Topology& topology, int machine, Form form) {
  Expectation wanted{form, {}, machine};
  for (int sender = 0; sender < topology.size(); ++sender) {
    const bool counts = form == Form::Mean || form == Form::Difference;
    const double weight = topology.weight(machine, sender);
    if (weight != 0 || (sender == machine && counts)) wanted.terms.push_back({sender, weight});
  }
  return wanted;
}

Weights all_others(int machine, int count, double weight) {
  Weights weights;
  for (int other = 0; other < count; ++other) {
    if (other != machine) weights[other] = weight + 0.01 * other;
  }
  return weights;
}

const std::vector<Mixing>& mixings() {
  static const std::vector<Mixing> all{
      {"Uniform",
       [](Context& context, int count) { context.set_machine_topology(exponential_two_graph(count)); },
       [](int, int) { return Options{}; },
       [](int machine, int count) { return of_topology(exponential_two_graph(count), machine, Form::Mean); }},
      {"Weighted",
       [](Context& context, int count) { context.set_machine_topology(weighted_topology(count), true); },
       [](int, int) { return Options{}; },
       [](int machine, int count) { return of_topology(weighted_topology(count), machine, Form::Weighted); }},
      {"InTheCall", [](Context&, int) {},
       [](int machine, int count) {
         Options options;
         options.self_weight = 0.3;
         options.src_machine_weights = all_others(machine, count, 0.25);
         options.dst_machine_weights = all_others(machine, count, 0.5);
         return options;
       },
       [](int machine, int count) {
         Expectation wanted{Form::Weighted, {}, machine};
         for (int other = 0; other < count; ++other) {
           const double weight = (0.25 + 0.01 * other) * (0.5 + 0.01 * machine);
           wanted.terms.push_back({other, other == machine ? 0.3 : weight});
         }
         return wanted;
       }},
      {"OneWayInTheCall", [](Context&, int) {},
       [](int machine, int count) {
         Options options;
         options.self_weight = machine == 0 ? 1.0 : 0.0;
         options.src_machine_weights = machine == 1 ? Weights{{0, 0.75}} : Weights{};
         options.dst_machine_weights = machine == 0 && count > 1 ? Weights{{1, 1.0}} : Weights{};
         return options;
       },
       [](int machine, int) {
         Expectation wanted{Form::Weighted, {}, machine};
         if (machine < 2) wanted.terms.push_back({0, machine == 0 ? 1.0 : 0.75});
         return wanted;
       }},
      {"OnePeer", [](Context&, int) {},
       [](int, int count) {
         Options options;
         options.schedule = one_peer_exponential(count);
         options.round = 1;
         return options;
       },
       [](int machine, int count) {
         return of_topology(one_peer_exponential(count)->round(1), machine, Form::Weighted);
       }},
      {"Differences", [](Context&, int) {},
       [](int, int count) {
         Options options;
         options.schedule = static_schedule(ring_graph(count));
         options.form = MixingForm::Difference;
         return options;
       },
       [](int machine, int count) {
         const Expectation wanted = of_topology(ring_graph(count), machine, Form::Difference);
         const bool is_pair = wanted.terms.size() == 2;  // of equal weights
         return is_pair ? of_topology(ring_graph(count), machine, Form::Mean) : wanted;
       }},
  };
  return all;
}

/// What the rule says of tensor elements, computed without the engine's code.
template <class Element>
class Reference {
 public:
  Reference(const MachineJob& job, const Expectation& wanted, std::uint64_t step)
      : wanted_(wanted), step_(step), means_(wanted.terms.size()) {
    for (const Term& term : wanted.terms) {
      Expectation& mean = of_machines_.emplace_back();
      for (int rank = job.first_rank(term.rank); rank < job.first_rank(term.rank + 1); ++rank) {
        mean.terms.push_back({rank, 1.0});
      }
    }
  }
  Element operator()(std::size_t index) {
    Element element{};
    for (std::size_t machine = 0; machine < of_machines_.size(); ++machine) {
      inputs_.clear();
      for (const Term& term : of_machines_[machine].terms) {
        set_element(element, false, term.rank, step_, index);
        inputs_.push_back(widen(element));
      }
      narrow(combine(of_machines_[machine], inputs_), element);
      means_[machine] = widen(element);
    }
    narrow(combine(wanted_, means_), element);
    return element;
  }

 private:
  using Real = decltype(widen(Element{}));
  const Expectation& wanted_;
  std::uint64_t step_;
  std::vector<Expectation> of_machines_;
  std::vector<Real> inputs_;
  std::vector<Real> means_;
};

std::ptrdiff_t first_wrong(const MachineJob& job, const Expectation& wanted, const Tensor& result,
                           std::uint64_t step) {
  std::ptrdiff_t found = -1;
  with_element(result.dtype, [&](auto element) {
    using Element = decltype(element);
    if constexpr (!std::is_integral_v<Element>) {
      Reference<Element> reference(job, wanted, step);
      const auto* values = static_cast<const Element*>(result.data);
      for (std::size_t i = 0; i < result.count() && found < 0; ++i) {
        element = reference(i);
        if (std::memcmp(&values[i], &element, sizeof(Element)) != 0) found = static_cast<std::ptrdiff_t>(i);
      }
    }
  });
  return found;
}

struct Step {
  DType dtype;
  std::size_t count;
};

/// The large one is of several chunks for each slice.
std::vector<Step> steps(bool with_large) {
  std::vector<Step> all;
  for (const DType dtype : {DType::Float16, DType::BFloat16, DType::Float32, DType::Float64}) {
    for (const std::size_t count : {0, 1, 7, 1003}) all.push_back({dtype, count});
  }
  all.push_back({DType::Float32, 20'001});
  if (with_large) all.push_back({DType::Float64, 300'001});
  return all;
}

using Parameter = std::tuple<MachineJob, Path>;
class HierarchicalMixing : public testing::TestWithParam<Parameter> {};

TEST_P(HierarchicalMixing, GivesTheBitsOfTheReference) {
  const auto& [job, path] = GetParam();
  run_job(job, [&job = job, path = path](Context& context) {
    const int machine = job.machine_of(context.rank());
    EXPECT_EQ(context.machine_rank(), machine);
    EXPECT_EQ(context.machine_size(), job.count());
    EXPECT_EQ(context.local_size(), job.machines[static_cast<std::size_t>(machine)]);
    EXPECT_EQ(context.local_rank(), context.rank() - job.first_rank(machine));
    std::uint64_t number = 0;
    for (const Mixing& mixing : mixings()) {
      mixing.prepare(context, job.count());
      const Options options = mixing.options(machine, job.count());
      const Expectation wanted = mixing.expectation(machine, job.count());
      for (const Step& step : steps(!is_reduced() && &mixing == &mixings().front())) {
        ++number;
        const Buffers buffers(context, path, step.dtype, Shape(step.count));
        fill(buffers.writable_input.data, step.dtype, step.count, context.rank(), number);
        if (number % 2 == 0) {
          context.hierarchical_neighbor_allreduce(buffers.input, buffers.output, options);
        } else {
          context.hierarchical_neighbor_allreduce_async(buffers.input, buffers.output, options).wait();
        }
        EXPECT_EQ(first_wrong(job, wanted, buffers.output, number), -1)
            << mixing.name << ", " << name_of(step.dtype) << ", " << step.count << " elements, rank "
            << context.rank();
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Jobs, HierarchicalMixing,
                         testing::Combine(testing::ValuesIn(machine_jobs()),
                                          testing::Values(Path::SlicesInPlace, Path::SlicesOutOfPlace,
                                                          Path::RingWithMeeting, Path::PrivateMeeting)),
                         [](const auto& info) {
                           std::ostringstream name;
                           name << std::get<1>(info.param) << "_" << std::get<0>(info.param);
                           name << std::get<0>(info.param).ranks;
                           return name.str();
                         });

/// What `mix` does to distinct values in the rounds of a schedule, and whether all have their mean then.
void expect_exact(const MachineJob& job, std::uint64_t rounds,
                  const std::function<void(Context&, std::span<double>, std::uint64_t round)>& mix) {
  run_job(job, [&](Context& context) {
    auto x = context.make_shared<double>(20'000);
    std::fill(x.begin(), x.end(), static_cast<double>(context.rank()));
    for (std::uint64_t round = 0; round < rounds; ++round) mix(context, x.span(), round);
    EXPECT_EQ(x[0], static_cast<double>(context.size() - 1) / 2);
    EXPECT_EQ(x[19'999], x[0]);
  });
}

const std::vector<MachineJob> eight_machines{{"Shm", Ranks::Threads, {2, 2, 2, 2, 2, 2, 2, 2}, "shm"},
                                             {"Sim", Ranks::SimulatedPairs, {2, 2, 2, 2, 2, 2, 2, 2}},
                                             {"SimHosts", Ranks::SimulatedHosts, {2, 2, 2, 2, 2, 2, 2, 2}}};

TEST(HierarchicalOnePeer, IsExactAfterLogRounds) {
  for (const MachineJob& job : eight_machines) {
    expect_exact(job, 3, [](Context& context, std::span<double> x, std::uint64_t round) {
      Options options;
      options.schedule = one_peer_exponential(context.machine_size());
      options.round = round;
      options.form = MixingForm::Difference;
      context.hierarchical_neighbor_allreduce(std::span<const double>(x), x, options);
    });
  }
}

TEST(HierarchicalOnePeer, IsExactWithWeightsInTheCall) {
  for (const MachineJob& job : eight_machines) {
    expect_exact(job, 3, [](Context& context, std::span<double> x, std::uint64_t round) {
      const int count = context.machine_size();
      const int distance = 1 << round;
      Options options;
      options.self_weight = 0.5;
      options.src_machine_weights = Weights{{(context.machine_rank() + count - distance) % count, 0.5}};
      options.dst_machine_weights = Weights{{(context.machine_rank() + distance) % count, 1.0}};
      context.hierarchical_neighbor_allreduce(std::span<const double>(x), x, options);
    });
  }
}

TEST(HierarchicalOnePeer, IsExactAsAScheduleOverRanks) {
  for (const MachineJob& job : eight_machines) {
    expect_exact(job, 3, [](Context& context, std::span<double> x, std::uint64_t round) {
      NeighborAllreduceOptions options;
      options.schedule = hierarchical(one_peer_exponential(context.machine_size()), context.local_size());
      options.round = round;
      options.meet = true;
      context.neighbor_allreduce(std::span<const double>(x), x, options);
    });
  }
}

/// Bytes that each rank has sent to each rank of another machine, as it has counted them.
std::vector<std::map<int, std::size_t>> sent_between_machines(const MachineJob& job, std::size_t count,
                                                              bool is_shared) {
  std::vector<std::map<int, std::size_t>> sent(static_cast<std::size_t>(job.size()));
  run_job(job, [&](Context& context) {
    auto shared = context.make_shared<float>(count);
    std::vector<float> own(count);
    const std::span<float> x = is_shared ? shared.span() : std::span(own);
    context.set_machine_topology(fully_connected_graph(job.count()));
    context.hierarchical_neighbor_allreduce(std::span<const float>(x), x);
    for (const PeerStats& peer : context.stats().peers) {
      if (job.machine_of(peer.rank) == context.machine_rank() || peer.bytes_sent == 0) continue;
      sent[static_cast<std::size_t>(context.rank())][peer.rank] = peer.bytes_sent;
    }
  });
  return sent;
}

TEST(HierarchicalBytes, ARankSendsItsShareOfTheMean) {
  constexpr std::size_t count = std::size_t{1} << 16;
  constexpr std::size_t share = count * sizeof(float) / 4;
  for (const MachineJob& job :
       {MachineJob{"Auto", Ranks::Threads, {4, 4}}, MachineJob{"Tcp", Ranks::Threads, {4, 4}, "tcp"}}) {
    for (const bool is_shared : {true, false}) {
      const auto sent = sent_between_machines(job, count, is_shared);
      for (int rank = 0; rank < 8; ++rank) {
        const std::map<int, std::size_t> wanted{{(rank + 4) % 8, share}};
        EXPECT_EQ(sent[static_cast<std::size_t>(rank)], wanted) << job << ", rank " << rank;
      }
    }
  }
}

TEST(HierarchicalBytes, BetweenUnequalMachinesTheMeanCrossesOnce) {
  constexpr std::size_t count = 50'001;
  const MachineJob job{"Auto", Ranks::Threads, {3, 1, 2}};
  const auto sent = sent_between_machines(job, count, true);
  std::map<std::pair<int, int>, std::size_t> between;
  for (int rank = 0; rank < job.size(); ++rank) {
    for (const auto& [peer, bytes] : sent[static_cast<std::size_t>(rank)]) {
      between[{job.machine_of(rank), job.machine_of(peer)}] += bytes;
    }
  }
  EXPECT_EQ(between.size(), 6U);
  for (const auto& [pair, bytes] : between) EXPECT_EQ(bytes, count * sizeof(float));
}

TEST(Hierarchical, ALoopTakesNoMoreMemory) {
  for (const MachineJob& job :
       {MachineJob{"Auto", Ranks::Threads, {2, 2}}, MachineJob{"Shm", Ranks::Threads, {2, 2}, "shm"},
        MachineJob{"Tcp", Ranks::Threads, {2, 2}, "tcp"}}) {
    run_job(job, [](Context& context) {
      auto shared = context.make_shared<float>(50'000);
      std::vector<float> own(50'000);
      Options options;
      options.schedule = one_peer_exponential(context.machine_size());
      std::size_t allocated = 0;
      for (options.round = 0; options.round < 20; ++options.round) {
        context.hierarchical_neighbor_allreduce(shared.span(), shared.span(), options);
        context.hierarchical_neighbor_allreduce(std::span<const float>(own), std::span(own), options);
        if (options.round == 5) allocated = context.stats().memory.allocated;
      }
      EXPECT_EQ(context.stats().memory.allocated, allocated);
    });
  }
}

}  // namespace
}  // namespace bluefog::test
