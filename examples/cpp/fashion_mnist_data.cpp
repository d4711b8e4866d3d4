#include "fashion_mnist_data.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <utility>

#include <zlib.h>

namespace bluefog::examples {

namespace {

constexpr float pixel_mean = 0.2860F;
constexpr float pixel_deviation = 0.3530F;

std::string images_name(const std::string& part) {
  return part + "-images-idx3-ubyte.gz";
}
std::string labels_name(const std::string& part) {
  return part + "-labels-idx1-ubyte.gz";
}

/// A file that is read from its beginning to its end, gzipped or not.
class GzipReader {
 public:
  explicit GzipReader(const std::filesystem::path& path)
      : path_(path.string()), file_(gzopen(path_.c_str(), "rb")) {
    if (!file_) throw std::runtime_error("cannot read " + path_ + ": " + std::strerror(errno));
  }

  void read(std::span<std::uint8_t> bytes) {
    if (read_some(bytes) < bytes.size()) throw std::runtime_error(path_ + ": ends too early");
  }
  std::vector<std::uint8_t> read(std::uint64_t count) {
    constexpr std::uint64_t most_at_once = 1 << 20;  // a header may lie
    std::vector<std::uint8_t> bytes;
    while (bytes.size() < count) {
      const std::size_t before = bytes.size();
      bytes.resize(before + std::min(count - before, most_at_once));
      read(std::span(bytes).subspan(before));
    }
    return bytes;
  }
  void expect_end() {
    std::uint8_t byte = 0;
    if (read_some({&byte, 1}) != 0) throw std::runtime_error(path_ + ": longer than its header says");
  }

 private:
  struct Close {
    void operator()(gzFile_s* file) const { gzclose(file); }
  };

  std::size_t read_some(std::span<std::uint8_t> bytes) {
    const int count = gzread(file_.get(), bytes.data(), static_cast<unsigned>(bytes.size()));
    int code = Z_OK;
    const char* message = gzerror(file_.get(), &code);  // begins with the path
    if (code != Z_OK) throw std::runtime_error(message);
    return static_cast<std::size_t>(count);
  }

  std::string path_;
  std::unique_ptr<gzFile_s, Close> file_;
};

/// Elements of an array of unsigned bytes in IDX format (http://yann.lecun.com/exdb/mnist/ defines it).
/// @param item  what each element along the first dimension must be like
std::vector<std::uint8_t> read_idx(const std::filesystem::path& path, std::span<const std::uint32_t> item) {
  GzipReader file(path);
  const auto read_number = [&file] {
    std::array<std::uint8_t, 4> bytes{};
    file.read(std::span(bytes));
    return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 |
           bytes[3];
  };
  constexpr std::uint32_t unsigned_bytes = 0x0800;
  if (read_number() != unsigned_bytes + 1 + item.size()) {
    throw std::runtime_error(path.string() + ": not an IDX file of unsigned bytes in " +
                             std::to_string(1 + item.size()) + " dimension(s)");
  }
  std::uint64_t count = read_number();
  for (const std::uint32_t extent : item) {
    if (const std::uint32_t found = read_number(); found != extent) {
      throw std::runtime_error(path.string() + ": items of extent " + std::to_string(found) + " instead of " +
                               std::to_string(extent));
    }
    count *= extent;
  }
  std::vector<std::uint8_t> elements = file.read(count);
  file.expect_end();
  return elements;
}

void shuffle(std::vector<std::size_t>& order, SplitMix64& random) {
  for (std::size_t left = order.size(); left > 1; --left)
    std::swap(order[left - 1], order[random.next() % left]);
}

}  // namespace

std::filesystem::path find_fashion_mnist(const std::filesystem::path& asked) {
  // The second is where the Debian package dataset-fashion-mnist puts them.
  std::vector<std::filesystem::path> candidates{"data/fashion-mnist", "/usr/share/datasets/fashion-mnist"};
  if (!asked.empty()) candidates = {asked};
  const std::array names{images_name("train"), labels_name("train"), images_name("t10k"),
                         labels_name("t10k")};
  for (const auto& folder : candidates) {
    const auto is_there = [&](const std::string& name) {
      std::error_code ignored;
      return std::filesystem::is_regular_file(folder / name, ignored);
    };
    if (std::all_of(names.begin(), names.end(), is_there)) return folder;
  }
  throw std::runtime_error("put " + names[0] + ", " + names[1] + ", " + names[2] + ", " + names[3] +
                           " into " + candidates[0].string() +
                           " (or install the Debian package dataset-fashion-mnist)");
}

Images::Images(std::vector<std::uint8_t> pixels, std::vector<std::uint8_t> labels)
    : pixels_(std::move(pixels)), labels_(std::move(labels)) {}

Images Images::read(const std::filesystem::path& folder, const std::string& part) {
  const std::filesystem::path path = folder / labels_name(part);
  constexpr std::array<std::uint32_t, 2> extents{28, 28};
  Images images(read_idx(folder / images_name(part), extents), read_idx(path, {}));
  if (images.pixels_.size() != images.size() * pixels_per_image) {
    throw std::runtime_error(path.string() + ": " + std::to_string(images.size()) + " labels for " +
                             std::to_string(images.pixels_.size() / pixels_per_image) + " images");
  }
  for (const std::uint8_t label : images.labels_) {
    if (label >= fashion_classes)
      throw std::runtime_error(path.string() + ": there is no class " + std::to_string(label));
  }
  return images;
}

void Images::scale_into(std::span<float> inputs, std::size_t image) const {
  const std::uint8_t* pixels = pixels_.data() + image * pixels_per_image;
  for (std::size_t i = 0; i < pixels_per_image; ++i)
    inputs[i] = (static_cast<float>(pixels[i]) / 255 - pixel_mean) / pixel_deviation;
}

Images Images::share_of(int rank, int size, std::uint64_t seed) const {
  std::vector<std::size_t> order(this->size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  SplitMix64 common(seed);
  shuffle(order, common);
  const auto ranks = static_cast<std::size_t>(size);
  std::vector<std::uint8_t> pixels;
  std::vector<std::uint8_t> labels;
  for (std::size_t i = 0; i < order.size() / ranks; ++i) {
    const std::size_t image = order[i * ranks + static_cast<std::size_t>(rank)];
    const auto first = pixels_.begin() + static_cast<std::ptrdiff_t>(image * pixels_per_image);
    pixels.insert(pixels.end(), first, first + pixels_per_image);
    labels.push_back(labels_[image]);
  }
  return {std::move(pixels), std::move(labels)};
}

Batches::Batches(const Images& images, std::size_t batch_size, std::uint64_t seed)
    : images_(images), batch_size_(batch_size), random_(seed), order_(images.size()), used_(images.size()) {
  std::iota(order_.begin(), order_.end(), std::size_t{0});
}

void Batches::advance() {
  if (used_ == order_.size()) {
    shuffle(order_, random_);
    used_ = 0;
  }
  const std::size_t count = std::min(batch_size_, order_.size() - used_);
  inputs_.resize(count * pixels_per_image);
  labels_.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t image = order_[used_++];
    images_.scale_into(std::span(inputs_).subspan(i * pixels_per_image, pixels_per_image), image);
    labels_[i] = images_.labels()[image];
  }
}

}  // namespace bluefog::examples
