#pragma once
// A classifier with one hidden layer, and its gradient written out by hand. Its parameters lie in one buffer,
// of the user's.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "matrix_view.hpp"

namespace bluefog::examples {

/// scores = max(inputs * hidden weights + hidden bias, 0) * output weights + output bias, a row per sample.
class TwoLayerNetwork {
 public:
  TwoLayerNetwork(std::size_t inputs, std::size_t hidden, std::size_t classes)
      : inputs_(inputs), hidden_(hidden), classes_(classes) {}

  [[nodiscard]] std::size_t parameter_count() const {
    return (inputs_ + 1) * hidden_ + (hidden_ + 1) * classes_;
  }
  /// Random weights whose products keep the variance of the inputs (He et al., ICCV 2015); biases of 0.
  void initialize(std::span<float> parameters, std::uint64_t seed) const;

  /// Sets `gradient` to that of the mean cross entropy at `parameters`.
  /// @param inputs  row by row, a row for each label
  /// @returns the mean cross entropy
  float compute_gradient(std::span<const float> parameters, std::span<const float> inputs,
                         std::span<const std::uint8_t> labels, std::span<float> gradient);
  /// In how many rows the highest score is that of the label.
  [[nodiscard]] std::size_t count_correct(std::span<const float> parameters, std::span<const float> inputs,
                                          std::span<const std::uint8_t> labels);

 private:
  /// Views of a flat buffer of parameters, or of their gradient.
  template <class T>
  struct Layers {
    MatrixView<T> hidden_weights;  ///< [inputs, hidden]
    std::span<T> hidden_bias;
    MatrixView<T> output_weights;  ///< [hidden, classes]
    std::span<T> output_bias;
  };
  template <class T>
  [[nodiscard]] Layers<T> layers_of(std::span<T> flat) const;

  void compute_scores(const Layers<const float>& layers, MatrixView<const float> inputs);
  /// Turns scores into their gradient.
  float differentiate_scores(std::span<const std::uint8_t> labels);
  [[nodiscard]] MatrixView<float> activations() { return {activations_, hidden_}; }
  [[nodiscard]] MatrixView<float> scores() { return {scores_, classes_}; }

  std::size_t inputs_;
  std::size_t hidden_;
  std::size_t classes_;
  std::vector<float> activations_;           ///< [samples, hidden]
  std::vector<float> scores_;                ///< [samples, classes]
  std::vector<float> activation_gradients_;  ///< [samples, hidden]
};

}  // namespace bluefog::examples
