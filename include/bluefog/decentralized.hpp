#pragma once
/// @file decentralized.hpp  Algorithms of decentralized training in which all ranks make the same number of
/// steps, over parameters in flat buckets, around any optimizer.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <bluefog/context.hpp>
#include <bluefog/export.hpp>
#include <bluefog/options.hpp>
#include <bluefog/schedule.hpp>
#include <bluefog/tensor.hpp>

namespace bluefog {

namespace optim {
class SynchronousAlgorithm;
}

/// With whom parameters are averaged.
enum class CommunicationType : std::uint8_t {
  NeighborAllreduce,
  HierarchicalNeighborAllreduce,
  Allreduce,
  Empty,  ///< with nobody
};

/// What every algorithm takes.
struct DecentralizedOptions {
  /// Of the operations: no two algorithms in use have the same. Equal on all ranks.
  std::string name = "decentralized";
  /// Its round advances with every mixing among neighbours, by MixingWeights too; not with an Allreduce.
  /// None: the topology that is set when the algorithm is made.
  SchedulePtr schedule{};
  /// Ranks mix in every such step, and make steps of their own between.
  int steps_per_round = 1;
  /// For front ends: called several times a second while a call waits, on its thread. What it throws ends the
  /// call.
  std::function<void()> while_waiting{};
};

/// What a rank mixes by in the next round instead of a schedule or the topology; see the options of
/// neighbor_allreduce and hierarchical_neighbor_allreduce.
struct MixingWeights {
  /// Of the own tensor; with src_weights or src_machine_weights.
  std::optional<double> self_weight;
  /// Of the tensors received, by rank.
  std::optional<Weights> src_weights;
  /// Ranks to send to, with factors.
  std::optional<Weights> dst_weights;
  /// Of the means received, by machine.
  std::optional<Weights> src_machine_weights;
  /// Machines to send to, with factors.
  std::optional<Weights> dst_machine_weights;
  /// As in NeighborAllreduceOptions.
  bool check_topology = false;
};

/// The communication of an algorithm; the optimizer that changes the parameters is the user's own. In every
/// iteration:
///
///     algorithm.begin_gradient();
///     gradient at the parameters      // they stay as they are meanwhile
///     algorithm.begin_step(a);        // may change the gradient, and the parameters
///     the optimizer's step, of size a
///     algorithm.end_step();           // may change the parameters
///
/// With plain gradient descent, x <- x - a g, each is what its paper says; in its formulas mix(x)_i is
/// x_i + sum of w_ij (x_j - x_i). Floating dtypes. Mixing is cheapest over memory of
/// Context::allocate_shared. One thread. Errors are those of the operations; after one the iteration can't be
/// finished. Parameters may be changed between iterations and, of algorithms with local steps, between
/// rounds. Collective: all ranks make the same algorithm, and the same calls.
class BLUEFOG_API DecentralizedAlgorithm {
 public:
  virtual ~DecentralizedAlgorithm();
  DecentralizedAlgorithm(const DecentralizedAlgorithm&) = delete;
  DecentralizedAlgorithm& operator=(const DecentralizedAlgorithm&) = delete;

  /// Before the gradient is computed.
  void begin_gradient();
  /// @param step_size  the learning rate, greater than 0 unless the step changes nothing
  void begin_step(double step_size);
  /// After the optimizer's step.
  void end_step();

  /// Of its class: "ExactDiffusion".
  [[nodiscard]] std::string_view name() const;
  /// What the algorithm remembers from step to step beside the numbers of rounds and steps, always in the
  /// same order: to be saved with the parameters, and written to when they are loaded.
  [[nodiscard]] std::vector<Tensor> state() const;
  /// Completed rounds of mixing by the schedule, which is where that is.
  [[nodiscard]] std::uint64_t round() const;
  /// Steps since the last of them.
  [[nodiscard]] int steps_in_round() const;
  /// Goes on from there, between iterations.
  void resume(std::uint64_t round, int steps_in_round = 0);
  /// Forgets what it remembers, and goes on from that round with the parameters as they are. Collective.
  void restart(std::uint64_t round);

