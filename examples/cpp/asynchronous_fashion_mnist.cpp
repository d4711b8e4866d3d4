// Asynchronous training of a small network on Fashion-MNIST, without a framework: no rank waits for another,
// even if one is slow.
//
//   bfrun -np 4 ./asynchronous_fashion_mnist --slow-rank 3
//   bfrun -np 4 ./asynchronous_fashion_mnist --slow-rank 3 --mixing pairwise
//
// Each rank trains on images of its own for --seconds, at its own pace: a step takes --step-time, of the slow
// rank --slow-factor times as long; what computing leaves of it is sleep. What a rank sends travels while it
// computes the gradient. There is no collective call until training is over.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>

#include <bluefog/bluefog.hpp>

#include "fashion_mnist_data.hpp"
#include "two_layer_network.hpp"

namespace {

using bluefog::examples::Images;
using bluefog::examples::TwoLayerNetwork;
using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

struct Options {
  std::string mixing = "push-sum";
  double seconds = 30;
  double step_time = 0.01;
  std::optional<int> slow_rank;
  double slow_factor = 3;
  std::int64_t batch_size = 32;
  float rate = 0.05F;
  float momentum = 0.9F;
  std::uint64_t seed = 1;
  std::string data;
};

constexpr std::size_t hidden_units = 128;
constexpr double longest_training = 1e6;  ///< seconds

/// What a rank says of its training. Doubles, so that ranks can gather it.
struct Summary {
  double steps;
  double accuracy;
};

class MomentumDescent {
 public:
  MomentumDescent(std::size_t parameters, float momentum) : velocity_(parameters), momentum_(momentum) {}

  void step(std::span<float> parameters, std::span<const float> gradient, float rate) {
    for (std::size_t i = 0; i < velocity_.size(); ++i) {
      velocity_[i] = momentum_ * velocity_[i] + gradient[i];
      parameters[i] -= rate * velocity_[i];
    }
  }

