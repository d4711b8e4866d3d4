/// @file kernels_benchmark.cpp  Bandwidth of the mixing kernels on one core.
///
/// bytes_per_second counts streams times bytes (reads and writes, no reads for ownership), so that the rows
/// compare with the memcpy rows. Arguments: bytes of one tensor; in place 1 or fresh outputs 0; streaming
/// stores 1 or plain 0.

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "mixing/kernels.hpp"

namespace {

using namespace bluefog;
using namespace bluefog::mixing;

constexpr std::align_val_t page{4096};

struct PageDeleter {
  void operator()(std::byte* memory) const { ::operator delete[](memory, page); }
};
using Buffer = std::unique_ptr<std::byte[], PageDeleter>;

/// Filled with ones of either float type or small integers, never with subnormals.
Buffer make_buffer(std::size_t bytes) {
  Buffer buffer(static_cast<std::byte*>(::operator new[](bytes, page)));
  std::memset(buffer.get(), 0x3c, bytes);
  return buffer;
}

StoreKind store_of(std::int64_t argument) {
  return argument != 0 ? StoreKind::Streaming : StoreKind::Plain;
}

/// Each of `rank_count` ranks averages `terms` consecutive ranks with weights; one row stands for one tensor
/// written.
class Mixing {
 public:
  Mixing(std::size_t rank_count, std::size_t row_count, std::size_t terms, Combine combine, std::size_t bytes,
         bool in_place)
      : terms_(row_count) {
    for (std::size_t i = 0; i < rank_count; ++i)
      inputs_.push_back(buffers_.emplace_back(make_buffer(bytes)).get());
    for (std::size_t r = 0; r < row_count; ++r) {
      for (std::size_t t = 0; t < terms; ++t) {
        const double weight = t == 0 ? 0.6 : 0.4 / static_cast<double>(terms - 1);
        terms_[r].push_back(Term{static_cast<std::uint32_t>((r + t) % rank_count), weight});
      }
      std::sort(terms_[r].begin(), terms_[r].end(), [](Term a, Term b) { return a.input < b.input; });
      rows_.push_back(Row{combine, terms_[r], combine == Combine::Difference ? 0 : -1});
      if (!in_place) buffers_.push_back(make_buffer(bytes));
      outputs_.push_back(in_place ? buffers_[r].get() : buffers_.back().get());
    }
  }

  void run(DType dtype, std::size_t bytes, StoreKind store) const {
    combine_rows(dtype, rows_, inputs_, outputs_, bytes / size_of(dtype), store);
  }

  [[nodiscard]] std::size_t streams() const { return inputs_.size() + outputs_.size(); }

 private:
  std::vector<std::vector<Term>> terms_;
  std::vector<Row> rows_;
  std::vector<Buffer> buffers_;
  std::vector<const void*> inputs_;
  std::vector<void*> outputs_;
};

void measure(benchmark::State& state, std::size_t ranks, std::size_t rows, std::size_t terms, Combine combine,
             DType dtype) {
  const auto bytes = static_cast<std::size_t>(state.range(0));
  const Mixing mixing(ranks, rows, terms, combine, bytes, state.range(1) != 0);
  const StoreKind store = store_of(state.range(2));
  for (auto _ : state) {
    mixing.run(dtype, bytes, store);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes * mixing.streams()));
}

void memcpy_plain(benchmark::State& state) {
  const auto bytes = static_cast<std::size_t>(state.range(0));
  const Buffer from = make_buffer(bytes);
  const Buffer to = make_buffer(bytes);
  for (auto _ : state) {
    std::memcpy(to.get(), from.get(), bytes);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(2 * bytes));
}

void copy_streaming(benchmark::State& state) {
  const auto bytes = static_cast<std::size_t>(state.range(0));
  const Buffer from = make_buffer(bytes);
  const Buffer to = make_buffer(bytes);
  for (auto _ : state) {
    copy_bytes(to.get(), from.get(), bytes, StoreKind::Streaming);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(2 * bytes));
}

void sizes(benchmark::internal::Benchmark* bench) {
  for (const std::int64_t bytes : {std::int64_t{64} << 10, std::int64_t{1} << 20, std::int64_t{16} << 20}) {
    bench->Args({bytes});
  }
}

void sizes_and_stores(benchmark::internal::Benchmark* bench) {
  for (const std::int64_t bytes :
       {std::int64_t{4} << 10, std::int64_t{64} << 10, std::int64_t{1} << 20, std::int64_t{16} << 20}) {
    bench->Args({bytes, 1, 0})->Args({bytes, 0, 0})->Args({bytes, 0, 1});
  }
}

BENCHMARK(memcpy_plain)->Apply(sizes);
BENCHMARK(copy_streaming)->Apply(sizes);
BENCHMARK_CAPTURE(measure, mean_2_to_1, 2, 1, 2, Combine::Mean, DType::Float32)->Apply(sizes_and_stores);
BENCHMARK_CAPTURE(measure, weighted_2_to_1, 2, 1, 2, Combine::Weighted, DType::Float32)
    ->Apply(sizes_and_stores);
BENCHMARK_CAPTURE(measure, weighted_4_to_1, 4, 1, 4, Combine::Weighted, DType::Float32)
    ->Apply(sizes_and_stores);
BENCHMARK_CAPTURE(measure, weighted_slice_2x2, 2, 2, 2, Combine::Weighted, DType::Float32)
    ->Apply(sizes_and_stores);
BENCHMARK_CAPTURE(measure, weighted_slice_4x4, 4, 4, 3, Combine::Weighted, DType::Float32)
    ->Apply(sizes_and_stores);
BENCHMARK_CAPTURE(measure, difference_slice_4x4, 4, 4, 3, Combine::Difference, DType::Float32)
    ->Apply(sizes_and_stores);
BENCHMARK_CAPTURE(measure, mean_of_all_2x2, 2, 2, 2, Combine::Mean, DType::Float32)->Apply(sizes_and_stores);
BENCHMARK_CAPTURE(measure, difference_slice_8x8, 8, 8, 4, Combine::Difference, DType::Float32)
    ->Apply(sizes_and_stores);
BENCHMARK_CAPTURE(measure, mean_of_all_4x4, 4, 4, 4, Combine::Mean, DType::Float32)->Apply(sizes_and_stores);
BENCHMARK_CAPTURE(measure, float16_slice_4x4, 4, 4, 3, Combine::Weighted, DType::Float16)
    ->Apply(sizes_and_stores);
BENCHMARK_CAPTURE(measure, bfloat16_slice_4x4, 4, 4, 3, Combine::Weighted, DType::BFloat16)
    ->Apply(sizes_and_stores);

}  // namespace
