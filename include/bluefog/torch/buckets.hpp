#pragma once
/// @file torch/buckets.hpp  Parameters of a module side by side in shared memory.

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <torch/nn/module.h>
#include <torch/optim/optimizer.h>
#include <torch/types.h>

#include <bluefog/context.hpp>
#include <bluefog/error.hpp>
#include <bluefog/shared_memory.hpp>
#include <bluefog/tensor.hpp>
#include <bluefog/torch/tensor.hpp>

namespace bluefog::torch {

/// A parameter and its place in a bucket.
struct Member {
  /// In the module.
  std::string name;
  /// The user's tensor.
  at::Tensor parameter;
  std::vector<std::int64_t> strides;  ///< there
  /// Number of the bucket.
  std::size_t bucket = 0;
  std::size_t offset = 0;  ///< bytes
};

/// Flat buckets of one dtype each, in the order of the optimizer's parameters. The user's tensors stay valid:
/// their data moves. Saving one saves its own bytes only.
class ParameterBuckets {
 public:
  /// Bytes of a bucket, unless one parameter is larger.
  static constexpr std::size_t default_bytes = std::size_t{25} << 20;

  /// @throws InvalidArgument for a parameter of the optimizer that the module has not got, that cannot be
  /// averaged, or that shares memory with another
  ParameterBuckets(Context& context, const ::torch::optim::Optimizer& optimizer,
                   const ::torch::nn::Module& module, std::size_t bucket_bytes = default_bytes) {
    collect(optimizer, module);
    lay_out(bucket_bytes);
    for (const std::size_t bytes : sizes_) memories_.push_back(context.allocate_shared(bytes));
    const at::NoGradGuard no_grad;
    for (Member& member : members_) {
      at::Tensor place = place_of(member, memories_);
      place.copy_(member.parameter);
      member.parameter.set_data(place);
    }
  }

  /// In the order of the optimizer's parameters.
  [[nodiscard]] const std::vector<Member>& members() const noexcept { return members_; }
  /// Number of buckets.
  [[nodiscard]] std::size_t count() const noexcept { return sizes_.size(); }
  /// The buckets of the parameters, for the core.
  [[nodiscard]] std::vector<Tensor> tensors() const { return tensors_of(memories_); }
  /// As many buckets, of zeros, laid out alike.
  [[nodiscard]] std::vector<SharedMemory> allocate_alike(Context& context) const {
    std::vector<SharedMemory> memories;
    for (const std::size_t bytes : sizes_) memories.push_back(context.allocate_shared(bytes));
    return memories;
  }
  /// Buckets that are laid out alike, for the core.
  [[nodiscard]] std::vector<Tensor> tensors_of(const std::vector<SharedMemory>& memories) const {
    std::vector<Tensor> tensors;
    for (std::size_t i = 0; i < sizes_.size(); ++i) {
      tensors.emplace_back(memories[i].data(), dtypes_[i], Shape(sizes_[i] / size_of(dtypes_[i])));
    }
    return tensors;
  }
  /// What lies where the member does in buckets that are laid out alike.
  [[nodiscard]] static at::Tensor place_of(const Member& member, const std::vector<SharedMemory>& memories) {
    return tensor_over(memories[member.bucket], member.offset, member.parameter.sizes(), member.strides,
                       member.parameter.scalar_type());
  }

  /// Brings back parameters whose data was replaced (set_data, to()). @throws InvalidArgument for one that
  /// has another dtype, shape or device now
  void restore() {
    for (Member& member : members_) {
      at::Tensor& parameter = member.parameter;
      const auto* place = static_cast<const std::byte*>(memories_[member.bucket].data()) + member.offset;
      if (parameter.numel() == 0 || (parameter.device().is_cpu() && parameter.data_ptr() == place)) continue;
      const at::NoGradGuard no_grad;
      const bool fits = parameter.device().is_cpu() &&
                        dtypes_[member.bucket] == dtype_of(parameter.scalar_type()) &&
                        parameter.sizes().vec() == shapes_[&member - members_.data()];
      if (!fits) {
        throw InvalidArgument("parameter \"" + member.name +
                              "\" has another dtype, shape or device than when the optimizer was made"
                              " distributed; convert the module first");
      }
      at::Tensor home = place_of(member, memories_);
      home.copy_(parameter);
      parameter.set_data(home);
    }
  }

