// Decentralized training of a small CNN on Fashion-MNIST, with LibTorch.
//
//   bfrun -np 4 ./fashion_mnist
//   bfrun -np 4 ./fashion_mnist --algorithm gradient-tracking --topology ring
//
// The model, the initial parameters, each rank's images, the order of batches and the learning rates are
// those of examples/python/fashion_mnist.py with the same options.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <map>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <torch/torch.h>

#include <bluefog/torch.hpp>

#include "fashion_mnist_data.hpp"

namespace {

using bluefog::examples::pixels_per_image;

struct Options {
  std::string algorithm = "awc";
  std::string topology = "one-peer";
  std::int64_t epochs = 3;
  std::int64_t batch_size = 32;
  double rate = 0.05;
  double momentum = 0.9;
  std::uint64_t seed = 1;
  std::int64_t limit = 0;
  std::int64_t steps = 0;
  std::string data;
  std::string parameters_to;
};

/// Images as floats [n, 1, 28, 28] of about zero mean and unit variance, and labels [n].
struct Examples {
  at::Tensor images;
  at::Tensor labels;
};

Examples read(const std::filesystem::path& folder, const std::string& part) {
  const auto images = bluefog::examples::Images::read(folder, part);
  const auto count = static_cast<std::int64_t>(images.size());
  Examples read{at::empty({count, 1, 28, 28}), at::empty({count}, at::kLong)};
  const std::span pixels(read.images.data_ptr<float>(), images.size() * pixels_per_image);
  for (std::size_t i = 0; i < images.size(); ++i) {
    images.scale_into(pixels.subspan(i * pixels_per_image, pixels_per_image), i);
  }
  std::ranges::copy(images.labels(), read.labels.data_ptr<std::int64_t>());
  return read;
}

at::Tensor permutation(std::int64_t count, std::uint64_t seed) {
  return at::randperm(count, at::make_generator<at::CPUGeneratorImpl>(seed),
                      at::TensorOptions().dtype(at::kLong));
}

/// This rank's part of a common shuffle; all parts are of one length.
Examples share_of(const Examples& all, const bluefog::Context& context, const Options& options) {
  at::Tensor order = permutation(all.labels.size(0), options.seed);
  if (options.limit > 0) order = order.narrow(0, 0, std::min(options.limit, order.size(0)));
  const std::int64_t each = order.size(0) / context.size();
  if (each == 0) throw std::invalid_argument("--limit leaves some ranks without an image");
  const at::Tensor own = order.slice(0, context.rank(), at::nullopt, context.size()).narrow(0, 0, each);
  return {all.images.index_select(0, own), all.labels.index_select(0, own)};
}

torch::nn::Sequential make_model() {
  namespace nn = torch::nn;
  nn::Sequential model;  // layer by layer, for each draws its initial parameters
  model->push_back(nn::Conv2d(1, 16, 5));
  model->push_back(nn::ReLU());
  model->push_back(nn::MaxPool2d(2));
  model->push_back(nn::Conv2d(16, 32, 5));
  model->push_back(nn::ReLU());
  model->push_back(nn::MaxPool2d(2));
  model->push_back(nn::Flatten());
  model->push_back(nn::Linear(32 * 4 * 4, 128));
  model->push_back(nn::ReLU());
  model->push_back(nn::Linear(128, 10));
  return model;
}

bluefog::Topology graph_of(const std::string& name, int size) {
  if (name == "ring") return bluefog::ring_graph(size);
  if (name == "exp2") return bluefog::exponential_two_graph(size);
  return bluefog::fully_connected_graph(size);
}

bluefog::MakeAlgorithm algorithm_for(const Options& options, bluefog::Context& context) {
  bluefog::DecentralizedOptions mixing;
  mixing.schedule = options.topology == "one-peer"
                        ? bluefog::one_peer_exponential(context.size())
                        : bluefog::static_schedule(graph_of(options.topology, context.size()));
  const std::map<std::string, bluefog::MakeAlgorithm> algorithms{
      {"awc", bluefog::algorithm_of<bluefog::AdaptWithCombine>(mixing)},
      {"atc", bluefog::algorithm_of<bluefog::AdaptThenCombine>(mixing)},
      {"gradient-allreduce", bluefog::algorithm_of<bluefog::GradientAllreduce>()},
      {"gradient-tracking", bluefog::algorithm_of<bluefog::GradientTracking>(mixing)},
      {"exact-diffusion", bluefog::algorithm_of<bluefog::ExactDiffusion>(mixing)},
      {"win-put", bluefog::algorithm_of<bluefog::WindowPutMixing>()},
      {"push-sum", bluefog::algorithm_of<bluefog::PushSumMixing>()},
  };
  return algorithms.at(options.algorithm);
}

class Training {
 public:
  Training(bluefog::Context& context, const Options& options, Examples own, const Examples& test)
      : context_(context),
        options_(options),
        own_(std::move(own)),
        test_(test),
        model_(started_model(context, options)),
        sgd_(model_->parameters(), torch::optim::SGDOptions(options.rate).momentum(options.momentum)),
        optimizer_(context, sgd_, *model_, algorithm_for(options, context)) {}

