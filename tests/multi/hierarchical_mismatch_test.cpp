// Ranks that do not mean the same mixing of machines: whoever is concerned gets an error that says what
// differs, and the ranks still work together afterwards.

#include <algorithm>
#include <functional>
#include <ostream>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/error.hpp>
#include <bluefog/graphs.hpp>

#include "multi/machines.hpp"

namespace bluefog::test {
namespace {

constexpr std::size_t large = 50'001;

/// One rank's call; all make the right one unless it is changed. Four machines of two ranks, on a ring.
struct Call {
  std::size_t count = large;
  DType dtype = DType::Float32;
  HierarchicalNeighborAllreduceOptions options;
};

struct Disagreement {
  std::string name;
  std::function<void(int rank, Call& call)> change;
  std::string part;  ///< of the error of every rank that must have one
  /// Ranks that need not learn of it: nothing that they do depends on the others.
  std::vector<int> unconcerned = {};
};
std::ostream& operator<<(std::ostream& out, const Disagreement& disagreement) {
  return out << disagreement.name;
}

Call right_call(const Context& context) {
  const int machines = context.machine_size();
  const int machine = context.machine_rank();
  Call call;
  call.options.self_weight = 0.5;
  call.options.src_machine_weights = Weights{{(machine + machines - 1) % machines, 0.5}};
  call.options.dst_machine_weights = Weights{{(machine + 1) % machines, 1.0}};
  return call;
}

std::string outcome_of(Context& context, const Call& call) {
  SharedMemory memory = context.allocate_shared(call.count * size_of(call.dtype));
  const Tensor tensor(memory.data(), call.dtype, Shape(call.count));
  try {
    context.hierarchical_neighbor_allreduce(ConstTensor(memory.data(), call.dtype, Shape(call.count)), tensor,
                                            call.options);
  } catch (const Mismatch& error) {
    return error.what();
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "";
}

void expect_they_work_together(Context& context) {
  for (int i = 0; i < 2; ++i) {
    try {
      context.barrier();
    } catch (const Mismatch&) {  // it has passed, and tells what another had to say about the call before
    }
  }
  auto x = context.make_shared<double>(large);
  std::fill(x.begin(), x.end(), static_cast<double>(context.rank()));
  HierarchicalNeighborAllreduceOptions mix;
  mix.schedule = one_peer_exponential(context.machine_size());
  for (mix.round = 0; mix.round < 2; ++mix.round)
    context.hierarchical_neighbor_allreduce(x.span(), x.span(), mix);
  EXPECT_EQ(x[large - 1], static_cast<double>(context.size() - 1) / 2);
}

const std::vector<Disagreement> disagreements{
    {"NoTopologyAnywhere", [](int, Call& call) { call.options = {}; }, "no machine topology is set"},
    {"NoTopologyOnOneRank",
     [](int rank, Call& call) {
       if (rank == 3) call.options = {};
     },
     "no machine topology is set",
     {0, 1, 6, 7}},
    {"WeightsOfOneRank",
     [](int rank, Call& call) {
       if (rank == 2) call.options.self_weight = 0.25;
     },
     "of one machine",
     {0, 1, 4, 5, 6, 7}},
    {"SourcesOfOneRank",
     [](int rank, Call& call) {
       if (rank == 2) call.options.src_machine_weights = Weights{};
     },
     "",
     {0, 1, 4, 5, 6, 7}},
    {"AMachineThatIsNotSentTo",
     [](int rank, Call& call) {
       if (rank / 2 == 0) call.options.dst_machine_weights = Weights{};
     },
     "machine",
     {0, 1, 4, 5, 6, 7}},
    {"AMachineThatDoesNotReceive",
     [](int rank, Call& call) {
       if (rank / 2 == 2) call.options.src_machine_weights = Weights{};
     },
     "machine",
     {0, 1, 4, 5, 6, 7}},
    {"ScheduleAgainstWeights",
     [](int rank, Call& call) {
       if (rank / 2 != 1) return;
       call.options = {};
       call.options.schedule = one_peer_exponential(4);
     },
     "mixing of the machines",
     {6, 7}},
    {"Rounds",
     [](int rank, Call& call) {
       call.options = {};
       call.options.schedule = one_peer_exponential(4);
       call.options.round = rank == 0 ? 1 : 0;
     },
     "mixing of the machines",
     {4, 5, 6, 7}},
    {"Shape",
     [](int rank, Call& call) { call.count = rank == 2 ? large + 1 : large; },
     "shape",
     {0, 1, 6, 7}},
    {"Type",
     [](int rank, Call& call) { call.dtype = rank == 1 ? DType::Float64 : DType::Float32; },
     "dtype",
     {4, 5, 6, 7}},
    {"AWrongType",
     [](int rank, Call& call) { call.dtype = rank == 2 ? DType::Int32 : DType::Float32; },
     "cannot be averaged",
     {0, 1, 6, 7}},
    {"AWrongKey",
     [](int rank, Call& call) {
       if (rank == 5) call.options.dst_machine_weights = Weights{{4, 1.0}};
     },
     "there is no machine 4",
     {0, 1, 2, 3}},
    {"TheOwnMachine",
     [](int rank, Call& call) {
       if (rank == 5) call.options.src_machine_weights = Weights{{2, 1.0}};
     },
     "use self_weight",
     {0, 1, 2, 3}},
    {"NotAllWeights",
     [](int rank, Call& call) {
       if (rank == 5) call.options.dst_machine_weights.reset();
     },
     "come together",
     {0, 1, 2, 3}},
    {"AScheduleOverRanks",
     [](int, Call& call) {
       call.options = {};
       call.options.schedule = hierarchical(one_peer_exponential(4), 2);
     },
     "over machines"},
    {"AGroup",
     [](int, Call& call) { call.options.group = {0, 1, 2, 3, 4, 5, 6, 7}; },
     "",
     {0, 1, 2, 3, 4, 5, 6, 7}},
    {"AGroupOfSome",
     [](int rank, Call& call) {
       if (rank < 2) call.options.group = {0, 1};
     },
     "no groups",
     {4, 5, 6, 7}},
};

using Parameter = std::tuple<MachineJob, Disagreement>;
class HierarchicalMismatch : public testing::TestWithParam<Parameter> {};

TEST_P(HierarchicalMismatch, IsToldToAllConcerned) {
  const auto& [job, disagreement] = GetParam();
  run_job(job, [&disagreement = disagreement](Context& context) {
    context.barrier();
    Call call = right_call(context);
    disagreement.change(context.rank(), call);
    const std::string text = outcome_of(context, call);
    const auto& free = disagreement.unconcerned;
    if (std::find(free.begin(), free.end(), context.rank()) == free.end()) {
      EXPECT_NE(text, "") << "on rank " << context.rank();
      EXPECT_NE(text.find(disagreement.part), std::string::npos)
          << "on rank " << context.rank() << " \"" << disagreement.part << "\" is not in \"" << text << "\"";
    }
    expect_they_work_together(context);
  });
}

INSTANTIATE_TEST_SUITE_P(
    Jobs, HierarchicalMismatch,
    testing::Combine(testing::Values(MachineJob{"Shm", Ranks::Threads, {2, 2, 2, 2}, "shm"},
                                     MachineJob{"Auto", Ranks::Threads, {2, 2, 2, 2}},
                                     MachineJob{"Tcp", Ranks::Threads, {2, 2, 2, 2}, "tcp"},
                                     MachineJob{"Sim", Ranks::SimulatedPairs, {2, 2, 2, 2}},
                                     MachineJob{"SimHosts", Ranks::SimulatedHosts, {2, 2, 2, 2}}),
                     testing::ValuesIn(disagreements)),
    [](const auto& info) {
      std::ostringstream name;
      name << std::get<1>(info.param) << "_" << std::get<0>(info.param);
      return name.str();
    });

TEST(HierarchicalTopology, OfAnotherSizeIsRefused) {
  run_job(MachineJob{"Auto", Ranks::Threads, {2, 2}}, [](Context& context) {
    EXPECT_FALSE(context.machine_topology());
    EXPECT_THROW(context.set_machine_topology(ring_graph(4)), InvalidArgument);
    EXPECT_FALSE(context.machine_topology());
    context.set_machine_topology(ring_graph(2), true);
    EXPECT_EQ(context.machine_topology()->size(), 2);
    EXPECT_TRUE(context.is_machine_topology_weighted());
  });
}

TEST(HierarchicalTopology, ThatDiffersIsAMismatch) {
  run_job(MachineJob{"Auto", Ranks::Threads, {2, 2}}, [](Context& context) {
    context.set_machine_topology(
        context.rank() == 0 ? fully_connected_graph(2) : ring_graph(2, RingStyle::Left), context.rank() == 0);
    std::vector<float> x(large);
    EXPECT_THROW(context.hierarchical_neighbor_allreduce(std::span<const float>(x), std::span(x)), Mismatch);
    expect_they_work_together(context);
  });
}

}  // namespace
}  // namespace bluefog::test
