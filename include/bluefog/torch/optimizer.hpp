#pragma once
/// @file torch/optimizer.hpp  Any optimizer of LibTorch, with the communication of any algorithm.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <torch/csrc/autograd/variable.h>
#include <torch/nn/module.h>
#include <torch/optim/lbfgs.h>
#include <torch/optim/optimizer.h>
#include <torch/serialize/input-archive.h>
#include <torch/serialize/output-archive.h>
#include <torch/types.h>

#include <bluefog/algorithm.hpp>
#include <bluefog/context.hpp>
#include <bluefog/error.hpp>
#include <bluefog/torch/buckets.hpp>
#include <bluefog/torch/checkpoint.hpp>
#include <bluefog/torch/gradients.hpp>
#include <bluefog/torch/operations.hpp>

namespace bluefog::torch {

/// What DistributedOptimizer takes.
struct DistributedOptions {
  /// Of one optimizer among several; equal on all ranks. (The algorithm has a name of its own.)
  std::string name = "optimizer";
  /// Bytes of parameters that are mixed by one operation.
  std::size_t bucket_bytes = ParameterBuckets::default_bytes;
  /// For GradientAllreduce: in the last of so many backwards each bucket of gradients starts on its way when
  /// it is full. For gradient accumulation.
  int backwards_per_step = 1;
};

namespace optimizer {

[[nodiscard]] inline std::int64_t hash_of(const ParameterBuckets& buckets) {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  const auto add = [&hash](std::string_view bytes) {
    for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  };
  for (const Member& member : buckets.members()) {
    add(member.name);
    add(c10::toString(member.parameter.scalar_type()));
    for (const std::int64_t extent : member.parameter.sizes()) add(std::to_string(extent) + ",");
    add(std::to_string(member.bucket) + ":" + std::to_string(member.offset) + ";");
  }
  return static_cast<std::int64_t>(hash);
}

/// Parameters, those that are there twice counted twice.
[[nodiscard]] inline std::size_t parameters_of(const ::torch::optim::Optimizer& base) {
  std::size_t count = 0;
  for (const auto& group : base.param_groups()) count += group.params().size();
  return count;
}

/// Lays out the parameters, if all ranks can and do it alike.
/// @throws InvalidArgument for a wrong argument of this rank, Mismatch for what is wrong on another, or
/// unlike layouts; what the memory of this rank throws
[[nodiscard]] inline ParameterBuckets agreed_buckets(Context& context, const ::torch::optim::Optimizer& base,
                                                     const ::torch::nn::Module& module,
                                                     const DistributedOptions& options) {
  OperationOptions compare;
  compare.name = options.name + ".layout";
  std::unique_ptr<ParameterBuckets> buckets;
  std::exception_ptr failure;  // also told to the others, who wait
  try {
    if (options.backwards_per_step < 1) throw InvalidArgument("backwards_per_step is less than 1");
    if (dynamic_cast<const ::torch::optim::LBFGS*>(&base) != nullptr) {
      throw InvalidArgument("LBFGS cannot be made distributed: it evaluates the model several times a step");
    }
    buckets = std::make_unique<ParameterBuckets>(context, base, module, options.bucket_bytes);
  } catch (const InvalidArgument& error) {
    compare.refusal = error.what();
  } catch (const std::exception& error) {
    compare.refusal = error.what();
    failure = std::current_exception();
  }
  const at::Tensor own = at::full({1}, buckets ? hash_of(*buckets) : 0, at::kLong);
  try {
    if (!allgather(context, own, compare).eq(own).all().item<bool>()) {
      throw Mismatch("the parameters differ between ranks in name, order, shape or dtype");
    }
  } catch (const InvalidArgument&) {
    if (failure) std::rethrow_exception(failure);
    throw;
  }
  return std::move(*buckets);
}

}  // namespace optimizer

/// Steps of an optimizer of LibTorch, between which ranks communicate as the algorithm says:
///
///     torch::optim::SGD sgd(model->parameters(), 0.1);
///     bluefog::torch::DistributedOptimizer optimizer(
///         context, sgd, *model, bluefog::algorithm_of<bluefog::AdaptThenCombine>({.schedule = schedule}));
///     for (...) {
///       optimizer.zero_grad();
///       loss(model, batch).backward();
///       optimizer.step();
///     }
///
/// Parameters move to shared memory; the tensors that the module and the optimizer hold stay the same.
/// Learning rates, schedulers and saved states are those of the optimizer below, which is used, not copied.
/// One thread. Between zero_grad() and step() the parameters must not be changed: an algorithm that overlaps
/// mixes them already. All ranks make the same calls.
class DistributedOptimizer {
 public:
  /// Collective. All arguments but `make` and `options` must live as long as it does. `module` has all
  /// parameters of `base`. Start all ranks alike: broadcast_parameters().
  /// @throws InvalidArgument for LBFGS, a parameter of no module, one that cannot be averaged, two that share
  /// memory; Mismatch where ranks differ; as the algorithm
  DistributedOptimizer(Context& context, ::torch::optim::Optimizer& base, const ::torch::nn::Module& module,
                       const MakeAlgorithm& make, const DistributedOptions& options = {})
      : context_(context),
        base_(base),
        parameters_(optimizer::parameters_of(base)),
        buckets_(optimizer::agreed_buckets(context, base, module, options)),
        gradients_(make.uses_gradients() ? buckets_.allocate_alike(context) : std::vector<SharedMemory>()),
        places_(places_in(gradients_)),
        algorithm_(make(context, buckets_.tensors(), gradient_tensors())),
        arrived_(buckets_.members(), buckets_.count(), options.backwards_per_step) {
    if (auto* averaging = algorithm_.get<GradientAllreduce>(); averaging != nullptr) {
      hooks_ = std::make_unique<optimizer::GradientHooks>(
          buckets_.members(), [this, averaging](std::size_t member) {
            if (is_synchronized_) {
              throw InvalidArgument(
                  "Unexpected behavior: a backward after synchronize(), whose average it would spoil; call "
                  "step() before, or zero_grad() if there shall be no step");
            }
            if (!arrived_.note(member)) return;
            const std::size_t bucket = buckets_.members()[member].bucket;
            take_gradients(bucket);
            averaging->start(bucket);
          });
    }
  }
  DistributedOptimizer(const DistributedOptimizer&) = delete;
  DistributedOptimizer& operator=(const DistributedOptimizer&) = delete;
  /// Collective for algorithms over windows, for neighbours may read the parameters until then; not while an
  /// exception is on its way.
  ~DistributedOptimizer() {
    if (std::uncaught_exceptions() > exceptions_) return;
    try {
      algorithm_.close();
    } catch (const Error&) {  // NOLINT(bugprone-empty-catch): whoever would read them is gone
    }
  }

