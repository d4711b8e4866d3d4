// Ranks that do not mean the same operation over hosts: whoever is concerned gets an error that says what
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

#include "multi/job.hpp"

namespace bluefog::test {
namespace {

constexpr std::size_t large = 50'001;

/// One rank's call; all make the right one unless it is changed.
struct Call {
  std::size_t count = large;
  DType dtype = DType::Float32;
  NeighborAllreduceOptions options;
};

struct Disagreement {
  std::string name;
  std::function<void(int rank, Call& call)> change;
  std::string part;  ///< of the error of every rank but those that have none
  /// Ranks whose call may succeed: nothing that they do depends on the others.
  std::vector<int> unconcerned = {};
};
std::ostream& operator<<(std::ostream& out, const Disagreement& disagreement) {
  return out << disagreement.name;
}

Call right_call(int size) {
  Call call;
  call.options.schedule = one_peer_exponential(size);
  call.options.round = 1;
  call.options.meet = true;
  return call;
}

/// @returns the text of the error, or nothing
std::string outcome_of(Context& context, const Call& call) {
  SharedMemory memory = context.allocate_shared(call.count * size_of(call.dtype));
  const Tensor tensor(memory.data(), call.dtype, Shape(call.count));
  try {
    context.neighbor_allreduce(ConstTensor(memory.data(), call.dtype, Shape(call.count)), tensor,
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
  NeighborAllreduceOptions mix = right_call(context.size()).options;
  for (mix.round = 0; mix.round < 2; ++mix.round) context.neighbor_allreduce(x.span(), x.span(), mix);
  EXPECT_EQ(x[large - 1], 1.5);
}

using Parameter = std::tuple<Ranks, Disagreement>;
class OverHostsMismatch : public testing::TestWithParam<Parameter> {};

TEST_P(OverHostsMismatch, IsToldToAllConcerned) {
  const auto& [ranks, disagreement] = GetParam();
  run_job(ranks, 4, [&disagreement = disagreement](Context& context) {
    context.barrier();
    Call call = right_call(context.size());
    disagreement.change(context.rank(), call);
    const std::string text = outcome_of(context, call);
    const auto& free = disagreement.unconcerned;
    if (!text.empty() || std::find(free.begin(), free.end(), context.rank()) == free.end()) {
      EXPECT_NE(text.find(disagreement.part), std::string::npos)
          << "on rank " << context.rank() << " \"" << disagreement.part << "\" is not in \"" << text << "\"";
    }
    expect_they_work_together(context);
  });
}

const std::vector<Disagreement> disagreements{
    {"RoundsOfHosts", [](int rank, Call& call) { call.options.round = rank < 2 ? 0 : 1; }, "mixing matrix"},
    {"RoundOfOneRank", [](int rank, Call& call) { call.options.round = rank == 3 ? 0 : 1; }, "mixing matrix"},
    {"Schedules",
     [](int rank, Call& call) {
       if (rank == 0) call.options.schedule = static_schedule(fully_connected_graph(4));
     },
     "mixing matrix"},
    {"TopologyAgainstSchedule",
     [](int rank, Call& call) {
       if (rank >= 2) call.options.schedule = nullptr;
     },
     "mixing matrix"},
    {"Form",
     [](int rank, Call& call) { call.options.form = rank == 1 ? MixingForm::Difference : MixingForm::Plain; },
     "mixing matrix"},
    {"WeightsInTheCall",
     [](int rank, Call& call) {
       if (rank != 0) return;
       call.options.schedule = nullptr;
       call.options.self_weight = 0.5;
       call.options.src_weights = Weights{{2, 0.5}};
       call.options.dst_weights = Weights{{2, 1.0}};
     },
     "mixing matrix"},
    {"ARoundThatStaysInTheHosts",
     [](int rank, Call& call) {
       call.options.schedule = one_peer_hypercube(4);
       call.options.round = rank < 2 ? 0 : 1;
     },
     "",
     {0, 1}},
    {"Shape", [](int rank, Call& call) { call.count = rank == 2 ? large + 1 : large; }, "shape"},
    {"AShapeThatGoesWithThePost", [](int rank, Call& call) { call.count = rank == 2 ? 100 : large; },
     "shape"},
    {"ShapesOfHosts", [](int rank, Call& call) { call.count = rank < 2 ? large : 200; }, "shape"},
    {"Type", [](int rank, Call& call) { call.dtype = rank == 1 ? DType::Float64 : DType::Float32; }, "dtype"},
    {"Meeting", [](int rank, Call& call) { call.options.meet = rank != 1; }, "meet"},
    {"AWrongCall", [](int rank, Call& call) { call.dtype = rank == 2 ? DType::Int32 : DType::Float32; },
     "cannot be averaged"},
};

INSTANTIATE_TEST_SUITE_P(Jobs, OverHostsMismatch,
                         testing::Combine(testing::Values(Ranks::SimulatedPairs, Ranks::TcpPairs),
                                          testing::ValuesIn(disagreements)),
                         [](const auto& info) {
                           std::ostringstream name;
                           name << std::get<1>(info.param) << "_" << std::get<0>(info.param);
                           return name.str();
                         });

}  // namespace
}  // namespace bluefog::test