 private:
  static constexpr std::size_t alignment = 64;

  void collect(const ::torch::optim::Optimizer& optimizer, const ::torch::nn::Module& module) {
    std::unordered_map<const void*, std::string> names;
    for (const auto& named : module.named_parameters()) {
      names.emplace(named.value().unsafeGetTensorImpl(), named.key());
    }
    std::unordered_map<const void*, std::string> holders;
    std::unordered_set<const void*> seen;
    for (const auto& group : optimizer.param_groups()) {
      for (const at::Tensor& parameter : group.params()) {
        const auto name = names.find(parameter.unsafeGetTensorImpl());
        if (name == names.end()) {
          throw InvalidArgument("a parameter of the optimizer, of shape " + text_of(parameter) +
                                ", is none of the module");
        }
        if (!seen.insert(name->first).second) continue;
        check(name->second, parameter);
        const auto [holder, is_first] =
            holders.emplace(parameter.storage().unsafeGetStorageImpl(), name->second);
        if (!is_first) {
          throw InvalidArgument("parameters \"" + holder->second + "\" and \"" + name->second +
                                "\" share memory; clone() one of them first");
        }
        members_.push_back({name->second, parameter, {}});
        shapes_.push_back(parameter.sizes().vec());
      }
    }
  }

  static void check(const std::string& name, const at::Tensor& parameter) {
    std::string wrong = complaint_about(parameter);
    if (wrong.empty() && !is_floating(dtype_of(parameter.scalar_type()))) {
      wrong = std::string("a tensor of ") + c10::toString(parameter.scalar_type()) + " cannot be averaged";
    }
    if (!wrong.empty()) throw InvalidArgument("parameter \"" + name + "\": " + wrong);
  }

  static std::string text_of(const at::Tensor& tensor) {
    std::string text;
    for (const std::int64_t extent : tensor.sizes())
      text += (text.empty() ? "" : ", ") + std::to_string(extent);
    return "[" + text + "]";
  }

  void lay_out(std::size_t bucket_bytes) {
    std::unordered_map<int, std::size_t> open;  // dtype -> bucket
    for (Member& member : members_) {
      const at::Tensor& parameter = member.parameter;
      const bool dense = parameter.is_non_overlapping_and_dense();
      member.strides = (dense ? parameter : at::empty(parameter.sizes(), at::kMeta)).strides().vec();
      const std::size_t bytes = (parameter.nbytes() + alignment - 1) / alignment * alignment;
      const DType dtype = dtype_of(parameter.scalar_type());
      auto bucket = open.find(static_cast<int>(dtype));
      if (bucket == open.end() || sizes_[bucket->second] + bytes > bucket_bytes) {
        bucket = open.insert_or_assign(static_cast<int>(dtype), sizes_.size()).first;
        sizes_.push_back(0);
        dtypes_.push_back(dtype);
      }
      member.bucket = bucket->second;
      member.offset = sizes_[member.bucket];
      sizes_[member.bucket] += bytes;
    }
    for (std::size_t& bytes : sizes_) bytes = std::max(bytes, alignment);
  }

  std::vector<Member> members_;
  std::vector<std::vector<std::int64_t>> shapes_;  ///< by member
  std::vector<std::size_t> sizes_;                 ///< of buckets, in bytes
  std::vector<DType> dtypes_;                      ///< of buckets
  std::vector<SharedMemory> memories_;
};

}  // namespace bluefog::torch