  /// As that of the optimizer; and what can be mixed while gradients are computed starts on its way. If there
  /// was a synchronize(), and no step() since, the iteration ends here, with a step that changes nothing.
  void zero_grad(bool set_to_none = true) {
    if (is_synchronized_) end_iteration();
    base_.zero_grad(set_to_none);
    begin_gradient();
  }

  /// What communication there is before the optimizer's step happens now, instead of in step(): each
  /// parameter's grad is then what the step will use, an average say. For clipping. The step may be left out,
  /// by all ranks: see zero_grad().
  void synchronize() {
    if (is_synchronized_) return;
    check_parameters();
    const double rate = learning_rate();
    begin_gradient();
    has_begun_ = false;
    for (std::size_t bucket = 0; bucket < buckets_.count(); ++bucket) {
      if (!arrived_.is_full(bucket)) take_gradients(bucket);
    }
    arrived_.start_over();
    algorithm_.begin_step(rate);
    give_gradients();
    is_synchronized_ = true;
  }

  /// One iteration. Called without zero_grad() before, it communicates here.
  /// @param closure  zeroes and computes the gradients, and returns the loss, which becomes the result
  /// @throws the errors of the operations; InvalidArgument for parameters whose dtype, shape or device has
  /// changed or that were added, and for learning rates that differ between groups where the algorithm has
  /// one only
  at::Tensor step(const ::torch::optim::Optimizer::LossClosure& closure = nullptr) {
    at::Tensor loss;
    if (closure) {
      const at::AutoGradMode with_gradients(true);
      loss = closure();
    }
    synchronize();
    base_.step();
    end_iteration();
    return loss;
  }

  /// This rank's part of a checkpoint: the state of the optimizer below, and what the algorithm remembers.
  /// Each rank saves its own, and its module: torch::save(optimizer, file) does it.
  /// @throws InvalidArgument between zero_grad() and step()
  void save(::torch::serialize::OutputArchive& archive) const {
    check_between_iterations("save");
    ::torch::serialize::OutputArchive base;
    base_.save(base);
    archive.write("base", base);
    ::torch::serialize::OutputArchive own;
    optimizer::save(own, algorithm_state());
    archive.write("bluefog", own);
  }

  /// Goes on from there, to the bit, once the module is loaded too: torch::load(optimizer, file) does it. The
  /// state of a job of another size starts the algorithm anew, from the saved round and the parameters as
  /// they are, which should then be the saved ranks' mean; that is collective. Over windows load the module
  /// before this is made.
  /// @throws InvalidArgument, and has changed nothing, between zero_grad() and step(), and for the state of
  /// another algorithm, of other parameters, or with vectors of another rank; c10::Error for what is no such
  /// state
  void load(::torch::serialize::InputArchive& archive) {
    check_between_iterations("load");
    ::torch::serialize::InputArchive part;
    archive.read("bluefog", part);
    const optimizer::AlgorithmState loaded = optimizer::load(part);
    optimizer::AlgorithmState own = algorithm_state();
    const bool continues = optimizer::continues(own, loaded);
    const auto round = static_cast<std::uint64_t>(loaded.round);
    ::torch::serialize::InputArchive base;
    archive.read("base", base);
    if (continues) algorithm_.resume(round, static_cast<int>(loaded.steps));
    try {
      base_.load(base);
    } catch (...) {
      if (continues) algorithm_.resume(static_cast<std::uint64_t>(own.round), static_cast<int>(own.steps));
      throw;
    }
    buckets_.restore();
    if (continues) {
      optimizer::adopt(loaded, own);
    } else {
      algorithm_.restart(round);
    }
  }

