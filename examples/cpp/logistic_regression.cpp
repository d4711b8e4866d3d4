// Decentralized logistic regression: each rank has data of its own, and all want the minimum of the mean
// loss.
//
//   bfrun -np 4 ./logistic_regression --method diffusion
//   bfrun -np 4 ./logistic_regression --method exact-diffusion
//
// Ranks differ in their data, so diffusion ends at a distance from the optimum that is proportional to the
// step size. Exact diffusion corrects that and goes on to the optimum. (Yuan, Ying, Zhao, Sayed, "Exact
// Diffusion for Distributed Optimization and Learning", 2018) The graph is a ring, whose weights are
// symmetric, as exact diffusion asks.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <string>

#include <CLI/CLI.hpp>

#include <bluefog/bluefog.hpp>

#include "split_mix.hpp"

namespace {

using Vector = std::vector<double>;

struct Options {
  std::string method = "exact-diffusion";
  std::size_t features = 10;
  std::size_t samples = 200;
  std::size_t iterations = 1000;
  std::size_t report_every = 100;
  double step = 0.2;
  double regularization = 0.05;
  std::uint64_t seed = 2024;
};

/// f(x) = mean over samples of log(1 + exp(-label * feature . x)) + regularization / 2 * |x|^2.
class Data {
 public:
  Data(const Options& options, int rank) : options_(options), labels_(options.samples) {
    using bluefog::examples::SplitMix64;
    SplitMix64 common(options.seed);
    SplitMix64 own(options.seed + 1 + static_cast<std::uint64_t>(rank));
    Vector truth(options.features);
    for (double& value : truth)
      value = common.normal() + own.normal();  // every rank sees the world differently
    features_.resize(options.samples * options.features);
    for (double& value : features_) value = own.normal();
    for (std::size_t s = 0; s < options.samples; ++s) {
      labels_[s] = own.uniform() < 1 / (1 + std::exp(-margin(s, truth))) ? 1.0 : -1.0;
    }
  }

  [[nodiscard]] Vector gradient(std::span<const double> x) const {
    Vector result(x.size());
    for (std::size_t j = 0; j < x.size(); ++j) result[j] = options_.regularization * x[j];
    for (std::size_t s = 0; s < options_.samples; ++s) {
      const double slope = -labels_[s] / (1 + std::exp(labels_[s] * margin(s, x)));
      for (std::size_t j = 0; j < x.size(); ++j) {
        result[j] += slope * features_[s * options_.features + j] / static_cast<double>(options_.samples);
      }
    }
    return result;
  }

 private:
  [[nodiscard]] double margin(std::size_t sample, std::span<const double> x) const {
    double sum = 0;
    for (std::size_t j = 0; j < x.size(); ++j) sum += features_[sample * options_.features + j] * x[j];
    return sum;
  }

  const Options& options_;
  Vector features_;  ///< row by row
  Vector labels_;    ///< 1 or -1
};

double norm(std::span<const double> x) {
  double sum = 0;
  for (const double value : x) sum += value * value;
  return std::sqrt(sum);
}

/// The minimum of the mean loss, by gradient descent on all data; to compare with.
Vector find_optimum(bluefog::Context& context, const Data& data, const Options& options) {
  constexpr std::size_t enough = 20'000;
  Vector x(options.features);
  for (std::size_t k = 0; k < enough; ++k) {
    Vector gradient = data.gradient(x);
    context.allreduce(std::span<const double>(gradient), std::span(gradient));
    if (norm(gradient) < 1e-14) break;  // equal on all ranks, to the bit
    for (std::size_t j = 0; j < x.size(); ++j) x[j] -= options.step * gradient[j];
  }
  return x;
}

class Solver {
 public:
  Solver(bluefog::Context& context, const Options& options)
      : context_(context),
        options_(options),
        data_(options, context.rank()),
        optimum_(find_optimum(context, data_, options)),
        x_(context.make_shared<double>(options.features)),
        psi_before_(options.features) {
    mixing_.schedule = bluefog::static_schedule(bluefog::ring_graph(context.size()));
    // x_i + sum of w_ij (x_j - x_i): with rounded weights the plain sum would drift.
    mixing_.form = bluefog::MixingForm::Difference;
    mixing_.meet = true;
  }

  /// x <- mix(x - step * gradient)
  void diffuse() {
    const Vector gradient = data_.gradient(x_.span());
    for (std::size_t j = 0; j < x_.size(); ++j) x_[j] -= options_.step * gradient[j];
    context_.neighbor_allreduce(x_.span(), x_.span(), mixing_);
  }

  /// psi = x - step * gradient; phi = psi + x - psi of the step before; x <- (phi + mix(phi)) / 2
  void diffuse_exactly() {
    const Vector gradient = data_.gradient(x_.span());
    Vector phi(x_.size());
    for (std::size_t j = 0; j < x_.size(); ++j) {
      const double psi = x_[j] - options_.step * gradient[j];
      phi[j] = psi + x_[j] - psi_before_[j];
      psi_before_[j] = psi;
      x_[j] = phi[j];
    }
    context_.neighbor_allreduce(x_.span(), x_.span(), mixing_);
    for (std::size_t j = 0; j < x_.size(); ++j) x_[j] = (phi[j] + x_[j]) / 2;
  }

  /// Distance of the ranks from the optimum (root of the mean square, relative), and gradient of the mean
  /// loss at the mean of x.
  void report(std::size_t iteration) {
    Vector mean(x_.size());
    context_.allreduce(x_.span(), std::span(mean));
    Vector gradient = data_.gradient(mean);
    context_.allreduce(std::span<const double>(gradient), std::span(gradient));
    double square = 0;
    for (std::size_t j = 0; j < x_.size(); ++j) square += (x_[j] - optimum_[j]) * (x_[j] - optimum_[j]);
    context_.allreduce(std::span<const double>(&square, 1), std::span(&square, 1));
    if (context_.rank() != 0) return;
    std::printf("iteration %6zu  distance to the optimum %.3e  gradient norm %.3e\n", iteration,
                std::sqrt(square) / norm(optimum_), norm(gradient));
  }

 private:
  bluefog::Context& context_;
  const Options& options_;
  Data data_;
  Vector optimum_;
  bluefog::SharedArray<double> x_;  ///< starts at zero
  Vector psi_before_;
  bluefog::NeighborAllreduceOptions mixing_;
};

void run(const Options& options) {
  bluefog::Context context;
  Solver solver(context, options);
  for (std::size_t k = 0; k <= options.iterations; ++k) {
    if (k % options.report_every == 0 || k == options.iterations) solver.report(k);
    if (k < options.iterations) options.method == "diffusion" ? solver.diffuse() : solver.diffuse_exactly();
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Decentralized logistic regression");
  app.add_option("--method", options.method)
      ->capture_default_str()
      ->check(CLI::IsMember({"diffusion", "exact-diffusion"}));
  app.add_option("--features", options.features)->capture_default_str();
  app.add_option("--samples", options.samples, "of each rank")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--iterations", options.iterations)->capture_default_str();
  app.add_option("--report-every", options.report_every)->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--step", options.step, "step size")->capture_default_str();
  app.add_option("--regularization", options.regularization)->capture_default_str();
  app.add_option("--seed", options.seed)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    run(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "logistic_regression: %s\n", error.what());
    return 1;
  }
  return 0;
}
