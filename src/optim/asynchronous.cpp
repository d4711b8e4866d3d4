#include <algorithm>
#include <utility>

#include <bluefog/asynchronous.hpp>
#include <bluefog/error.hpp>

#include "base/split_mix.hpp"
#include "optim/flat.hpp"
#include "optim/window_group.hpp"

namespace bluefog {

namespace {

std::vector<Tensor> views(const std::vector<optim::OwnedTensor>& tensors) {
  std::vector<Tensor> all;
  for (const auto& tensor : tensors) all.push_back(tensor.view());
  return all;
}

std::vector<optim::OwnedTensor> copies(const std::vector<Tensor>& buckets) {
  std::vector<optim::OwnedTensor> all;
  for (const Tensor& bucket : buckets) {
    if (!is_floating(bucket.dtype)) {
      throw InvalidArgument("asynchronous mixing: a bucket of " + std::string(name_of(bucket.dtype)) +
                            " has no mean; give floating dtypes");
    }
    all.emplace_back(bucket);
  }
  return all;
}

}  // namespace

// --- WindowPutMixing

class WindowPutMixing::Impl {
 public:
  optim::WindowGroup group;
};

WindowPutMixing::WindowPutMixing(Context& context, std::vector<Tensor> buckets,
                                 const AsynchronousOptions& options)
    : impl_(new Impl{{context, buckets, options.name, {}}}) {}
WindowPutMixing::~WindowPutMixing() = default;

void WindowPutMixing::begin_exchange() {
  impl_->group.start([this](Window& window) {
    WindowPutOptions put;
    put.dst_weights = weights.dst_weights;
    return window.put_async(window.tensor(), put);
  });
}

bool WindowPutMixing::wait_for(std::chrono::nanoseconds patience) {
  return impl_->group.wait_for(patience);
}

void WindowPutMixing::end_exchange() {
  impl_->group.wait();
  for (Window& window : impl_->group.windows()) window.update();
}

void WindowPutMixing::close() {
  impl_->group.close();
}

// --- WindowGetMixing

class WindowGetMixing::Impl {
 public:
  optim::WindowGroup group;
  std::vector<WindowLock> steps{};
};

WindowGetMixing::WindowGetMixing(Context& context, std::vector<Tensor> buckets,
                                 const AsynchronousOptions& options)
    : impl_(new Impl{{context, buckets, options.name, {}}}) {}
WindowGetMixing::~WindowGetMixing() = default;

void WindowGetMixing::begin_exchange() {
  impl_->group.start([this](Window& window) {
    WindowGetOptions get;
    get.src_weights = weights.src_weights;
    return window.get_async(get);
  });
}

bool WindowGetMixing::wait_for(std::chrono::nanoseconds patience) {
  return impl_->group.wait_for(patience);
}

void WindowGetMixing::end_exchange() {
  impl_->group.wait();
  for (Window& window : impl_->group.windows()) window.update();
}

void WindowGetMixing::begin_step() {
  for (Window& window : impl_->group.windows()) impl_->steps.push_back(window.edit());
}

void WindowGetMixing::end_step() {
  impl_->steps.clear();
}

void WindowGetMixing::close() {
  impl_->group.close();
}

// --- PushSumMixing

class PushSumMixing::Impl {
 public:
  Impl(Context& context, std::vector<Tensor> parameters, const std::string& name)
      : buckets(std::move(parameters)), mass(copies(buckets)), group(context, views(mass), name, [] {
          WindowOptions zeros;
          zeros.zero_init = true;
          return zeros;
        }()) {}

