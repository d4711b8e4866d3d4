// bluefog/descent.hpp: algorithms over plain buffers, around a gradient function of the user's.

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/descent.hpp>

#include "multi/matrix.hpp"
#include "multi/trainer.hpp"

namespace bluefog::test {
namespace {

/// Steps from 0 on the problem of a learner, as those of methods.hpp.
template <class T>
auto descending(const MakeAlgorithm& make, const Learner<T>& learner, double a) {
  struct Job {
    VectorOf<T> x{};
    std::unique_ptr<Descent<T>> descent;
  };
  auto job = std::make_shared<Job>();
  job->descent = std::make_unique<Descent<T>>(
      learner.context(), job->x,
      [&learner](std::span<const T> x, std::span<T> gradient) {
        VectorOf<T> at{};
        std::ranges::copy(x, at.begin());
        std::ranges::copy(learner.gradient(at), gradient.begin());
      },
      make);
  return [job, a](const VectorOf<T>&, std::uint64_t) {
    job->descent->step(a);
    return job->x;
  };
}

struct Known {
  const char* name;
  SchedulePtr schedule;
  MakeAlgorithm make;
  double step;
  std::size_t steps;  ///< until the error is below 1e-10
};
std::ostream& operator<<(std::ostream& out, const Known& known) {
  return out << known.name;
}

template <class Algorithm>
Known known(const char* name, SchedulePtr schedule, double step, std::size_t steps) {
  return {name, schedule, over<Algorithm>(schedule), step, steps};
}

class KnownDescent : public testing::TestWithParam<Known> {};

TEST_P(KnownDescent, TakesTheKnownNumberOfSteps) {
  const Known& known = GetParam();
  run_learners({known.schedule}, [&known](const Learner<double>& learner) {
    EXPECT_EQ(converge(learner, descending(known.make, learner, known.step), 2 * known.steps).steps,
              known.steps);
  });
}

INSTANTIATE_TEST_SUITE_P(
    OverPlainBuffers, KnownDescent,
    testing::Values(known<ExactDiffusion>("ExactDiffusionRing", static_schedule(ring_graph(16)), .1, 435),
                    known<ExactDiffusion>("ExactDiffusionRing05", static_schedule(ring_graph(16)), .05, 649),
                    known<ExactDiffusion>("ExactDiffusionStar", static_schedule(star_graph(16)), .1, 828),
                    known<GradientTracking>("TrackingRing", static_schedule(ring_graph(16)), .1, 1623),
                    known<GradientTracking>("TrackingRing05", static_schedule(ring_graph(16)), .05, 1102),
                    known<GradientTracking>("TrackingOnePeer", one_peer_exponential(16), .1, 302),
                    known<GradientAllreduce>("Allreduce", static_schedule(ring_graph(16)), .1, 302)),
    [](const auto& info) { return std::string(info.param.name); });

/// Each rank minimizes |x - rank|^2 / 2, so all find the mean of the ranks.
template <class T>
void descend_to_the_mean(Context& context, const MakeAlgorithm& make, double tolerance,
                         const DescentOptions& options, const std::string& what) {
  std::vector<T> x(5);
  Descent<T> descent(
      context, x,
      [&context](std::span<const T> at, std::span<T> gradient) {
        for (std::size_t i = 0; i < at.size(); ++i) gradient[i] = at[i] - static_cast<T>(context.rank());
      },
      make, options);
  double step = .1;
  for (int k = 0; k < 600; ++k) {
    descent.step(step *= .99);
    context.barrier();  // one that runs ahead finds the minimum of its own
  }
  for (const T value : x) EXPECT_NEAR(value, (context.size() - 1) / 2.0, tolerance) << what;
}

class Descents : public testing::TestWithParam<Ranks> {};

TEST_P(Descents, FindTheMeanByEveryAlgorithm) {
  run_job(GetParam(), 4, [](Context& context) {
    context.set_topology(ring_graph(4));
    const auto descend = [&context]<class Algorithm>(std::type_identity<Algorithm>, const std::string& name,
                                                     double tolerance = .05) {
      typename Algorithm::Options options;
      options.name = name + " of doubles";
      descend_to_the_mean<double>(context, algorithm_of<Algorithm>(options), tolerance, {}, options.name);
      options.name = name + " of floats";
      descend_to_the_mean<float>(context, algorithm_of<Algorithm>(options), tolerance, {.momentum = .5},
                                 options.name);
    };
    descend(std::type_identity<AdaptWithCombine>(), "awc");
    descend(std::type_identity<AdaptThenCombine>(), "atc");
    descend(std::type_identity<GradientTracking>(), "tracking");
    descend(std::type_identity<StochasticGradientPush>(), "push");
    constexpr double weighted = .5;  // who comes first weighs more
    descend(std::type_identity<WindowPutMixing>(), "puts", weighted);
    descend(std::type_identity<WindowGetMixing>(), "gets", weighted);
    descend(std::type_identity<PushSumMixing>(), "asynchronous push");
    context.barrier();
  });
}

TEST_P(Descents, NobodyReadsWhatIsGone) {
  run_job(GetParam(), 4, [](Context& context) {
    for (int turn = 0; turn < 5; ++turn) {
      std::vector<float> x(5, static_cast<float>(context.rank()));
      Descent<float> descent(
          context, x, [](std::span<const float>, std::span<float> g) { std::ranges::fill(g, 0.0F); },
          algorithm_of<WindowGetMixing>());
      for (int k = 0; k < 50 * (1 + context.rank()); ++k) {  // the first ends while others read its vector
        descent.step(.1);
        ASSERT_LE(*std::ranges::max_element(x), 3.0F);
        ASSERT_GE(*std::ranges::min_element(x), 0.0F);
      }
    }
  });
}

TEST_P(Descents, GoOnWhenOneIsGone) {
  run_job(GetParam(), 3, [](Context& context) {
    std::vector<double> x(3);
    const auto zero = [](std::span<const double>, std::span<double> g) { std::ranges::fill(g, 0); };
    {
      Descent<double> first(context, x, zero, algorithm_of<AdaptThenCombine>());
      first.step(.1);
    }
    Descent<double> second(context, x, zero, algorithm_of<AdaptThenCombine>());
    second.step(.1);
    EXPECT_NE(second.algorithm().get<AdaptThenCombine>(), nullptr);
    EXPECT_EQ(second.algorithm().get<AdaptWithCombine>(), nullptr);
    EXPECT_EQ(second.algorithm().get<PushSumMixing>(), nullptr);
  });
}

TEST_P(Descents, WeightDecayPullsToZero) {
  run_job(GetParam(), 2, [](Context& context) {
    std::vector<double> x{1.0};
    Descent<double> descent(context, x, [](std::span<const double>, std::span<double> g) { g[0] = 0; },
                            algorithm_of<AdaptThenCombine>(), {.weight_decay = .5});
    descent.step(.1);
    EXPECT_NEAR(x[0], .95, 1e-15);
  });
}

TEST_P(Descents, GoOnFromASavedState) {
  run_job(GetParam(), 4, [](Context& context) {
    context.set_topology(ring_graph(4));
    for (const auto& [make, again] :
         {std::pair(algorithm_of<ExactDiffusion>(), algorithm_of<ExactDiffusion>({.name = "again"})),
          std::pair(algorithm_of<AdaptThenCombine>(), algorithm_of<AdaptThenCombine>({.name = "again"}))}) {
      const auto gradient = [&context](std::span<const double> at, std::span<double> g) {
        for (std::size_t i = 0; i < at.size(); ++i) g[i] = at[i] - context.rank();
      };
      std::vector<double> x(5);
      Descent<double> first(context, x, gradient, make, {.momentum = .5});
      for (int k = 0; k < 7; ++k) first.step(.1);
      std::vector<double> y = x;
      std::vector<std::vector<double>> saved;
      for (const Tensor& tensor : first.state()) {
        const auto* const values = static_cast<const double*>(tensor.data);
        saved.emplace_back(values, values + tensor.count());
      }
      const std::uint64_t round = first.algorithm().round();
      EXPECT_EQ(round, 7);

      Descent<double> second(context, y, gradient, again, {.momentum = .5});
      const std::vector<Tensor> state = second.state();
      ASSERT_EQ(state.size(), saved.size());
      for (std::size_t i = 0; i < saved.size(); ++i) {
        std::ranges::copy(saved[i], static_cast<double*>(state[i].data));
      }
      second.algorithm().resume(round);
      for (int k = 0; k < 7; ++k) {
        first.step(.1);
        second.step(.1);
      }
      EXPECT_EQ(x, y);
    }
  });
}

TEST_P(Descents, AnErrorOfTheGradientFunctionComesOutAndEndsTheDescent) {
  run_job(GetParam(), 2, [](Context& context) {
    std::vector<double> x(2);
    bool fails = false;
    Descent<double> descent(
        context, x,
        [&fails](std::span<const double>, std::span<double> g) {
          std::ranges::fill(g, 1);
          if (fails) throw std::domain_error("of the user's");
        },
        algorithm_of<AdaptThenCombine>());
    descent.step(.1);
    fails = true;
    EXPECT_THROW(descent.step(.1), std::domain_error);
    fails = false;
    EXPECT_THROW(descent.step(.1), InvalidArgument);
    context.barrier();
    EXPECT_NEAR(x[0], -.1, 1e-15) << "the step that failed has changed nothing";
  });
}

TEST_P(Descents, RefuseWrongArguments) {
  run_job(GetParam(), 2, [](Context& context) {
    std::vector<double> x(2);
    const auto make = algorithm_of<AdaptThenCombine>();
    const auto zero = [](std::span<const double>, std::span<double> g) { std::ranges::fill(g, 0); };
    EXPECT_THROW(Descent<double>(context, x, {}, make), InvalidArgument);
    EXPECT_THROW(Descent<double>(context, x, zero, make, {.momentum = 1}), InvalidArgument);
    EXPECT_THROW(Descent<double>(context, x, zero, {}), InvalidArgument);
    context.barrier();
  });
}

INSTANTIATE_TEST_SUITE_P(Threads, Descents, testing::Values(Ranks::Threads, Ranks::TcpThreads),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace bluefog::test