  void run() {
    const std::int64_t a_epoch = (own_.labels.size(0) + options_.batch_size - 1) / options_.batch_size;
    const std::int64_t planned = options_.epochs * a_epoch;
    const std::int64_t steps = options_.steps > 0 ? std::min(options_.steps, planned) : planned;
    std::vector<at::Tensor> batches;
    for (std::int64_t step = 0; step < steps; ++step) {
      if (step % a_epoch == 0) batches = batches_of_epoch(1 + step / a_epoch);
      sgd_.param_groups()[0].options().set_lr(options_.rate *
                                              (1 - static_cast<double>(step) / static_cast<double>(planned)));
      const auto begin = std::chrono::steady_clock::now();
      train_on(batches[static_cast<std::size_t>(step % a_epoch)]);
      seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      samples_ += batches[static_cast<std::size_t>(step % a_epoch)].size(0) * context_.size();
    }
  }

  /// Collective. Rank 0 prints it.
  void report() {
    const double own = accuracy();
    const at::Tensor ranks = bluefog::torch::allgather(context_, at::full({1}, own, at::kDouble));
    for (at::Tensor& parameter : model_->parameters()) bluefog::torch::allreduce_(context_, parameter);
    const double of_mean = accuracy();
    if (context_.rank() != 0) return;
    std::string text;
    for (int rank = 0; rank < context_.size(); ++rank) {
      char percent[16];
      std::snprintf(percent, sizeof percent, " %.2f", 100 * ranks[rank].item<double>());
      text += percent;
    }
    std::printf(
        "accuracy of ranks%s %%, of the mean model %.2f %%; %ld samples in %.1f s of training (%.0f "
        "samples/s)\n",
        text.c_str(), 100 * of_mean, static_cast<long>(samples_), seconds_,
        static_cast<double>(samples_) / seconds_);
  }

  /// All parameters, one after the other, as they lie in memory.
  void write_parameters(const std::string& path) const {
    std::ofstream file(path, std::ios::binary);
    for (const at::Tensor& parameter : model_->parameters()) {
      const at::Tensor values = parameter.detach().contiguous();
      file.write(static_cast<const char*>(values.data_ptr()), static_cast<std::streamsize>(values.nbytes()));
    }
    if (!file.flush()) throw std::runtime_error("cannot write " + path);
  }

 private:
  static torch::nn::Sequential started_model(bluefog::Context& context, const Options& options) {
    torch::manual_seed(options.seed);
    torch::nn::Sequential model = make_model();
    bluefog::torch::broadcast_parameters(context, *model);
    return model;
  }

  [[nodiscard]] std::vector<at::Tensor> batches_of_epoch(std::int64_t epoch) const {
    const std::uint64_t seed = 1000 * (options_.seed + static_cast<std::uint64_t>(context_.rank())) +
                               static_cast<std::uint64_t>(epoch);
    return permutation(own_.labels.size(0), seed).split(options_.batch_size);
  }

  void train_on(const at::Tensor& batch) {
    optimizer_.zero_grad();
    const at::Tensor output = model_->forward(own_.images.index_select(0, batch));
    torch::nn::functional::cross_entropy(output, own_.labels.index_select(0, batch)).backward();
    optimizer_.step();
  }

  double accuracy() {
    constexpr std::int64_t at_once = 500;
    const at::NoGradGuard no_grad;
    std::int64_t correct = 0;
    for (std::int64_t first = 0; first < test_.labels.size(0); first += at_once) {
      const std::int64_t count = std::min(at_once, test_.labels.size(0) - first);
      const at::Tensor found = model_->forward(test_.images.narrow(0, first, count)).argmax(1);
      correct += found.eq(test_.labels.narrow(0, first, count)).sum().item<std::int64_t>();
    }
    return static_cast<double>(correct) / static_cast<double>(test_.labels.size(0));
  }

  bluefog::Context& context_;
  const Options& options_;
  Examples own_;
  const Examples& test_;
  torch::nn::Sequential model_;
  torch::optim::SGD sgd_;
  bluefog::torch::DistributedOptimizer optimizer_;
  std::int64_t samples_ = 0;
  double seconds_ = 0;
};

void run(const Options& options) {
  bluefog::Context context;
  const std::filesystem::path folder = bluefog::examples::find_fashion_mnist(options.data);
  const Examples test = read(folder, "t10k");
  Training training(context, options, share_of(read(folder, "train"), context, options), test);
  training.run();
  if (!options.parameters_to.empty()) {
    training.write_parameters(options.parameters_to + "." + std::to_string(context.rank()));
  }
  training.report();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Decentralized training of a small CNN on Fashion-MNIST");
  app.add_option("--algorithm", options.algorithm)
      ->capture_default_str()
      ->check(CLI::IsMember({"awc", "atc", "gradient-allreduce", "gradient-tracking", "exact-diffusion",
                             "win-put", "push-sum"}));
  app.add_option("--topology", options.topology)
      ->capture_default_str()
      ->check(CLI::IsMember({"one-peer", "ring", "exp2", "full"}));
  app.add_option("--epochs", options.epochs)->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--batch-size", options.batch_size, "images a step of each rank")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--lr", options.rate, "learning rate at the start; it falls to zero linearly")
      ->capture_default_str();
  app.add_option("--momentum", options.momentum, "of SGD")->capture_default_str();
  app.add_option("--seed", options.seed)->capture_default_str();
  app.add_option("--limit", options.limit, "use only so many training images")->check(CLI::PositiveNumber);
  app.add_option("--steps", options.steps, "end after so many steps")->check(CLI::PositiveNumber);
  app.add_option("--data", options.data, "folder of the four .gz files");
  app.add_option("--parameters-to", options.parameters_to,
                 "each rank writes its parameters to FILE.RANK, as float32");
  CLI11_PARSE(app, argc, argv);
  try {
    run(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fashion_mnist: %s\n", error.what());
    return 1;
  }
  return 0;
}
