#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include <bluefog/asynchronous.hpp>
#include <bluefog/error.hpp>

#include "base/hash.hpp"
#include "base/split_mix.hpp"
#include "optim/flat.hpp"
#include "optim/window_group.hpp"

namespace bluefog {

namespace optim {

/// Between begin_exchange() and end_exchange() one operation on each window is in flight.
class AsynchronousAlgorithm {
 public:
  AsynchronousAlgorithm() = default;
  AsynchronousAlgorithm(const AsynchronousAlgorithm&) = delete;
  AsynchronousAlgorithm& operator=(const AsynchronousAlgorithm&) = delete;
  virtual ~AsynchronousAlgorithm() = default;

  virtual void start_exchange(const AsynchronousWeights& weights) = 0;
  /// When the operations are over.
  virtual void mix() = 0;
  virtual void begin_step() {}
  virtual void end_step() {}
  /// The derived class's, so that it goes before the tensors that it is about.
  [[nodiscard]] virtual WindowGroup& group() noexcept = 0;
};

namespace {

class PutAlgorithm final : public AsynchronousAlgorithm {
 public:
  PutAlgorithm(Context& context, const std::vector<Tensor>& buckets, const std::string& name)
      : group_(context, buckets, name, {}) {}

  void start_exchange(const AsynchronousWeights& weights) override {
    WindowPutOptions put;
    put.dst_weights = weights.dst_weights;
    group_.start([&put](Window& window) { return window.put_async(window.tensor(), put); });
  }
  void mix() override {
    for (Window& window : group_.windows()) window.update();
  }
  [[nodiscard]] WindowGroup& group() noexcept override { return group_; }

 private:
  WindowGroup group_;
};

class GetAlgorithm final : public AsynchronousAlgorithm {
 public:
  GetAlgorithm(Context& context, const std::vector<Tensor>& buckets, const std::string& name)
      : group_(context, buckets, name, {}) {}

  void start_exchange(const AsynchronousWeights& weights) override {
    WindowGetOptions get;
    get.src_weights = weights.src_weights;
    group_.start([&get](Window& window) { return window.get_async(get); });
  }
  void mix() override {
    for (Window& window : group_.windows()) window.update();
  }
  void begin_step() override {
    for (Window& window : group_.windows()) steps_.push_back(window.edit());
  }
  void end_step() override { steps_.clear(); }
  [[nodiscard]] WindowGroup& group() noexcept override { return group_; }

 private:
  WindowGroup group_;
  std::vector<WindowLock> steps_;
};

/// Neighbours may use a window's tensor when the algorithm is gone.
using SharedTensors = std::shared_ptr<const std::vector<OwnedTensor>>;

std::vector<OwnedTensor> copies(const std::vector<Tensor>& buckets) {
  std::vector<OwnedTensor> all;
  for (const Tensor& bucket : buckets) {
    if (!is_floating(bucket.dtype)) {
      throw InvalidArgument("asynchronous mixing: a bucket of " + std::string(name_of(bucket.dtype)) +
                            " has no mean; give floating dtypes");
    }
    all.emplace_back(bucket);
  }
  return all;
}

SharedTensors shared_copies(const std::vector<Tensor>& buckets) {
  return std::make_shared<const std::vector<OwnedTensor>>(copies(buckets));
}

std::vector<Tensor> views(const std::vector<OwnedTensor>& tensors) {
  std::vector<Tensor> all;
  all.reserve(tensors.size());
  for (const auto& tensor : tensors) all.push_back(tensor.view());
  return all;
}

WindowOptions zero_init() {
  WindowOptions options;
  options.zero_init = true;
  return options;
}

/// Who has less weight gives nothing, but collects. While all its shares stay with a rank that rests, w and u
/// halve in each iteration or so; u, which has the dtype of the parameters, must not leave the range of its
/// exponents.
double least_weight(DType dtype) {
  switch (dtype) {
    case DType::Float64:
      return 1e-100;
    case DType::Float16:
      return 0x1p-4;
    default:
      return 0x1p-64;  // float32 and bfloat16
  }
}

/// Equal shares, unless others are given.
WindowPutOptions shares_for(const Window& window, const AsynchronousWeights& weights) {
  if (weights.self_weight.has_value() != weights.dst_weights.has_value()) {
    throw InvalidArgument("push-sum: self_weight and dst_weights come together: give both, or none");
  }
  WindowPutOptions options;
  options.with_associated_p = true;
  options.self_weight = weights.self_weight;
  options.dst_weights = weights.dst_weights;
  if (weights.self_weight) return options;
  const std::vector<int> destinations = window.destinations();
  // Of few bits, so that the rest is exact, and no mass is lost by rounding.
  const auto count = static_cast<double>(destinations.size());
  const double share = static_cast<float>(1.0 / (count + 1));
  options.self_weight = 1.0 - count * share;
  options.dst_weights.emplace();
  for (const int rank : destinations) options.dst_weights->emplace(rank, share);
  return options;
}

class PushSumAlgorithm final : public AsynchronousAlgorithm {
 public:
  PushSumAlgorithm(Context& context, const std::vector<Tensor>& buckets, const std::string& name)
      : buckets_(buckets),
        mass_(shared_copies(buckets_)),
        group_(context, views(*mass_), name, zero_init(), mass_) {}

