// A pipeline of coroutines: while one block of a vector is averaged with the neighbours, the next is
// computed.
//
//   bfrun -np 4 ./coroutine_pipeline
//
// Each rank has a signal in several blocks. A task for each block smooths it and averages it with a
// neighbour, step by step; run() takes up whichever task can go on. Ranks need not be at the same block at
// the same time: operations are matched by their names.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <span>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <bluefog/bluefog.hpp>
#include <bluefog/coroutine.hpp>

#include "split_mix.hpp"

namespace {

struct Options {
  std::size_t blocks = 4;
  std::size_t block_size = 10'000;
  std::uint64_t steps = 40;
  std::uint64_t seed = 2024;
};

/// Takes each element nearer to the mean of those beside it: what a rank computes between averages.
void smooth(std::span<double> block) {
  double before = block.front();
  for (std::size_t i = 1; i + 1 < block.size(); ++i) {
    const double own = block[i];
    block[i] = 0.5 * own + 0.25 * (before + block[i + 1]);
    before = own;
  }
}

bluefog::Task<> process(bluefog::Context& context, std::span<double> block, std::string name,
                        std::uint64_t steps) {
  bluefog::NeighborAllreduceOptions mixing;
  mixing.name = name;
  mixing.schedule = bluefog::one_peer_exponential(context.size());
  for (mixing.round = 0; mixing.round < steps; ++mixing.round) {
    smooth(block);
    co_await context.neighbor_allreduce_async(block, block, mixing);  // other blocks go on meanwhile
  }
}

/// Largest difference of any element of any rank from the mean over the ranks.
bluefog::Task<double> worst_difference(bluefog::Context& context, std::span<const double> x) {
  std::vector<double> mean(x.size());
  co_await context.allreduce_async(x, mean);
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) worst = std::max(worst, std::abs(x[i] - mean[i]));
  const bluefog::Handle gathering = co_await context.allgather_async(std::span<const double>(&worst, 1));
  const auto* all = reinterpret_cast<const double*>(gathering.gathered().data.get());
  co_return *std::max_element(all, all + context.size());
}

void run(const Options& options) {
  bluefog::Context context;
  const auto signal = context.make_shared<double>(options.blocks * options.block_size);
  bluefog::examples::SplitMix64 random(options.seed + static_cast<std::uint64_t>(context.rank()));
  for (double& value : signal) value = random.normal();

  std::vector<bluefog::Task<>> tasks;
  for (std::size_t block = 0; block < options.blocks; ++block) {
    const std::span<double> part = signal.span().subspan(block * options.block_size, options.block_size);
    tasks.push_back(process(context, part, "block " + std::to_string(block), options.steps));
  }
  bluefog::run(bluefog::when_all(std::move(tasks)));

  const double worst = bluefog::run(worst_difference(context, signal.span()));
  if (context.rank() == 0) {
    std::printf("step %3lu of %zu blocks: %d ranks agree to %.1e\n",
                static_cast<unsigned long>(options.steps - 1), options.blocks, context.size(), worst);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("A pipeline of coroutines");
  app.add_option("--blocks", options.blocks)->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--block-size", options.block_size, "elements")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--steps", options.steps)->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--seed", options.seed, "of the random signals; rank r adds r")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    run(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "coroutine_pipeline: %s\n", error.what());
    return 1;
  }
  return 0;
}
