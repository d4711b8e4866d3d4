// Decentralized logistic regression: each rank has data of its own, and all want the minimum of the mean
// loss.
//
//   bfrun -np 4 ./logistic_regression --method diffusion
//   bfrun -np 4 ./logistic_regression --method exact-diffusion
//
// Ranks differ in their data, so diffusion ends at a distance from the optimum that is proportional to the
// step size. Exact diffusion and gradient tracking correct that and go on to the optimum; push-sum does not,
// but needs no symmetric weights. The graph is a ring, whose weights are symmetric, as exact diffusion asks.
//
// The vectors are Eigen's: maps of the memory that the library mixes in place, without a copy.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <map>
#include <span>
#include <string>

#include <CLI/CLI.hpp>
#include <Eigen/Dense>

#include <bluefog/bluefog.hpp>

#include "split_mix.hpp"

namespace {

using Vector = Eigen::VectorXd;
/// A vector in somebody else's memory.
using View = Eigen::Map<Vector>;
using ConstView = Eigen::Map<const Vector>;

struct Options {
  std::string method = "exact-diffusion";
  Eigen::Index features = 10;
  Eigen::Index samples = 200;
  std::size_t iterations = 1000;
  std::size_t report_every = 100;
  double step = 0.2;
  double regularization = 0.05;
  std::uint64_t seed = 2024;
};

ConstView view(std::span<const double> values) {
  return {values.data(), static_cast<Eigen::Index>(values.size())};
}
View view(std::span<double> values) {
  return {values.data(), static_cast<Eigen::Index>(values.size())};
}

/// f(x) = mean over samples of log(1 + exp(-label * feature . x)) + regularization / 2 * |x|^2.
class Data {
 public:
  Data(const Options& options, int rank)
      : regularization_(options.regularization),
        features_(options.samples, options.features),
        labels_(options.samples) {
    using bluefog::examples::SplitMix64;
    SplitMix64 common(options.seed);
    SplitMix64 own(options.seed + 1 + static_cast<std::uint64_t>(rank));
    Vector truth(options.features);
    for (double& value : truth)
      value = common.normal() + own.normal();  // every rank sees the world differently
    std::generate_n(features_.data(), features_.size(), [&own] { return own.normal(); });
    const Vector margins = features_ * truth;
    for (Eigen::Index s = 0; s < options.samples; ++s) {
      labels_[s] = own.uniform() < 1 / (1 + std::exp(-margins[s])) ? 1.0 : -1.0;
    }
  }

  [[nodiscard]] Vector gradient(const Eigen::Ref<const Vector>& x) const {
    const Eigen::ArrayXd margins = labels_.array() * (features_ * x).array();
    const Vector slopes = -labels_.array() / (1 + margins.exp()) / static_cast<double>(labels_.size());
    return features_.transpose() * slopes + regularization_ * x;
  }

 private:
  double regularization_;
  Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>
      features_;   ///< a row for each sample
  Vector labels_;  ///< 1 or -1
};

/// The mean of a vector over all ranks.
Vector mean_of(bluefog::Context& context, Vector own) {
  const std::span values(own.data(), static_cast<std::size_t>(own.size()));
  context.allreduce(values, values);
  return own;
}

/// The minimum of the mean loss, by gradient descent on all data; to compare with.
Vector find_optimum(bluefog::Context& context, const Data& data, const Options& options) {
  constexpr std::size_t enough = 20'000;
  Vector x = Vector::Zero(options.features);
  for (std::size_t k = 0; k < enough; ++k) {
    const Vector gradient = mean_of(context, data.gradient(x));
    if (gradient.norm() < 1e-14) break;  // equal on all ranks, to the bit
    x -= options.step * gradient;
  }
  return x;
}

bluefog::MakeAlgorithm algorithm_for(const std::string& method, int ranks) {
  bluefog::DecentralizedOptions mixing;
  mixing.schedule = bluefog::static_schedule(bluefog::ring_graph(ranks));
  const std::map<std::string, bluefog::MakeAlgorithm> algorithms{
      {"diffusion", bluefog::algorithm_of<bluefog::AdaptThenCombine>(mixing)},
      {"consensus", bluefog::algorithm_of<bluefog::AdaptWithCombine>(mixing)},
      {"exact-diffusion", bluefog::algorithm_of<bluefog::ExactDiffusion>(mixing)},
      {"gradient-tracking", bluefog::algorithm_of<bluefog::GradientTracking>(mixing)},
      {"push-sum", bluefog::algorithm_of<bluefog::StochasticGradientPush>(mixing)},
  };
  return algorithms.at(method);
}

/// Distance of the ranks from the optimum (root of the mean square, relative), and gradient of the mean loss
/// at the mean of x. Collective.
void report(bluefog::Context& context, const Data& data, const Vector& optimum, const Vector& x,
            std::size_t iteration) {
  const Vector gradient = mean_of(context, data.gradient(mean_of(context, x)));
  const double square = mean_of(context, Vector::Constant(1, (x - optimum).squaredNorm()))[0];
  if (context.rank() != 0) return;
  std::printf("iteration %6zu  distance to the optimum %.3e  gradient norm %.3e\n", iteration,
              std::sqrt(square) / optimum.norm(), gradient.norm());
}

void run(const Options& options) {
  bluefog::Context context;
  const Data data(options, context.rank());
  const Vector optimum = find_optimum(context, data, options);
  const auto x = context.make_shared<double>(static_cast<std::size_t>(options.features));  // zeros
  bluefog::Descent<double> descent(
      context, x.span(),
      [&data](std::span<const double> at, std::span<double> gradient) {
        view(gradient) = data.gradient(view(at));
      },
      algorithm_for(options.method, context.size()));
  for (std::size_t k = 0; k <= options.iterations; ++k) {
    if (k % options.report_every == 0 || k == options.iterations)
      report(context, data, optimum, view(x.span()), k);
    if (k < options.iterations) descent.step(options.step);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Decentralized logistic regression");
  app.add_option("--method", options.method)
      ->capture_default_str()
      ->check(CLI::IsMember({"diffusion", "consensus", "exact-diffusion", "gradient-tracking", "push-sum"}));
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
