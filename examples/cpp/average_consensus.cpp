// Average consensus: every rank starts with a random vector, and all find the mean by talking to neighbours
// only.
//
//   bfrun -np 4 ./average_consensus
//   bfrun -np 4 ./average_consensus --dynamic --iterations 10
//
// The static graph is BlueFog's default, exponential-2; each iteration shrinks the distance to the mean by a
// constant factor. With
// --dynamic every rank talks to one peer an iteration, and 2^k ranks agree after k of them.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>

#include <CLI/CLI.hpp>

#include <bluefog/bluefog.hpp>

#include "split_mix.hpp"

namespace {

struct Options {
  std::size_t size = 1000;
  std::uint64_t iterations = 30;
  std::uint64_t report_every = 5;
  std::uint64_t seed = 2024;
  bool dynamic = false;
};

/// Largest distance of any element of any rank from the mean.
double worst_error(bluefog::Context& context, std::span<const double> x, std::span<const double> mean) {
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) worst = std::max(worst, std::abs(x[i] - mean[i]));
  const bluefog::GatheredTensor all = context.allgather(std::span<const double>(&worst, 1));
  const auto* errors = reinterpret_cast<const double*>(all.data.get());
  return *std::max_element(errors, errors + context.size());
}

void run(const Options& options) {
  bluefog::Context context;
  // In shared memory, so that neighbours mix it in place.
  auto x = context.make_shared<double>(options.size);
  bluefog::examples::SplitMix64 random(options.seed + static_cast<std::uint64_t>(context.rank()));
  for (double& value : x) value = random.normal();

  std::vector<double> mean(options.size);
  context.allreduce(x.span(), std::span(mean));

  bluefog::NeighborAllreduceOptions mixing;
  mixing.meet = true;
  mixing.schedule = options.dynamic ? bluefog::one_peer_exponential(context.size())
                                    : bluefog::static_schedule(context.topology());
  for (mixing.round = 0; mixing.round <= options.iterations; ++mixing.round) {
    if (mixing.round % options.report_every == 0 || mixing.round == options.iterations) {
      const double error = worst_error(context, x.span(), mean);
      if (context.rank() == 0)
        std::printf("iteration %4lu  error %.3e\n", static_cast<unsigned long>(mixing.round), error);
    }
    if (mixing.round < options.iterations) context.neighbor_allreduce(x.span(), x.span(), mixing);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Average consensus over a virtual graph");
  app.add_option("--size", options.size, "elements of each rank's vector")->capture_default_str();
  app.add_option("--iterations", options.iterations, "rounds of neighbour averaging")->capture_default_str();
  app.add_option("--report-every", options.report_every, "rounds between two lines of output")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--seed", options.seed, "of the random vectors; rank r adds r")->capture_default_str();
  app.add_flag("--dynamic", options.dynamic, "one peer a round instead of the static exponential-2 graph");
  CLI11_PARSE(app, argc, argv);
  try {
    run(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "average_consensus: %s\n", error.what());
    return 1;
  }
  return 0;
}
