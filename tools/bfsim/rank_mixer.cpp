#include "rank_mixer.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace bfsim {

namespace {

using bluefog::Context;
using bluefog::Handle;
using bluefog::NeighborAllreduceOptions;
using bluefog::SharedArray;

NeighborAllreduceOptions mixing_options(const MixingPlan& plan, const MixerOptions& options) {
  NeighborAllreduceOptions mixing;
  mixing.schedule = plan.schedule;
  mixing.form = bluefog::MixingForm::Difference;  // as optimizers mix
  mixing.check_topology = options.check_topology;
  return mixing;
}

class FlatMixer final : public RankMixer {
 public:
  FlatMixer(Context& context, const MixingPlan& plan, const MixerOptions& options)
      : context_(context),
        mixing_(mixing_options(plan, options)),
        x_(context.make_shared<float>(options.elements)) {
    // Where all that it sends leaves with the post, and nothing lies on its host, a rank that computes has
    // nothing to attend to.
    mixing_.attended = options.ranks_per_host == 1 && options.elements * sizeof(float) <= eager_bytes;
  }

  [[nodiscard]] std::span<float> x() override { return x_.span(); }
  void mix(int step) override {
    mixing_.round = static_cast<std::uint64_t>(step);
    context_.neighbor_allreduce(x_.span(), x_.span(), mixing_);
  }
  void start(int step) override {
    if (mixed_.size() == 0) mixed_ = context_.make_shared<float>(x_.size());
    mixing_.round = static_cast<std::uint64_t>(step);
    handle_ = context_.neighbor_allreduce_async(x_.span(), mixed_.span(), mixing_);
  }
  void finish() override {
    handle_.wait();
    std::swap(x_, mixed_);
  }

 private:
  /// Of the engine: a tensor up to this size travels with the post.
  static constexpr std::size_t eager_bytes = std::size_t{64} << 10;

  Context& context_;
  NeighborAllreduceOptions mixing_;
  SharedArray<float> x_;
  SharedArray<float> mixed_;
  Handle handle_;
};

/// The mean of the host by slices, then each rank mixes its share with its likes on other hosts, then the
/// ranks of the host put the shares together.
class HierarchicalMixer final : public RankMixer {
 public:
  HierarchicalMixer(Context& context, const MixingPlan& plan, const MixerOptions& options)
      : context_(context),
        across_(mixing_options(plan, options)),
        x_(context.make_shared<float>(options.elements)) {
    const int per_host = options.ranks_per_host;
    const int host = context.rank() / per_host;
    const int place = context.rank() % per_host;
    for (int i = 0; i < per_host; ++i) inside_.group.push_back(host * per_host + i);
    for (int i = 0; i < context.size() / per_host; ++i) across_.group.push_back(i * per_host + place);
    together_.group = inside_.group;
    const std::size_t share = options.elements / static_cast<std::size_t>(per_host);
    share_ = x_.span().subspan(static_cast<std::size_t>(place) * share, share);
  }

  [[nodiscard]] std::span<float> x() override { return x_.span(); }
  void mix(int step) override {
    const bool has_neighbors = inside_.group.size() > 1;
    if (has_neighbors) context_.allreduce(x_.span(), x_.span(), inside_);
    across_.round = static_cast<std::uint64_t>(step);
    context_.neighbor_allreduce(share_, share_, across_);
    if (!has_neighbors) return;
    const bluefog::GatheredTensor whole = context_.allgather(share_, together_);
    std::memcpy(x_.data(), whole.data.get(), x_.size() * sizeof(float));
  }
  void start(int /*step*/) override {
    throw bluefog::InvalidArgument("a hierarchical round cannot be mixed while its rank computes");
  }
  void finish() override {}

 private:
  Context& context_;
  bluefog::AllreduceOptions inside_;
  NeighborAllreduceOptions across_;
  bluefog::OperationOptions together_;
  SharedArray<float> x_;
  std::span<float> share_;
};

}  // namespace

std::unique_ptr<RankMixer> make_mixer(Context& context, const MixingPlan& plan, const MixerOptions& options) {
  if (plan.is_hierarchical) return std::make_unique<HierarchicalMixer>(context, plan, options);
  return std::make_unique<FlatMixer>(context, plan, options);
}

}  // namespace bfsim
