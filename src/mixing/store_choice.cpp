#include "mixing/store_choice.hpp"

#include <algorithm>
#include <array>

namespace bluefog::mixing {

namespace {

constexpr int trials = 5;

base::Duration time_average(std::span<std::byte> scratch, StoreKind store, const base::Clock& clock) {
  const std::size_t third = scratch.size() / 3;
  const std::array<const void*, 2> inputs{scratch.data(), scratch.data() + third};
  const std::array<void*, 1> outputs{scratch.data() + 2 * third};
  const std::array<Term, 2> terms{{{0, 0.5}, {1, 0.5}}};
  const Row row{Combine::Mean, terms, 0};
  const auto begin = clock.now();
  combine_rows(DType::Float32, std::span(&row, 1), inputs, outputs, third / sizeof(float), store);
  return clock.now() - begin;
}

}  // namespace

StoreKind faster_store(std::span<std::byte> scratch, const base::Clock& clock) {
  std::array<base::Duration, trials> plain{};
  std::array<base::Duration, trials> streaming{};
  static_cast<void>(
      time_average(scratch, StoreKind::Plain, clock));  // the first touches are not to be measured
  for (int trial = 0; trial < trials; ++trial) {
    plain[static_cast<std::size_t>(trial)] = time_average(scratch, StoreKind::Plain, clock);
    streaming[static_cast<std::size_t>(trial)] = time_average(scratch, StoreKind::Streaming, clock);
  }
  std::nth_element(plain.begin(), plain.begin() + trials / 2, plain.end());
  std::nth_element(streaming.begin(), streaming.begin() + trials / 2, streaming.end());
  return streaming[trials / 2] < plain[trials / 2] ? StoreKind::Streaming : StoreKind::Plain;
}

}  // namespace bluefog::mixing
