// Operations that move tensors without arithmetic: neighbor_allgather, allgather, broadcast, barrier.

#include <algorithm>
#include <atomic>
#include <new>
#include <numeric>
#include <sstream>
#include <tuple>

#include <gtest/gtest.h>
#include <sys/mman.h>

#include "multi/job.hpp"
#include "multi/matrix.hpp"
#include "multi/paths.hpp"
#include "multi/reductions.hpp"

namespace bluefog::test {
namespace {

constexpr DType all_types[] = {DType::Bool,  DType::UInt8,   DType::Int8,     DType::Int16,   DType::Int32,
                               DType::Int64, DType::Float16, DType::BFloat16, DType::Float32, DType::Float64};
constexpr std::size_t columns = 3;

/// Where the tensors lie: all private, all in the arena, or by rank.
enum class Memory { Private, Arena, Mixed };
constexpr Memory all_memories[] = {Memory::Private, Memory::Arena, Memory::Mixed};

bool is_arena(Memory memory, int rank) {
  return memory == Memory::Arena || (memory == Memory::Mixed && rank % 2 == 0);
}

Path path_for(Memory memory, int rank) {
  return is_arena(memory, rank) ? Path::ZeroCopy : Path::Ring;
}

/// First extents that differ from rank to rank, with an empty one.
std::size_t rows_of(int rank, std::size_t scale) {
  return rank % 3 == 1 ? 0 : scale * static_cast<std::size_t>(rank + 1) + static_cast<std::size_t>(rank % 2);
}

struct Source {
  int rank;
  std::size_t rows;
};

void expect_gathered(const GatheredTensor& gathered, DType dtype, const std::vector<Source>& sources,
                     std::uint64_t step, const std::string& where) {
  std::size_t rows = 0;
  for (const Source& source : sources) rows += source.rows;
  const std::int64_t extents[] = {static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns)};
  ASSERT_EQ(gathered.shape, Shape(extents)) << where << ": " << gathered.shape.to_string();
  ASSERT_EQ(gathered.dtype, dtype) << where;
  const std::byte* next = gathered.data.get();
  for (const Source& source : sources) {
    std::vector<std::byte> wanted(source.rows * columns * size_of(dtype) + 1);
    fill(wanted.data(), dtype, source.rows * columns, source.rank, step);
    EXPECT_TRUE(std::equal(wanted.begin(), wanted.end() - 1, next))
        << where << ", the part of rank " << source.rank;
    next += wanted.size() - 1;
  }
}

/// The own tensor of a gather.
Buffers source_tensor(Context& context, Memory memory, DType dtype, std::size_t scale, std::uint64_t step) {
  const int rank = context.rank();
  const std::int64_t extents[] = {static_cast<std::int64_t>(rows_of(rank, scale)),
                                  static_cast<std::int64_t>(columns)};
  Buffers buffers(context, path_for(memory, rank), dtype, Shape(extents));
  fill(buffers.writable_input.data, dtype, buffers.input.count(), rank, step);
  return buffers;
}

/// Calls `body(dtype, scale, step)` for every type with few rows, and for some with rows beyond the eager
/// limit.
template <class Body>
void for_each_tensor(Body body) {
  std::uint64_t step = 0;
  for (const DType dtype : all_types) body(dtype, 5, ++step);
  body(DType::Float32, is_reduced() ? 7'001 : 40'001, ++step);
  body(DType::Int64, 10'001, ++step);
}

std::vector<Source> sources_of(const std::vector<int>& ranks, std::size_t scale) {
  std::vector<Source> sources;
  for (const int rank : ranks) sources.push_back({rank, rows_of(rank, scale)});
  return sources;
}

std::vector<int> everyone(int size) {
  std::vector<int> ranks(static_cast<std::size_t>(size));
  std::iota(ranks.begin(), ranks.end(), 0);
  return ranks;
}

class Collectives : public testing::TestWithParam<std::tuple<JobSize, Memory>> {
 protected:
  /// Runs `body(context, memory, dtype, scale, step)` on all ranks for every tensor.
  template <class Body>
  void run(Body body) {
    const auto [job, memory] = GetParam();
    run_job(job.ranks, job.size, [memory = memory, &body](Context& context) {
      for_each_tensor([&](DType dtype, std::size_t scale, std::uint64_t step) {
        std::ostringstream where;
        where << name_of(dtype) << ", scale " << scale << ", rank " << context.rank();
        body(context, memory, dtype, scale, step, where.str());
      });
    });
  }
};

TEST_P(Collectives, NeighborAllgatherFollowsTheTopology) {
  run([](Context& context, Memory memory, DType dtype, std::size_t scale, std::uint64_t step,
         const std::string& where) {
    const Buffers own = source_tensor(context, memory, dtype, scale, step);
    const auto sources = exponential_sources(context.rank(), context.size());
    expect_gathered(context.neighbor_allgather(own.input), dtype, sources_of(sources, scale), step, where);
  });
}

TEST_P(Collectives, NeighborAllgatherFollowsTheOrderOfSrcRanks) {
  run([](Context& context, Memory memory, DType dtype, std::size_t scale, std::uint64_t step,
         const std::string& where) {
    const Buffers own = source_tensor(context, memory, dtype, scale, step);
    NeighborAllgatherOptions options;
    options.src_ranks.emplace();
    options.dst_ranks.emplace();
    for (int distance = 1; distance < std::min(context.size(), 4); ++distance) {
      options.src_ranks->push_back((context.rank() + context.size() - distance) % context.size());
      options.dst_ranks->push_back((context.rank() + distance) % context.size());
    }
    Handle handle = context.neighbor_allgather_async(own.input, options);
    handle.wait();
    expect_gathered(handle.gathered(), dtype, sources_of(*options.src_ranks, scale), step, where);
  });
}

TEST_P(Collectives, AllgatherFollowsTheOrderOfTheGroup) {
  run([](Context& context, Memory memory, DType dtype, std::size_t scale, std::uint64_t step,
         const std::string& where) {
    const Buffers own = source_tensor(context, memory, dtype, scale, step);
    std::vector<int> ranks = everyone(context.size());
    expect_gathered(context.allgather(own.input), dtype, sources_of(ranks, scale), step, where);
    OperationOptions options;
    options.group.assign(ranks.rbegin(), ranks.rend());
    expect_gathered(context.allgather(own.input, options), dtype, sources_of(options.group, scale), step,
                    where);
  });
}

TEST_P(Collectives, BroadcastWorksFromEveryRoot) {
  run([](Context& context, Memory memory, DType dtype, std::size_t scale, std::uint64_t step,
         const std::string& where) {
    const std::size_t count = scale * 4 + 1;
    const Buffers buffers(context, path_for(memory, context.rank()), dtype, Shape(count));
    for (int root = 0; root < context.size(); ++root) {
      fill(buffers.writable_input.data, dtype, count, context.rank(), step);
      context.broadcast(buffers.writable_input, root);
      std::vector<std::byte> wanted(buffers.input.bytes());
      fill(wanted.data(), dtype, count, root, step);
      EXPECT_TRUE(std::equal(wanted.begin(), wanted.end(), static_cast<const std::byte*>(buffers.input.data)))
          << where << ", root " << root;
    }
  });
}

std::string name_of_parameter(const testing::TestParamInfo<std::tuple<JobSize, Memory>>& info) {
  constexpr const char* names[] = {"Private", "Arena", "Mixed"};
  std::ostringstream name;
  name << names[static_cast<int>(std::get<1>(info.param))] << "_" << std::get<0>(info.param);
  return name.str();
}

INSTANTIATE_TEST_SUITE_P(Matrix, Collectives,
                         testing::Combine(testing::ValuesIn(job_sizes()), testing::ValuesIn(all_memories)),
                         name_of_parameter);

class Meetings : public testing::TestWithParam<JobSize> {};

TEST_P(Meetings, NobodyLeavesABarrierBeforeAllHaveEntered) {
  // In shared memory, for ranks that are processes.
  const std::size_t bytes = sizeof(std::atomic<int>);
  void* const page = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(page, MAP_FAILED);
  auto* const entered = new (page) std::atomic<int>(0);
  const JobSize job = GetParam();
  run_job(job.ranks, job.size, [entered](Context& context) {
    for (int round = 1; round <= 100; ++round) {
      entered->fetch_add(1);
      context.barrier();
      EXPECT_GE(entered->load(), context.size() * round);
    }
  });
  ::munmap(page, bytes);
}

TEST_P(Meetings, SeveralBarriersMayBeInFlight) {
  const JobSize job = GetParam();
  run_job(job.ranks, job.size, [](Context& context) {
    OperationOptions first;
    first.name = "first";
    OperationOptions second;
    second.name = "second";
    Handle one = context.barrier_async(context.rank() == 0 ? first : second);
    Handle other = context.barrier_async(context.rank() == 0 ? second : first);
    one.wait();
    other.wait();
  });
}

TEST_P(Meetings, AGroupMeetsWithoutTheOthers) {
  const JobSize job = GetParam();
  run_job(job.ranks, job.size, [](Context& context) {
    OperationOptions options;
    options.group = {context.size() - 1};
    if (context.size() > 1) options.group.push_back(0);
    if (std::count(options.group.begin(), options.group.end(), context.rank()) > 0) {
      for (int i = 0; i < 20; ++i) context.barrier(options);
    }
    context.barrier();
  });
}

INSTANTIATE_TEST_SUITE_P(Matrix, Meetings, testing::ValuesIn(job_sizes()), testing::PrintToStringParamName());

}  // namespace
}  // namespace bluefog::test
