// Every reduction on every path, with every type, from 1 to 7 ranks, threads and processes: all give the bits
// of the reference, so all paths give the same.

#include "multi/reductions.hpp"

#include <sstream>
#include <tuple>

#include <gtest/gtest.h>

#include "multi/job.hpp"
#include "multi/matrix.hpp"
#include "multi/paths.hpp"

namespace bluefog::test {
namespace {

constexpr DType floating_types[] = {DType::Float16, DType::BFloat16, DType::Float32, DType::Float64};
constexpr DType summable_types[] = {DType::UInt8,    DType::Int8,    DType::Int16,
                                    DType::Int32,    DType::Int64,   DType::Float16,
                                    DType::BFloat16, DType::Float32, DType::Float64};
constexpr std::size_t small_sizes[] = {0, 1, 7, 1000, 16'384 + 3};

struct Step {
  const ReductionCase& operation;
  DType dtype;
  std::size_t count;
};

/// Every type at the small sizes; beyond the eager limit and beyond one chunk, types take turns.
std::vector<Step> steps_of(const ReductionCase& operation, std::size_t turn) {
  const std::span<const DType> types =
      operation.takes_integers ? std::span<const DType>(summable_types) : floating_types;
  std::vector<Step> steps;
  for (const DType dtype : types) {
    for (const std::size_t count : small_sizes) steps.push_back({operation, dtype, count});
  }
  if (is_reduced()) {
    steps.push_back({operation, types[turn % types.size()], 70'001});
    return steps;
  }
  steps.push_back({operation, DType::Float32, 300'001});
  steps.push_back({operation, types[turn % types.size()], 300'001});
  if (turn == 0) steps.push_back({operation, DType::Float32, (std::size_t{1} << 20) + 1});
  return steps;
}

Shape shape_of(std::size_t count) {
  const std::int64_t extents[] = {10, 100};
  return count == 1000 ? Shape(extents) : Shape(count);
}

void call(Context& context, const ReductionCase& operation, const Buffers& buffers, bool meets,
          bool waits_later) {
  ReductionOptions options = operation.options(context.rank(), context.size());
  if (auto* neighbor = std::get_if<NeighborAllreduceOptions>(&options)) {
    neighbor->meet = meets;
    if (waits_later) return context.neighbor_allreduce_async(buffers.input, buffers.output, *neighbor).wait();
    return context.neighbor_allreduce(buffers.input, buffers.output, *neighbor);
  }
  const auto& all = std::get<AllreduceOptions>(options);
  if (waits_later) return context.allreduce_async(buffers.input, buffers.output, all).wait();
  context.allreduce(buffers.input, buffers.output, all);
}

void check(Context& context, Path path, const Step& step, std::uint64_t number) {
  const int rank = context.rank();
  std::ostringstream where;
  where << step.operation.name << ", " << name_of(step.dtype) << ", " << step.count << " elements, " << path
        << ", rank " << rank << " of " << context.size();
  const Buffers buffers(context, path, step.dtype, shape_of(step.count));
  fill(buffers.writable_input.data, step.dtype, step.count, rank, number);
  try {
    call(context, step.operation, buffers, meets(path), number % 2 != 0);
  } catch (const std::exception& error) {
    throw Error(where.str() + ": " + error.what());
  }
  const Expectation wanted = step.operation.expectation(rank, context.size());
  EXPECT_EQ(first_difference(wanted, buffers.output.data, step.dtype, step.count, number), -1) << where.str();
  if (buffers.output.data == buffers.input.data) return;
  const Expectation untouched{Form::Sum, {{rank, 1.0}}, rank};
  EXPECT_EQ(first_difference(untouched, buffers.input.data, step.dtype, step.count, number), -1)
      << "the input of " << where.str();
}

class Reductions : public testing::TestWithParam<std::tuple<JobSize, Path>> {};

TEST_P(Reductions, GiveTheBitsOfTheReference) {
  const auto [job, path] = GetParam();
  run_job(job.ranks, job.size, [path = path](Context& context) {
    for (std::size_t turn = 0; turn < reduction_cases().size(); ++turn) {
      const ReductionCase& operation = reduction_cases()[turn];
      if (!operation.takes_part(context.rank(), context.size())) continue;
      std::uint64_t number = 1000 * turn;  // not counted through: ranks that are in no group skip some
      const Topology before = context.topology();
      if (operation.sets_topology) context.set_topology(weighted_topology(context.size()), true);
      for (const Step& step : steps_of(operation, turn)) check(context, path, step, ++number);
      if (operation.sets_topology) context.set_topology(before);
    }
  });
}

std::string name_of_parameter(const testing::TestParamInfo<std::tuple<JobSize, Path>>& info) {
  std::ostringstream name;
  name << std::get<1>(info.param) << "_" << std::get<0>(info.param);
  return name.str();
}

INSTANTIATE_TEST_SUITE_P(Matrix, Reductions,
                         testing::Combine(testing::ValuesIn(job_sizes()), testing::ValuesIn(all_paths)),
                         name_of_parameter);

}  // namespace
}  // namespace bluefog::test
