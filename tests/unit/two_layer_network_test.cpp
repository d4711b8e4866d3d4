// The gradient of the network that the example on Fashion-MNIST trains.

#include "two_layer_network.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "split_mix.hpp"

namespace bluefog::examples {
namespace {

constexpr std::size_t inputs = 5;
constexpr std::size_t hidden = 7;
constexpr std::size_t classes = 3;
constexpr std::array<std::uint8_t, 4> labels{2, 0, 1, 2};

std::vector<float> random_values(std::size_t count, std::uint64_t seed) {
  SplitMix64 random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random.normal());
  return values;
}

TEST(TwoLayerNetwork, GradientIsThatOfTheLoss) {
  TwoLayerNetwork network(inputs, hidden, classes);
  std::vector<float> parameters = random_values(network.parameter_count(), 1);
  const std::vector<float> samples = random_values(labels.size() * inputs, 2);
  std::vector<float> gradient(parameters.size(), 1e6F);
  network.compute_gradient(parameters, samples, labels, gradient);

  std::vector<float> ignored(parameters.size());
  const auto loss = [&] { return network.compute_gradient(parameters, samples, labels, ignored); };
  constexpr float distance = 1e-2F;
  float largest = 0;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const float here = parameters[i];
    parameters[i] = here + distance;
    const float after = loss();
    parameters[i] = here - distance;
    const float before = loss();
    parameters[i] = here;
    EXPECT_NEAR(gradient[i], (after - before) / (2 * distance), 1e-3) << "parameter " << i;
    largest = std::max(largest, std::abs(gradient[i]));
  }
  EXPECT_GT(largest, 0.1);
}

TEST(TwoLayerNetwork, StepsAgainstTheGradientLearnTheLabels) {
  TwoLayerNetwork network(inputs, hidden, classes);
  std::vector<float> parameters(network.parameter_count());
  network.initialize(parameters, 1);
  const std::vector<float> samples = random_values(labels.size() * inputs, 2);
  std::vector<float> gradient(parameters.size());
  float loss = 0;
  for (int step = 0; step < 300; ++step) {
    loss = network.compute_gradient(parameters, samples, labels, gradient);
    for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i] -= 0.3F * gradient[i];
  }
  EXPECT_LT(loss, 0.05);
  EXPECT_EQ(network.count_correct(parameters, samples, labels), labels.size());
  constexpr std::array<std::uint8_t, 4> others{0, 1, 2, 2};
  EXPECT_EQ(network.count_correct(parameters, samples, others), 1U);
}

}  // namespace
}  // namespace bluefog::examples
