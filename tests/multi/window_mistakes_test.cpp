// Wrong calls about windows: a clear error on every rank concerned, and the engine stays usable.

#include <algorithm>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "multi/windows.hpp"

namespace bluefog::test {
namespace {

using WindowMistakes = WindowSuite;

/// The text of the error, or an empty one.
template <class Expected>
std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Expected& error) {
    return error.what();
  }
  return {};
}

template <class Expected = InvalidArgument>
void expect_error(const std::string& part, const std::function<void()>& call) {
  const std::string text = error_of<Expected>(call);
  EXPECT_NE(text.find(part), std::string::npos) << "\"" << text << "\" lacks \"" << part << "\"";
}

/// The news are on their way: all of the group try until each has the error.
template <class Expected>
void expect_error_in_the_end(Context& context, const OperationOptions& group, const std::string& part,
                             const std::function<void()>& call) {
  std::string text;
  for (std::vector<int> left{1}; left[0] > 0;) {
    if (text.empty()) text = error_of<Expected>(call);
    left[0] = text.empty() ? 1 : 0;
    AllreduceOptions sum;
    sum.group = group.group;
    sum.reduction = Reduction::Sum;
    context.allreduce(left, left, sum);
  }
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

/// A window of 10 doubles is open on two ranks, and works all the same after the mistake.
void with_window(Context& context, const std::function<void(Window&, std::vector<double>&)>& mistake) {
  auto tensor = filled<double>(10, context.rank());
  Window window = context.create_window("w", tensor, zeros());
  mistake(window, tensor);
  context.barrier();
  std::ranges::fill(tensor, context.rank());  // where it is
  window.put(tensor);
  context.barrier();
  window.update();
  EXPECT_EQ(tensor, filled<double>(10, 0.5));
  window.free();
}

TEST_P(WindowMistakes, UnknownName) {
  on_ring(2, [](Context& context) {
    expect_error("no window has this name", [&] { static_cast<void>(context.window("nope")); });
    expect_error("refers to none", [] { Window().put(std::vector<float>(3)); });
    with_window(context, [](auto&, auto&) {});
  });
}

TEST_P(WindowMistakes, DuplicateName) {
  on_ring(2, [](Context& context) {
    with_window(context, [&](Window&, std::vector<double>& tensor) {
      expect_error("a window with this name is open",
                   [&] { static_cast<void>(context.create_window("w", tensor)); });
    });
    expect_error("needs a name", [&] {
      std::vector<double> tensor(3);
      static_cast<void>(context.create_window("", tensor));
    });
  });
}

TEST_P(WindowMistakes, ADuplicateOnOneRankFailsOnAll) {
  on_ring(2, [](Context& context) {
    auto tensor = filled<double>(4, 1);
    Window own;
    WindowOptions alone = zeros();
    if (context.rank() == 0) {
      alone.group = {0};
      own = context.create_window("w", tensor, alone);
      expect_error("a window with this name is open",
                   [&] { static_cast<void>(context.create_window("w", tensor)); });
      own.free();
    } else {
      expect_error<Mismatch>("a window with this name is open",
                             [&] { static_cast<void>(context.create_window("w", tensor)); });
    }
    with_window(context, [](auto&, auto&) {});
  });
}

TEST_P(WindowMistakes, ACreationThatIsGivenUpFailsOnAll) {
  on_ring(2, [](Context& context) {
    auto tensor = filled<double>(4, 1);
    if (context.rank() == 0) {
      static_cast<void>(context.create_window_async("w", tensor));
      context.barrier();
    } else {
      context.barrier();
      expect_error<Mismatch>("given up by the caller",
                             [&] { static_cast<void>(context.create_window("w", tensor)); });
    }
    with_window(context, [](auto&, auto&) {});
  });
}

TEST_P(WindowMistakes, UnequalTensorsAtCreation) {
  on_ring(2, [](Context& context) {
    auto tensor = filled<double>(context.rank() == 0 ? 3 : 4, 1);
    expect_error<Mismatch>(context.rank() == 0 ? "of shape [4]" : "of shape [3]",
                           [&] { static_cast<void>(context.create_window("w", tensor)); });
    auto floats = filled<float>(3, 1);
    auto doubles = filled<double>(3, 1);
    expect_error<Mismatch>(context.rank() == 0 ? "float64" : "float32", [&] {
      static_cast<void>(context.create_window("w", context.rank() == 0 ? Tensor(floats) : Tensor(doubles)));
    });
    with_window(context, [](auto&, auto&) {});
  });
}

TEST_P(WindowMistakes, EdgesThatOnlyOneRankKnows) {
  on_ring(2, [](Context& context) {
    auto tensor = filled<double>(3, 1);
    const auto open = [&](std::vector<int> sources, std::vector<int> destinations) {
      WindowOptions options = zeros();
      options.src_ranks = std::move(sources);
      options.dst_ranks = std::move(destinations);
      static_cast<void>(context.create_window("w", tensor, options));
    };
    // Both put to the other, and none expects it.
    expect_error<Mismatch>("do not agree who of them puts to whom", [&] { open({}, {1 - context.rank()}); });
    expect_error("is no neighbour of itself", [&] { open({context.rank()}, {}); });
    expect_error("is not of the group", [&] { open({7}, {}); });
    expect_error("is given twice", [&] { open({1 - context.rank(), 1 - context.rank()}, {}); });
    expect_error("come together", [&] {
      WindowOptions half;
      half.src_ranks.emplace();
      static_cast<void>(context.create_window("w", tensor, half));
    });
    with_window(context, [](auto&, auto&) {});
  });
}

TEST_P(WindowMistakes, WrongSizeOrDtype) {
  on_ring(2, [](Context& context) {
    with_window(context, [](Window& window, std::vector<double>&) {
      expect_error("10 elements of float64, the tensor has 11", [&] { window.put(std::vector<double>(11)); });
      expect_error("10 elements of float64, the tensor has 10 of float32",
                   [&] { window.accumulate(std::vector<float>(10)); });
      expect_error("no memory", [&] { window.put(ConstTensor(nullptr, DType::Float64, Shape(10))); });
      WindowUpdateOptions options;
      std::vector<double> output(9);
      options.output = output;
      expect_error("the tensor has 9", [&] { window.update(options); });
    });
  });
}

TEST_P(WindowMistakes, WrongWeights) {
  on_ring(2, [](Context& context) {
    with_window(context, [](Window& window, std::vector<double>& tensor) {
      WindowPutOptions put;
      put.dst_weights = Weights{{5, 1.0}};
      expect_error("rank 5", [&] { window.put(tensor, put); });
      put.dst_weights = Weights{{window.destinations()[0], std::numeric_limits<double>::quiet_NaN()}};
      expect_error("dst_weights", [&] { window.accumulate(tensor, put); });
      WindowPutOptions scaled;
      scaled.self_weight = 0.5;
      const std::vector<double> constant(10);
      expect_error("const", [&] { window.put(constant, scaled); });
      WindowGetOptions get;
      get.src_weights = Weights{{5, 1.0}};
      expect_error("rank 5", [&] { window.get(get); });
      WindowUpdateOptions update;
      update.self_weight = 0.5;
      expect_error("come together", [&] { window.update(update); });
      update.src_weights = Weights{{5, 1.0}};
      expect_error("rank 5", [&] { window.update(update); });
      expect_error("rank 5", [&] { static_cast<void>(window.lock(std::vector<int>{5})); });
    });
    auto counts = filled<std::int64_t>(3, 1);
    Window window = context.create_window("counts", counts, zeros());
    WindowPutOptions half;
    half.dst_weights = Weights{{window.destinations()[0], 0.5}};
    expect_error("no fractions", [&] { window.put(counts, half); });
    window.free();
  });
}

TEST_P(WindowMistakes, UseAfterFree) {
  on_ring(2, [](Context& context) {
    auto tensor = filled<double>(10, 1);
    Window window = context.create_window("w", tensor);
    window.free();
    EXPECT_TRUE(window.is_freed());
    expect_error("was freed", [&] { window.put(tensor); });
    expect_error("was freed", [&] { window.get(); });
    expect_error("was freed", [&] { window.update(); });
    expect_error("was freed", [&] { static_cast<void>(window.versions()); });
    expect_error("was freed", [&] { static_cast<void>(window.associated_p()); });
    expect_error("was freed", [&] { static_cast<void>(window.lock()); });
    expect_error("was freed", [&] { window.free(); });
    with_window(context, [](auto&, auto&) {});
  });
}

TEST_P(WindowMistakes, FreeInFlightOrUnderALock) {
  on_ring(2, [](Context& context) {
    with_window(context, [&](Window& window, std::vector<double>& tensor) {
      WindowLock lock = window.lock();
      context.barrier();
      WindowPutOptions locked;
      locked.require_mutex = true;
      expect_error("this thread holds the mutex", [&] { window.put(tensor, locked); });
      expect_error("is held", [&] { window.free(); });
      lock.release();
      context.barrier();
      WindowLock own = window.lock_own();
      context.barrier();
      Handle put = window.put_async(tensor, locked);
      expect_error("in flight", [&] { window.free(); });
      context.barrier();
      own.release();
      put.wait();
    });
  });
}

TEST_P(WindowMistakes, WhoFreesFirstServesTheOthersStill) {
  on_ring(3, [](Context& context) {
    auto tensor = filled<double>(10, context.rank());
    Window window = context.create_window("w", tensor, zeros());
    if (context.rank() == 0) {
      Handle freed = window.free_async();
      context.barrier();
      expect_error("was freed", [&] { window.put(tensor); });
      context.barrier();
      freed.wait();
    } else {
      context.barrier();
      WindowPutOptions locked;
      locked.require_mutex = true;
      window.put(tensor, locked);
      window.get();
      window.update();
      EXPECT_GT(tensor[0], 0);
      context.barrier();
      window.free();
    }
  });
}

TEST_P(WindowMistakes, SetTopologyWhileOpen) {
  on_ring(3, [](Context& context) {
    auto tensor = filled<double>(10, 1);
    Window window = context.create_window("w", tensor);
    expect_error("window \"w\" is open", [&] { context.set_topology(star_graph(3)); });
    EXPECT_EQ(context.topology(), ring_graph(3));
    window.free();
    context.set_topology(star_graph(3));
    EXPECT_EQ(context.topology(), star_graph(3));
  });
}

TEST_P(WindowMistakes, ARankThatLeavesEndsItsPart) {
  on_ring(3, [](Context& context) {
    auto tensor = filled<double>(10, context.rank());
    Window window = context.create_window("w", tensor, zeros());
    context.barrier();
    if (context.rank() == 0) {
      context.shutdown();
      EXPECT_THROW(window.put(tensor), Shutdown);
      return;
    }
    const OperationOptions of_both = among({1, 2});
    expect_error_in_the_end<PeerLost>(context, of_both, "rank 0 has left the job",
                                      [&] { window.put(tensor); });
    const int other = 3 - context.rank();
    WindowPutOptions to_other;
    to_other.dst_weights = Weights{{other, 1.0}};
    window.put(tensor, to_other);
    context.barrier(of_both);
    WindowUpdateOptions from_other;
    from_other.self_weight = 0.5;
    from_other.src_weights = Weights{{other, 0.5}};
    window.update(from_other);
    EXPECT_EQ(tensor, filled<double>(10, 1.5));
    window.free();
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, WindowMistakes, testing::ValuesIn(all_ranks),
                         [](const auto& info) { return testing::PrintToString(info.param); });

}  // namespace
}  // namespace bluefog::test
