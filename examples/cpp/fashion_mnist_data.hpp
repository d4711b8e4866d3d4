#pragma once
// Fashion-MNIST from its four files, split between ranks.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "split_mix.hpp"

namespace bluefog::examples {

inline constexpr std::size_t pixels_per_image = 28 * 28;
inline constexpr std::size_t fashion_classes = 10;

/// `asked`, or, if that is empty, the first of the usual folders that holds the four files.
/// @throws std::runtime_error saying what to put where
[[nodiscard]] std::filesystem::path find_fashion_mnist(const std::filesystem::path& asked);

/// Images of grey values, and what they show.
class Images {
 public:
  Images(std::vector<std::uint8_t> pixels, std::vector<std::uint8_t> labels);
  /// "train" or "t10k", gzipped or not.
  /// @throws std::runtime_error naming a file that cannot be read, or holds something else
  [[nodiscard]] static Images read(const std::filesystem::path& folder, const std::string& part);

  [[nodiscard]] std::size_t size() const { return labels_.size(); }
  [[nodiscard]] std::span<const std::uint8_t> labels() const { return labels_; }
  /// Pixels of one image, of about zero mean and unit variance over all images.
  void scale_into(std::span<float> inputs, std::size_t image) const;
  /// This rank's part of a common shuffle; all parts are of one size.
  [[nodiscard]] Images share_of(int rank, int size, std::uint64_t seed) const;

 private:
  std::vector<std::uint8_t> pixels_;
  std::vector<std::uint8_t> labels_;
};

/// Batch after batch without end; each epoch goes through all images, in an order of its own.
class Batches {
 public:
  /// @param images  at least one, which must live as long as this
  Batches(const Images& images, std::size_t batch_size, std::uint64_t seed);

  /// The last batch of an epoch may be smaller.
  void advance();
  [[nodiscard]] std::span<const float> inputs() const { return inputs_; }
  [[nodiscard]] std::span<const std::uint8_t> labels() const { return labels_; }

 private:
  const Images& images_;
  std::size_t batch_size_;
  SplitMix64 random_;
  std::vector<std::size_t> order_;
  std::size_t used_;  ///< of order_
  std::vector<float> inputs_;
  std::vector<std::uint8_t> labels_;
};

}  // namespace bluefog::examples
