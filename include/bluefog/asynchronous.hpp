#pragma once
/// @file asynchronous.hpp  Decentralized training in which no rank waits for another: each computes at its
/// own pace, and mixes what the others have last sent.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <bluefog/context.hpp>
#include <bluefog/export.hpp>
#include <bluefog/options.hpp>
#include <bluefog/tensor.hpp>

namespace bluefog {

namespace optim {
class AsynchronousAlgorithm;
}

/// What every asynchronous mixing takes.
struct AsynchronousOptions {
  /// Of the windows: "<name>.0" for the first bucket, and so on. Equal on all ranks.
  std::string name = "asynchronous";
  /// For pairwise averaging: which neighbours are chosen.
  std::uint64_t seed = 1;
};

/// To whom, or from whom, with which factors; set between iterations.
struct AsynchronousWeights {
  std::optional<Weights> dst_weights;  ///< of puts and of push-sum
  std::optional<Weights> src_weights;  ///< of gets
  std::optional<double> self_weight;   ///< of push-sum: what this rank keeps; with dst_weights
};

/// The communication of an asynchronous algorithm, over parameters in flat buckets; the optimizer that
/// changes the parameters is the user's own. In every iteration:
///
///     mixing.begin_exchange();    // what this rank has goes on its way
///     gradient at the parameters  // they stay as they are meanwhile
///     mixing.end_exchange();      // what has come is mixed in
///     mixing.begin_step();
///     the optimizer's step        // changes the parameters
///     mixing.end_step();
///
/// begin_exchange() and end_exchange() may be left out, both, in iterations that do not communicate. What
/// else changes the parameters, a checkpoint say, counts as a step; it must not come between these two.
/// Floating dtypes. One thread. Errors are those of Window. The destructor frees the windows without waiting
/// for the neighbours to do so.
class BLUEFOG_API AsynchronousMixing {
 public:
  virtual ~AsynchronousMixing();
  AsynchronousMixing(const AsynchronousMixing&) = delete;
  AsynchronousMixing& operator=(const AsynchronousMixing&) = delete;

  /// What this rank has goes on its way.
  void begin_exchange();
  /// Whether end_exchange() need not wait any more, after at most `patience`.
  [[nodiscard]] bool wait_for(std::chrono::nanoseconds patience);
  /// Mixes in what has come; waits for what this rank has sent.
  void end_exchange();
  /// From now on the optimizer may change the parameters.
  void begin_step();
  /// The optimizer has changed them.
  void end_step();
  /// Collective among neighbours: frees the windows. The parameters keep their values.
  void close();

  /// Of the next exchanges.
  AsynchronousWeights weights;

 protected:
  /// For the classes below.
  explicit AsynchronousMixing(std::unique_ptr<optim::AsynchronousAlgorithm> algorithm);
  /// What does the work.
  std::unique_ptr<optim::AsynchronousAlgorithm> algorithm_;
};

/// Parameters are put to the out-neighbours' buffers; the mean of the own and those of the in-neighbours, as
/// they came last, becomes the parameters: x <- mean(x, buffers) - step(gradient at the old x).
class BLUEFOG_API WindowPutMixing final : public AsynchronousMixing {
 public:
  /// What its constructor takes.
  using Options = AsynchronousOptions;
  /// Collective among neighbours. @param buckets  must live until close()
  WindowPutMixing(Context& context, const std::vector<Tensor>& buckets,
                  const AsynchronousOptions& options = {});
};

/// The same, but each rank reads the parameters of its in-neighbours. They are read where they lie if they
/// are in memory of Context::allocate_shared, and never in the middle of a step.
class BLUEFOG_API WindowGetMixing final : public AsynchronousMixing {
 public:
  /// What its constructor takes.
  using Options = AsynchronousOptions;
  /// Collective among neighbours. @param buckets  must live until close()
  WindowGetMixing(Context& context, const std::vector<Tensor>& buckets,
                  const AsynchronousOptions& options = {});
};

/// Stochastic gradient push, with messages as late as they are (Assran et al., ICML 2019): each rank gives
/// equal shares of its mass u and weight w to itself and its out-neighbours, and collects what has come; the
/// parameters are u / w. What a step changes in them changes u by w times as much: of who runs ahead, and has
/// given most of its mass away, a step that counted whole would be amplified by 1 / w. Converges to the mean
/// over any strongly connected graph, for nothing that is sent is lost or counted twice. A rank that has
/// given nearly all of its weight to one that rests gives no more until some comes back.
class BLUEFOG_API PushSumMixing final : public AsynchronousMixing {
 public:
  /// What its constructor takes.
  using Options = AsynchronousOptions;
  /// Collective among neighbours. @param buckets  must live until close()
  PushSumMixing(Context& context, const std::vector<Tensor>& buckets,
                const AsynchronousOptions& options = {});
  /// Push-sum weight of the first bucket.
  [[nodiscard]] double weight() const;
};

/// AD-PSGD (Lian et al., ICML 2018): in each iteration a rank and one of its out-neighbours, chosen at
/// random, set tensors to the mean of both, while the gradient is computed at a copy, which are the
/// parameters. The next begin_exchange() brings what the step has changed into the tensor, and the tensor
/// into the parameters.
class BLUEFOG_API PairwiseMixing final : public AsynchronousMixing {
 public:
  /// What its constructor takes.
  using Options = AsynchronousOptions;
  /// Collective among neighbours. @param buckets  must live until close()
  PairwiseMixing(Context& context, const std::vector<Tensor>& buckets,
                 const AsynchronousOptions& options = {});
};

}  // namespace bluefog
