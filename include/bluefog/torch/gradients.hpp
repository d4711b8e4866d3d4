#pragma once
/// @file torch/gradients.hpp  Which gradients backward has computed.

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/types.h>

#include <bluefog/error.hpp>
#include <bluefog/torch/buckets.hpp>

namespace bluefog::torch::optimizer {

/// Tells of each gradient that has been accumulated, until it goes.
class GradientHooks {
 public:
  using Arrived = std::function<void(std::size_t member)>;

  GradientHooks(const std::vector<Member>& members, Arrived arrived)
      : arrived_(std::make_shared<Arrived>(std::move(arrived))) {
    for (std::size_t i = 0; i < members.size(); ++i) {  // frozen ones too, for they may be thawed
      hooked_.push_back(members[i].parameter);
      ::torch::autograd::impl::set_post_acc_grad_hooks(members[i].parameter,
                                                       std::make_unique<Hook>(i, arrived_));
    }
  }
  GradientHooks(const GradientHooks&) = delete;
  GradientHooks& operator=(const GradientHooks&) = delete;
  ~GradientHooks() {
    for (const at::Tensor& parameter : hooked_) {
      ::torch::autograd::impl::set_post_acc_grad_hooks(parameter, nullptr);
    }
  }

 private:
  class Hook final : public ::torch::autograd::PostAccumulateGradHook {
   public:
    Hook(std::size_t member, const std::shared_ptr<Arrived>& arrived) : member_(member), arrived_(arrived) {}
    void operator()(const ::torch::autograd::Variable& /*parameter*/) override {
      if (const std::shared_ptr<Arrived> arrived = arrived_.lock()) (*arrived)(member_);
    }

   private:
    std::size_t member_;
    std::weak_ptr<Arrived> arrived_;
  };

  std::shared_ptr<Arrived> arrived_;
  std::vector<at::Tensor> hooked_;
};

/// Which buckets of gradients are full.
class ArrivedGradients {
 public:
  ArrivedGradients(const std::vector<Member>& members, std::size_t buckets, int backwards)
      : members_(members), backwards_(backwards), seen_(members.size(), 0), awaited_(buckets, 0) {}

  /// @returns whether the member's bucket is full now
  [[nodiscard]] bool note(std::size_t member) {
    if (!std::exchange(noted_, true)) count_awaited();
    if (++seen_[member] > backwards_) {
      throw InvalidArgument("Unexpected behavior: parameter \"" + members_[member].name +
                            "\" has got its gradient " + std::to_string(seen_[member]) +
                            " times since the last step(), more than backwards_per_step=" +
                            std::to_string(backwards_) + "; its average may be on its way");
    }
    int& awaited = awaited_[members_[member].bucket];
    if (awaited == 0) {
      throw InvalidArgument("Unexpected behavior: parameter \"" + members_[member].name +
                            "\" has got a gradient when the average of its bucket was on its way; freeze and "
                            "thaw parameters before the first backward of a step");
    }
    return seen_[member] == backwards_ && --awaited == 0;
  }
  [[nodiscard]] bool is_full(std::size_t bucket) const { return noted_ && awaited_[bucket] == 0; }
  void start_over() {
    noted_ = false;
    std::fill(seen_.begin(), seen_.end(), 0);
  }

 private:
  /// When the first gradient comes: parameters are frozen and thawed between steps.
  void count_awaited() {
    std::fill(awaited_.begin(), awaited_.end(), 0);
    for (const Member& member : members_) awaited_[member.bucket] += member.parameter.requires_grad() ? 1 : 0;
  }

  const std::vector<Member>& members_;
  int backwards_;
  std::vector<int> seen_;     ///< by member
  std::vector<int> awaited_;  ///< by bucket: members whose gradients are not all there
  bool noted_ = false;
};

}  // namespace bluefog::torch::optimizer