  /// For what is particular to it, as set_communication().
  [[nodiscard]] AnyAlgorithm& algorithm() noexcept { return algorithm_; }
  /// The user's optimizer.
  [[nodiscard]] ::torch::optim::Optimizer& base() noexcept { return base_; }

 private:
  [[nodiscard]] std::vector<Tensor> gradient_tensors() const {
    return gradients_.empty() ? std::vector<Tensor>() : buckets_.tensors_of(gradients_);
  }

  [[nodiscard]] std::vector<at::Tensor> places_in(const std::vector<SharedMemory>& memories) const {
    std::vector<at::Tensor> places;
    if (memories.empty()) return places;
    for (const Member& member : buckets_.members())
      places.push_back(ParameterBuckets::place_of(member, memories));
    return places;
  }

  void check_between_iterations(const char* what) const {
    if (!has_begun_ && !is_synchronized_) return;
    throw InvalidArgument(std::string("DistributedOptimizer: ") + what +
                          "() between zero_grad() and step(), when parameters are on their way");
  }

  [[nodiscard]] optimizer::AlgorithmState algorithm_state() const {
    return optimizer::state_of(context_, algorithm_, optimizer::hash_of(buckets_));
  }

  void begin_gradient() {
    if (has_begun_) return;
    check_parameters();
    has_begun_ = true;
    algorithm_.begin_gradient();
  }

  void end_iteration() {
    is_synchronized_ = false;
    algorithm_.end_step();
    for (const Member& member : buckets_.members()) ::torch::autograd::impl::bump_version(member.parameter);
  }

  /// They must be those in the buckets.
  void check_parameters() {
    if (optimizer::parameters_of(base_) != parameters_) {
      throw InvalidArgument(
          "parameters were added to the optimizer after it was made distributed; make another "
          "DistributedOptimizer around it");
    }
    buckets_.restore();
  }

  /// Those of a bucket, to where the algorithm finds them; 0 for a parameter without one.
  void take_gradients(std::size_t bucket) {
    const at::NoGradGuard no_grad;
    for (std::size_t i = 0; i < places_.size(); ++i) {
      const Member& member = buckets_.members()[i];
      if (member.bucket != bucket) continue;
      const at::Tensor& gradient = member.parameter.grad();
      if (!gradient.defined()) {
        places_[i].zero_();
      } else if (gradient.data_ptr() != places_[i].data_ptr()) {
        places_[i].copy_(gradient);
      }
    }
  }

  /// What the algorithm has made of them, to where the optimizer finds them.
  void give_gradients() {
    for (std::size_t i = 0; i < places_.size(); ++i) {
      at::Tensor parameter = buckets_.members()[i].parameter;
      if (parameter.requires_grad()) parameter.mutable_grad() = places_[i];
    }
  }

  [[nodiscard]] double learning_rate() const {
    const auto& groups = base_.param_groups();
    const double rate = groups.front().options().get_lr();
    const bool needs_one = algorithm_.get<QuasiGlobalMomentum>() != nullptr ||
                           algorithm_.get<DecentLaM>() != nullptr ||
                           algorithm_.get<SlowMomentum>() != nullptr;
    for (const auto& group : groups) {
      if (needs_one && group.options().get_lr() != rate) {
        throw InvalidArgument(
            "the groups of the optimizer have unequal learning rates; this algorithm has one for all");
      }
    }
    return rate;
  }

  Context& context_;
  ::torch::optim::Optimizer& base_;
  std::size_t parameters_;  ///< how many the base optimizer has
  ParameterBuckets buckets_;
  std::vector<SharedMemory> gradients_;  ///< none, or buckets of gradients
  std::vector<at::Tensor> places_;       ///< of each member in them
  AnyAlgorithm algorithm_;
  optimizer::ArrivedGradients arrived_;
  std::unique_ptr<optimizer::GradientHooks> hooks_;
  bool has_begun_ = false;
  bool is_synchronized_ = false;
  int exceptions_ = std::uncaught_exceptions();
};

/// For torch::save(optimizer, file).
inline ::torch::serialize::OutputArchive& operator<<(::torch::serialize::OutputArchive& archive,
                                                     const DistributedOptimizer& optimizer) {
  optimizer.save(archive);
  return archive;
}

/// For torch::load(optimizer, file).
inline ::torch::serialize::InputArchive& operator>>(::torch::serialize::InputArchive& archive,
                                                    DistributedOptimizer& optimizer) {
  optimizer.load(archive);
  return archive;
}

}  // namespace bluefog::torch