  /// Equal shares, unless others are given.
  [[nodiscard]] static WindowPutOptions shares(const Window& window, const AsynchronousWeights& weights) {
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

  /// Who has less gives nothing, but collects. While all its shares stay with a rank that rests, w and u
  /// halve in each iteration or so; u, which has the dtype of the parameters, must not leave the range of its
  /// exponents.
  [[nodiscard]] static double least_weight(DType dtype) {
    switch (dtype) {
      case DType::Float64:
        return 1e-100;
      case DType::Float16:
        return 0x1p-4;
      default:
        return 0x1p-64;  // float32 and bfloat16
    }
  }

  /// The parameters are u / w.
  void unbias() {
    for (std::size_t i = 0; i < buckets.size(); ++i) {
      optim::scale(buckets[i], mass[i].view(), 1.0 / group.windows()[i].associated_p());
    }
  }

  std::vector<Tensor> buckets;
  std::vector<optim::OwnedTensor> mass;  ///< u
  optim::WindowGroup group;
};

PushSumMixing::PushSumMixing(Context& context, std::vector<Tensor> buckets,
                             const AsynchronousOptions& options)
    : impl_(std::make_unique<Impl>(context, std::move(buckets), options.name)) {}
PushSumMixing::~PushSumMixing() = default;

void PushSumMixing::begin_exchange() {
  for (std::size_t i = 0; i < impl_->buckets.size(); ++i) {
    optim::scale(impl_->mass[i].view(), impl_->buckets[i], impl_->group.windows()[i].associated_p());
  }
  impl_->group.start([this](Window& window) {
    const WindowPutOptions shares = Impl::shares(window, weights);
    if (window.associated_p() < Impl::least_weight(window.tensor().dtype)) return Handle();
    return window.accumulate_async(window.tensor(), shares);
  });
}

bool PushSumMixing::wait_for(std::chrono::nanoseconds patience) {
  return impl_->group.wait_for(patience);
}

void PushSumMixing::end_exchange() {
  impl_->group.wait();
  WindowCallOptions with_weights;
  with_weights.with_associated_p = true;
  with_weights.attended = true;
  for (Window& window : impl_->group.windows()) {
    window.update_then_collect_async(false, with_weights).wait();
  }
  impl_->unbias();
}

double PushSumMixing::weight() const {
  return impl_->group.windows().front().associated_p();
}

void PushSumMixing::close() {
  impl_->group.close();
}

// --- PairwiseMixing

class PairwiseMixing::Impl {
 public:
  Impl(Context& context, std::vector<Tensor> parameters, const AsynchronousOptions& options)
      : buckets(std::move(parameters)),
        shared(copies(buckets)),
        before_step(copies(buckets)),
        group(context, views(shared), options.name,
              [] {
                WindowOptions averaging;
                averaging.averages = true;
                return averaging;
              }()),
        random(options.seed + base::kGoldenRatio * static_cast<std::uint64_t>(context.rank())) {}

  std::vector<Tensor> buckets;
  std::vector<optim::OwnedTensor> shared;       ///< what others average with
  std::vector<optim::OwnedTensor> before_step;  ///< parameters
  optim::WindowGroup group;
  base::SplitMix64 random;
};

PairwiseMixing::PairwiseMixing(Context& context, std::vector<Tensor> buckets,
                               const AsynchronousOptions& options)
    : impl_(std::make_unique<Impl>(context, std::move(buckets), options)) {}
PairwiseMixing::~PairwiseMixing() = default;

void PairwiseMixing::begin_exchange() {
  for (std::size_t i = 0; i < impl_->buckets.size(); ++i) {
    const WindowLock edit = impl_->group.windows()[i].edit();
    const Tensor& shared = impl_->shared[i].view();
    optim::add_change(shared, impl_->buckets[i], impl_->before_step[i].view());
    optim::copy(impl_->buckets[i], shared);
    optim::copy(impl_->before_step[i].view(), shared);
  }
  if (impl_->group.windows().empty()) return;
  const std::vector<int> neighbors = impl_->group.windows().front().destinations();
  if (neighbors.empty()) return;
  const int peer = neighbors[impl_->random.below(neighbors.size())];
  impl_->group.start([peer](Window& window) { return window.average_with_async(peer); });
}

bool PairwiseMixing::wait_for(std::chrono::nanoseconds patience) {
  return impl_->group.wait_for(patience);
}

void PairwiseMixing::end_exchange() {
  impl_->group.wait();
}

void PairwiseMixing::close() {
  impl_->group.close();
}

}  // namespace bluefog