 protected:
  /// For the classes below.
  explicit DecentralizedAlgorithm(std::unique_ptr<optim::SynchronousAlgorithm> algorithm);
  /// What does the work.
  std::unique_ptr<optim::SynchronousAlgorithm> algorithm_;
};

/// What AdaptWithCombine takes.
struct AdaptWithCombineOptions : DecentralizedOptions {
  AdaptWithCombineOptions() = default;
  /// What every algorithm takes, and the default for the rest.
  AdaptWithCombineOptions(const DecentralizedOptions& common) : DecentralizedOptions(common) {}  // NOLINT
  /// Mix while the gradient is computed (true), into a second buffer, which is copied in afterwards; or in
  /// place, between gradient and step (false). The results are the same. Unset: while the gradient is
  /// computed if ranks are on several hosts; else there is no network to hide, and the copy costs more.
  std::optional<bool> overlap{};
};

/// Adapt with combine, or consensus: x <- mix(x) - a g(x). Mixing may go on while the gradient is computed.
/// (Chen and Sayed 2012; Lian et al. 2017)
class BLUEFOG_API AdaptWithCombine final : public DecentralizedAlgorithm {
 public:
  /// What its constructor takes.
  using Options = AdaptWithCombineOptions;
  /// @param parameters  must live as long as the algorithm; so must all tensors below
  /// @throws InvalidArgument for a schedule that does not preserve constants and the mean, or of another size
  AdaptWithCombine(Context& context, const std::vector<Tensor>& parameters,
                   const AdaptWithCombineOptions& options = {});
  /// May be changed between iterations.
  void set_communication(CommunicationType type, const MixingWeights& weights = {});
};

/// Adapt then combine, or diffusion: x <- mix(x - a g(x)). (Chen and Sayed 2012)
class BLUEFOG_API AdaptThenCombine final : public DecentralizedAlgorithm {
 public:
  /// What its constructor takes.
  using Options = DecentralizedOptions;
  /// @throws InvalidArgument as AdaptWithCombine
  AdaptThenCombine(Context& context, const std::vector<Tensor>& parameters,
                   const DecentralizedOptions& options = {});
  /// May be changed between iterations.
  void set_communication(CommunicationType type, const MixingWeights& weights = {});
};

/// Every rank makes the step of the mean gradient. A schedule is not used.
class BLUEFOG_API GradientAllreduce final : public DecentralizedAlgorithm {
 public:
  /// What its constructor takes.
  using Options = DecentralizedOptions;
  /// @param gradients  must live as long as the algorithm
  /// @throws InvalidArgument for a dtype without a mean, steps_per_round other than 1
  GradientAllreduce(Context& context, const std::vector<Tensor>& gradients,
                    const DecentralizedOptions& options = {});
  /// Starts to average one of the tensors already, while others are still being computed; begin_step() waits
  /// for it. In any order. @throws InvalidArgument for one that has started since the last step
  void start(std::size_t tensor);
};

/// Adapt then combine with a tracker q of the mean gradient: x <- mix(x - a q), q <- mix(q + g(x_new) -
/// g(x_old)), from q = g(x_0); it reaches the optimum of the mean however the ranks' data differ, over
/// schedules too. Two vectors a step. (Aug-DGM, Xu et al. 2015; Nedic et al. 2017)
class BLUEFOG_API GradientTracking final : public DecentralizedAlgorithm {
 public:
  /// What its constructor takes.
  using Options = DecentralizedOptions;
  /// @throws InvalidArgument as AdaptWithCombine, and for gradients unlike the parameters, steps_per_round
  /// other than 1
  GradientTracking(Context& context, const std::vector<Tensor>& parameters,
                   const std::vector<Tensor>& gradients, const DecentralizedOptions& options = {});
};

/// y = x - a g(x) - D, z = (y + mix(y)) / 2, D <- D + y - z, x <- z: diffusion without its bias, for as many
/// messages. D2 is the same. (Yuan et al. 2018; Tang et al. 2018)
class BLUEFOG_API ExactDiffusion final : public DecentralizedAlgorithm {
 public:
  /// What its constructor takes.
  using Options = DecentralizedOptions;
  /// @throws InvalidArgument as AdaptWithCombine; for a schedule with a round that is not symmetric, on which
  /// it need not converge; for steps_per_round other than 1
  ExactDiffusion(Context& context, const std::vector<Tensor>& parameters,
                 const DecentralizedOptions& options = {});
};

/// What QuasiGlobalMomentum takes.
struct QuasiGlobalOptions : DecentralizedOptions {
  /// b
  double momentum = 0.9;
};

/// QG-DSGDm: momentum along the way that the mixed parameters go. m = b q + g, x' = mix(x - a m), q <- b q +
/// (1 - b) (x - x') / a. The optimizer's own momentum is 0. (Lin et al., ICML 2021)
class BLUEFOG_API QuasiGlobalMomentum final : public DecentralizedAlgorithm {
 public:
  /// What its constructor takes.
  using Options = QuasiGlobalOptions;
  /// @throws InvalidArgument as GradientTracking, and for a momentum outside of [0, 1)
  QuasiGlobalMomentum(Context& context, const std::vector<Tensor>& parameters,
                      const std::vector<Tensor>& gradients, const QuasiGlobalOptions& options = {});
};

/// The optimizer, which is descent with momentum, gets the gradient (x - mix(x - a g)) / a: no momentum
/// amplifies the bias then. (Yuan et al., ICCV 2021)
class BLUEFOG_API DecentLaM final : public DecentralizedAlgorithm {
 public:
  /// What its constructor takes.
  using Options = DecentralizedOptions;
  /// @throws InvalidArgument as GradientTracking; for a schedule of more than one round, or of one that is
  /// not symmetric, on which the usual momentum makes the ranks' distances grow without end
  DecentLaM(Context& context, const std::vector<Tensor>& parameters, const std::vector<Tensor>& gradients,
            const DecentralizedOptions& options = {});
};

/// Stochastic gradient push: u <- A (u + step), w <- A w, x = u / w, where every sender splits its mass. For
/// directed graphs on which no weights preserve both constants and the mean. Without a schedule: equal shares
/// to oneself and to the out-neighbours in the topology. (Assran et al., ICML 2019)
class BLUEFOG_API StochasticGradientPush final : public DecentralizedAlgorithm {
 public:
  /// What its constructor takes.
  using Options = DecentralizedOptions;
  /// @throws InvalidArgument for a schedule that does not preserve the mean, or of another size
  StochasticGradientPush(Context& context, const std::vector<Tensor>& parameters,
                         const DecentralizedOptions& options = {});
  /// Push-sum weight.
  [[nodiscard]] double weight() const;
};

/// What GossipPga takes.
struct GossipPgaOptions : DecentralizedOptions {
  /// Every such round is an exact average over all ranks.
  int rounds_per_average = 10;
};

/// Adapt then combine, with an exact average now and then. (Chen et al., ICML 2021)
class BLUEFOG_API GossipPga final : public DecentralizedAlgorithm {
 public:
  /// What its constructor takes.
  using Options = GossipPgaOptions;
  /// @throws InvalidArgument as AdaptWithCombine, and for rounds_per_average below 1
  GossipPga(Context& context, const std::vector<Tensor>& parameters, const GossipPgaOptions& options = {});
};

/// Local SGD: steps_per_round steps of one's own, then the exact average of all ranks. A schedule is not
/// used.
class BLUEFOG_API LocalDescent final : public DecentralizedAlgorithm {
 public:
  /// What its constructor takes.
  using Options = DecentralizedOptions;
  /// @throws InvalidArgument for a dtype without a mean
  LocalDescent(Context& context, const std::vector<Tensor>& parameters,
               const DecentralizedOptions& options = {});
};

/// What SlowMomentum takes.
struct SlowMomentumOptions : DecentralizedOptions {
  double momentum = 0.5;   ///< b
  double step_size = 1.0;  ///< alpha
};

/// SlowMo: local descent, with momentum over the averages. d = x_0 - average(x), u <- b u + d / a, x <- x_0 -
/// alpha a u, where a is the step size of the round's last step; if that is 0, x <- x_0 - alpha d, and u
/// stays. With b = 0 and alpha = 1 it is LocalDescent to the bit. (Wang et al., ICLR 2020)
class BLUEFOG_API SlowMomentum final : public DecentralizedAlgorithm {
 public:
  /// What its constructor takes.
  using Options = SlowMomentumOptions;
  /// @throws InvalidArgument for a dtype without a mean, a momentum outside of [0, 1)
  SlowMomentum(Context& context, const std::vector<Tensor>& parameters,
               const SlowMomentumOptions& options = {});
};

/// What DiLoCo takes.
struct DiLoCoOptions : DecentralizedOptions {
  double momentum = 0.9;   ///< b
  double step_size = 0.7;  ///< l
};

/// Local descent, with Nesterov's momentum over the averages. d = x_0 - average(x), u <- b u + d, x <- x_0 -
/// l (d + b u). With b = 0 and l = 1 it is LocalDescent to the bit. (Douillard et al. 2023)
class BLUEFOG_API DiLoCo final : public DecentralizedAlgorithm {
 public:
  /// What its constructor takes.
  using Options = DiLoCoOptions;
  /// @throws InvalidArgument for a dtype without a mean, a momentum outside of [0, 1)
  DiLoCo(Context& context, const std::vector<Tensor>& parameters, const DiLoCoOptions& options = {});
};

/// What NoLoCo takes.
struct NoLoCoOptions : DecentralizedOptions {
  double momentum = 0.5;    ///< alpha
  double step_size = 0.7;   ///< beta
  double attraction = 0.7;  ///< gamma
  /// Of the random pairs, unless there is a schedule. Equal on all ranks.
  std::uint64_t seed = 1;
};

/// DiLoCo without a collective: in each round a rank and one other, drawn at random, take the means of how
/// far they have come, d = x - y, and of where they started, y; m <- alpha m + beta mean(d) - gamma (y -
/// mean(y)), y <- y + m, x <- y. (Kolehmainen et al. 2025)
class BLUEFOG_API NoLoCo final : public DecentralizedAlgorithm {
 public:
  /// What its constructor takes.
  using Options = NoLoCoOptions;
  /// @throws InvalidArgument as AdaptWithCombine
  NoLoCo(Context& context, const std::vector<Tensor>& parameters, const NoLoCoOptions& options = {});
};

}  // namespace bluefog