 private:
  std::vector<float> velocity_;
  float momentum_;
};

/// What no type of an option rules out.
void check(const Options& options) {
  const auto demand = [](bool holds, const std::string& what) {
    if (!holds) throw std::invalid_argument(what);
  };
  demand(options.seconds > 0 && options.seconds <= longest_training, "--seconds must lie in (0, 1e6]");
  demand(options.step_time >= 0 && std::isfinite(options.step_time),
         "--step-time must be finite, and not negative");
  demand(options.slow_factor > 0 && std::isfinite(options.slow_factor),
         "--slow-factor must be finite and positive");
  demand(options.batch_size > 0, "--batch-size must be positive");
  demand(options.rate > 0 && std::isfinite(options.rate), "--lr must be finite and positive");
  demand(options.momentum >= 0 && options.momentum < 1, "--momentum must lie in [0, 1)");
}

std::unique_ptr<bluefog::AsynchronousMixing> make_mixing(const Options& options, bluefog::Context& context,
                                                         bluefog::Tensor parameters) {
  bluefog::AsynchronousOptions settings;
  settings.seed = options.seed;
  const std::vector buckets{parameters};
  if (options.mixing == "put") return std::make_unique<bluefog::WindowPutMixing>(context, buckets, settings);
  if (options.mixing == "get") return std::make_unique<bluefog::WindowGetMixing>(context, buckets, settings);
  if (options.mixing == "push-sum")
    return std::make_unique<bluefog::PushSumMixing>(context, buckets, settings);
  return std::make_unique<bluefog::PairwiseMixing>(context, buckets, settings);
}

/// No rank waits for another in here. @returns the number of steps
std::uint64_t train(const Options& options, double step_time, TwoLayerNetwork& network,
                    std::span<float> parameters, bluefog::examples::Batches& batches,
                    bluefog::AsynchronousMixing& mixing) {
  MomentumDescent optimizer(parameters.size(), options.momentum);
  std::vector<float> gradient(parameters.size());
  const Clock::time_point begin = Clock::now();
  const auto elapsed = [begin] { return Seconds(Clock::now() - begin).count(); };
  std::uint64_t steps = 0;
  for (double now = 0; now < options.seconds; now = elapsed()) {
    mixing.begin_exchange();
    batches.advance();
    network.compute_gradient(parameters, batches.inputs(), batches.labels(), gradient);
    std::this_thread::sleep_for(Seconds(std::min(now + step_time, options.seconds) - elapsed()));
    mixing.end_exchange();
    mixing.begin_step();
    optimizer.step(parameters, gradient, options.rate * static_cast<float>(1 - now / options.seconds));
    mixing.end_step();
    ++steps;
  }
  return steps;
}

double accuracy(TwoLayerNetwork& network, std::span<const float> parameters, const Images& images) {
  constexpr std::size_t most_at_once = 100;
  std::vector<float> inputs;
  std::size_t correct = 0;
  for (std::size_t first = 0; first < images.size(); first += most_at_once) {
    const std::size_t count = std::min(most_at_once, images.size() - first);
    inputs.resize(count * bluefog::examples::pixels_per_image);
    for (std::size_t i = 0; i < count; ++i) {
      images.scale_into(std::span(inputs).subspan(i * bluefog::examples::pixels_per_image), first + i);
    }
    correct += network.count_correct(parameters, inputs, images.labels().subspan(first, count));
  }
  return static_cast<double>(correct) / static_cast<double>(images.size());
}

/// Collective. Rank 0 prints it.
void report(const Options& options, bluefog::Context& context, TwoLayerNetwork& network,
            std::span<const float> parameters, std::uint64_t steps, const Images& test) {
  const std::vector<double> own{static_cast<double>(steps), accuracy(network, parameters, test)};
  const bluefog::GatheredTensor gathered = context.allgather(own);
  std::vector<float> mean(parameters.size());
  context.allreduce(parameters, mean);
  if (context.rank() != 0) return;
  const std::span summaries(reinterpret_cast<const Summary*>(gathered.data.get()),
                            static_cast<std::size_t>(context.size()));
  std::string all_steps;
  std::string accuracies;
  for (const Summary& summary : summaries) {
    all_steps += std::to_string(static_cast<std::uint64_t>(summary.steps)) + " ";
    char percent[16];
    std::snprintf(percent, sizeof percent, "%.2f ", 100 * summary.accuracy);
    accuracies += percent;
  }
  std::printf("%s: %ssteps of the ranks in %g s: accuracy %s%%, of the mean model %.2f %%\n",
              options.mixing.c_str(), all_steps.c_str(), options.seconds, accuracies.c_str(),
              100 * accuracy(network, mean, test));
}

void run(const Options& options) {
  check(options);
  bluefog::Context context;
  const int size = context.size();
  if (options.slow_rank && (*options.slow_rank < 0 || *options.slow_rank >= size)) {
    throw std::invalid_argument("--slow-rank " + std::to_string(*options.slow_rank) + ": ranks are 0 to " +
                                std::to_string(size - 1));
  }
  const auto folder = bluefog::examples::find_fashion_mnist(options.data);
  const Images images = Images::read(folder, "train").share_of(context.rank(), size, options.seed);
  const Images test = Images::read(folder, "t10k");
  if (images.size() == 0 || test.size() == 0) {
    throw std::invalid_argument(folder.string() + ": too few images for " + std::to_string(size) +
                                " rank(s)");
  }
  bluefog::examples::Batches batches(images, static_cast<std::size_t>(options.batch_size),
                                     options.seed + 1 + static_cast<std::uint64_t>(context.rank()));

  TwoLayerNetwork network(bluefog::examples::pixels_per_image, hidden_units,
                          bluefog::examples::fashion_classes);
  // In shared memory, where other ranks of the host read it without a copy.
  const auto parameters = context.make_shared<float>(network.parameter_count());
  network.initialize(parameters.span(), options.seed);
  context.broadcast(parameters.span(), 0);
  context.set_topology(bluefog::exponential_two_graph(size), true);
  const auto mixing = make_mixing(options, context, parameters.span());
  context.barrier();
  const double pace = context.rank() == options.slow_rank ? options.slow_factor : 1;
  const std::uint64_t steps =
      train(options, pace * options.step_time, network, parameters.span(), batches, *mixing);
  mixing->close();
  report(options, context, network, parameters.span(), steps, test);
}

/// In one write: ranks share the terminal.
int give_up(const std::string& why) {
  const std::string line = "asynchronous_fashion_mnist: " + why + "\n";
  std::fputs(line.c_str(), stderr);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Asynchronous training of a small network on Fashion-MNIST, without a framework");
  app.add_option("--mixing", options.mixing, "how ranks mix their parameters")
      ->capture_default_str()
      ->check(CLI::IsMember({"put", "get", "push-sum", "pairwise"}));
  app.add_option("--seconds", options.seconds, "of training")->capture_default_str();
  app.add_option("--step-time", options.step_time, "seconds; 0: as fast as the machine can")
      ->capture_default_str();
  app.add_option("--slow-rank", options.slow_rank, "whose steps take longer; none unless told");
  app.add_option("--slow-factor", options.slow_factor, "so many times")->capture_default_str();
  app.add_option("--batch-size", options.batch_size, "images a step of each rank")->capture_default_str();
  app.add_option("--lr", options.rate, "learning rate at the start; it falls to zero linearly in time")
      ->capture_default_str();
  app.add_option("--momentum", options.momentum)->capture_default_str();
  app.add_option("--seed", options.seed, "of the first parameters and all orders of images")
      ->capture_default_str();
  app.add_option("--data", options.data, "folder of the four .gz files");
  try {
    app.parse(argc, argv);
    run(options);
  } catch (const CLI::ParseError& error) {
    return error.get_exit_code() == 0 ? app.exit(error) : give_up(error.what());
  } catch (const std::exception& error) {
    return give_up(error.what());
  }
  return 0;
}