  void start_exchange(const AsynchronousWeights& weights) override {
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      scale((*mass_)[i].view(), buckets_[i], group_.windows()[i].associated_p());
    }
    group_.start([&weights](Window& window) {
      const WindowPutOptions shares = shares_for(window, weights);
      if (window.associated_p() < least_weight(window.tensor().dtype)) return Handle();
      return window.accumulate_async(window.tensor(), shares);
    });
  }
  void mix() override {
    WindowCallOptions with_weights;
    with_weights.with_associated_p = true;
    with_weights.attended = true;
    for (Window& window : group_.windows()) window.update_then_collect_async(false, with_weights).wait();
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      const double weight = group_.windows()[i].associated_p();
      if (weight != 0) scale(buckets_[i], (*mass_)[i].view(), 1.0 / weight);  // else all is with the others
    }
  }
  [[nodiscard]] WindowGroup& group() noexcept override { return group_; }

 private:
  std::vector<Tensor> buckets_;  ///< u / w
  SharedTensors mass_;           ///< u
  WindowGroup group_;
};

WindowOptions averages() {
  WindowOptions options;
  options.averages = true;
  return options;
}

class PairwiseAlgorithm final : public AsynchronousAlgorithm {
 public:
  PairwiseAlgorithm(Context& context, const std::vector<Tensor>& buckets, const AsynchronousOptions& options)
      : buckets_(buckets),
        shared_(shared_copies(buckets_)),
        before_step_(copies(buckets_)),
        group_(context, views(*shared_), options.name, averages(), shared_),
        random_(base::hash_combine(options.seed, static_cast<std::uint64_t>(context.rank()))) {}

  void start_exchange(const AsynchronousWeights& /*weights*/) override {
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      const WindowLock edit = group_.windows()[i].edit();
      const Tensor& shared = (*shared_)[i].view();
      add_change(shared, buckets_[i], before_step_[i].view());
      copy(buckets_[i], shared);
      copy(before_step_[i].view(), shared);
    }
    if (group_.windows().empty()) return;
    const std::vector<int> neighbors = group_.windows().front().destinations();
    if (neighbors.empty()) return;
    const int peer = neighbors[random_.below(neighbors.size())];
    group_.start([peer](Window& window) { return window.average_with_async(peer); });
  }
  void mix() override {}
  [[nodiscard]] WindowGroup& group() noexcept override { return group_; }

 private:
  std::vector<Tensor> buckets_;           ///< parameters
  SharedTensors shared_;                  ///< what others average with
  std::vector<OwnedTensor> before_step_;  ///< parameters
  WindowGroup group_;
  base::SplitMix64 random_;
};

}  // namespace
}  // namespace optim

AsynchronousMixing::AsynchronousMixing(std::unique_ptr<optim::AsynchronousAlgorithm> algorithm)
    : algorithm_(std::move(algorithm)) {}
AsynchronousMixing::~AsynchronousMixing() = default;

void AsynchronousMixing::begin_exchange() {
  algorithm_->start_exchange(weights);
}

bool AsynchronousMixing::wait_for(std::chrono::nanoseconds patience) {
  return algorithm_->group().wait_for(patience);
}

void AsynchronousMixing::end_exchange() {
  algorithm_->group().wait();
  algorithm_->mix();
}

void AsynchronousMixing::begin_step() {
  algorithm_->begin_step();
}

void AsynchronousMixing::end_step() {
  algorithm_->end_step();
}

void AsynchronousMixing::close() {
  algorithm_->end_step();  // of a step that has failed
  algorithm_->group().close();
}

WindowPutMixing::WindowPutMixing(Context& context, const std::vector<Tensor>& buckets,
                                 const AsynchronousOptions& options)
    : AsynchronousMixing(std::make_unique<optim::PutAlgorithm>(context, buckets, options.name)) {}

WindowGetMixing::WindowGetMixing(Context& context, const std::vector<Tensor>& buckets,
                                 const AsynchronousOptions& options)
    : AsynchronousMixing(std::make_unique<optim::GetAlgorithm>(context, buckets, options.name)) {}

PushSumMixing::PushSumMixing(Context& context, const std::vector<Tensor>& buckets,
                             const AsynchronousOptions& options)
    : AsynchronousMixing(std::make_unique<optim::PushSumAlgorithm>(context, buckets, options.name)) {}

double PushSumMixing::weight() const {
  const auto& windows = algorithm_->group().windows();
  if (windows.empty()) {
    throw InvalidArgument("PushSumMixing: there is no weight: it is closed, or there are no parameters");
  }
  return windows.front().associated_p();
}

PairwiseMixing::PairwiseMixing(Context& context, const std::vector<Tensor>& buckets,
                               const AsynchronousOptions& options)
    : AsynchronousMixing(std::make_unique<optim::PairwiseAlgorithm>(context, buckets, options)) {}

}  // namespace bluefog
