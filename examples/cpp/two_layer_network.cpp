#include "two_layer_network.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "split_mix.hpp"

namespace bluefog::examples {

void TwoLayerNetwork::initialize(std::span<float> parameters, std::uint64_t seed) const {
  SplitMix64 random(seed);
  const auto draw = [&random](MatrixView<float> weights, double variance) {
    const double limit = std::sqrt(3 * variance);  // of a uniform distribution
    for (std::size_t i = 0; i < weights.rows(); ++i) {
      for (float& weight : weights.row(i)) weight = static_cast<float>(limit * (2 * random.uniform() - 1));
    }
  };
  std::ranges::fill(parameters, 0.0F);
  const Layers<float> layers = layers_of(parameters);
  draw(layers.hidden_weights, 2.0 / static_cast<double>(inputs_));
  draw(layers.output_weights, 1.0 / static_cast<double>(hidden_));
}

template <class T>
TwoLayerNetwork::Layers<T> TwoLayerNetwork::layers_of(std::span<T> flat) const {
  const std::size_t hidden_bias = inputs_ * hidden_;
  const std::size_t output_weights = hidden_bias + hidden_;
  const std::size_t output_bias = output_weights + hidden_ * classes_;
  return {{flat.first(hidden_bias), hidden_},
          flat.subspan(hidden_bias, hidden_),
          {flat.subspan(output_weights, hidden_ * classes_), classes_},
          flat.subspan(output_bias, classes_)};
}

void TwoLayerNetwork::compute_scores(const Layers<const float>& layers, MatrixView<const float> inputs) {
  activations_.resize(inputs.rows() * hidden_);
  fill_rows(activations(), layers.hidden_bias);
  add_product(activations(), inputs, layers.hidden_weights);
  for (float& activation : activations_) activation = std::max(activation, 0.0F);
  scores_.resize(inputs.rows() * classes_);
  fill_rows(scores(), layers.output_bias);
  add_product(scores(), activations(), layers.output_weights);
}

float TwoLayerNetwork::differentiate_scores(std::span<const std::uint8_t> labels) {
  const auto samples = static_cast<float>(labels.size());
  float loss = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const std::span<float> row = scores().row(i);
    const float highest = *std::ranges::max_element(row);
    const float of_label = row[labels[i]];
    for (float& score : row) score = std::exp(score - highest);
    const float sum = std::accumulate(row.begin(), row.end(), 0.0F);
    loss += std::log(sum) + highest - of_label;
    for (float& value : row) value /= sum * samples;
    row[labels[i]] -= 1 / samples;
  }
  return loss / samples;
}

float TwoLayerNetwork::compute_gradient(std::span<const float> parameters, std::span<const float> inputs,
                                        std::span<const std::uint8_t> labels, std::span<float> gradient) {
  const Layers<const float> layers = layers_of(parameters);
  const Layers<float> gradients = layers_of(gradient);
  const MatrixView<const float> samples(inputs, inputs_);
  compute_scores(layers, samples);
  const float loss = differentiate_scores(labels);

  std::ranges::fill(gradient, 0.0F);
  add_transposed_product(gradients.output_weights, activations(), scores());
  activation_gradients_.assign(activations_.size(), 0.0F);
  const MatrixView<float> backward(activation_gradients_, hidden_);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const std::span<const float> score_gradient = scores().row(i);
    add_scaled(gradients.output_bias, 1, score_gradient);
    for (std::size_t j = 0; j < hidden_; ++j) {
      if (activations().row(i)[j] <= 0) continue;
      const std::span<const float> weights = layers.output_weights.row(j);
      backward.row(i)[j] = std::inner_product(weights.begin(), weights.end(), score_gradient.begin(), 0.0F);
    }
    add_scaled(gradients.hidden_bias, 1, backward.row(i));
  }
  add_transposed_product(gradients.hidden_weights, samples, backward);
  return loss;
}

std::size_t TwoLayerNetwork::count_correct(std::span<const float> parameters, std::span<const float> inputs,
                                           std::span<const std::uint8_t> labels) {
  compute_scores(layers_of(parameters), {inputs, inputs_});
  std::size_t correct = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const std::span<const float> row = scores().row(i);
    if (std::ranges::max_element(row) - row.begin() == labels[i]) ++correct;
  }
  return correct;
}

}  // namespace bluefog::examples
