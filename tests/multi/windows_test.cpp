// Windows: what each operation does to tensors and buffers, whatever carries the ranks.

#include "multi/windows.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

namespace bluefog::test {
namespace {

using Windows = WindowSuite;

/// So that transfers are cut in pieces, and not into whole ones.
constexpr std::size_t many = 300001;

TEST_P(Windows, BuffersStartAsCopiesOrAsZeros) {
  on_ring(3, [](Context& context) {
    auto copies = filled(5, context.rank() + 1);
    auto zeroed = copies;
    Window a = context.create_window("copies", copies);
    Window b = context.create_window("zeros", zeroed, zeros());
    a.update();
    b.update();
    EXPECT_EQ(copies, filled(5, context.rank() + 1));
    EXPECT_EQ(zeroed, filled(5, (context.rank() + 1) / 3.0));
    EXPECT_EQ(context.window_names(), (std::vector<std::string>{"copies", "zeros"}));
    a.free();
    EXPECT_EQ(context.window_names(), (std::vector<std::string>{"zeros"}));
    b.free();
  });
}

TEST_P(Windows, PutReplacesTheBufferOfTheSender) {
  on_ring(3, [](Context& context) {
    for (const std::size_t count : {std::size_t{1}, std::size_t{10}, many}) {
      auto tensor = filled(count, context.rank());
      Window window = context.create_window("w", tensor, zeros());
      window.put(filled(count, 17));
      window.put(tensor);
      context.barrier();
      for (const auto& [rank, version] : window.versions()) EXPECT_EQ(version, 2U) << "of rank " << rank;
      window.update();
      EXPECT_EQ(tensor, filled(count, 1));  // (0 + 1 + 2) / 3
      for (const auto& [rank, version] : window.versions()) EXPECT_EQ(version, 0U) << "of rank " << rank;
      window.update();
      EXPECT_EQ(tensor[0], context.rank() == 1 ? 1.0F : static_cast<float>((1 + (3 - context.rank())) / 3.0));
      window.free();
    }
  });
}

TEST_P(Windows, PutScalesForEachDestinationAndThenItself) {
  on_ring(4, [](Context& context) {
    auto tensor = filled<double>(many, context.rank() + 1);
    Window window = context.create_window("w", tensor, zeros());
    const int next = (context.rank() + 1) % 4;
    WindowPutOptions options;
    options.self_weight = 0.5;
    options.dst_weights = Weights{{next, 0.25}};
    window.put(tensor, options);
    EXPECT_EQ(tensor, filled<double>(many, 0.5 * (context.rank() + 1)));
    context.barrier();
    const int before = (context.rank() + 3) % 4;
    EXPECT_EQ(window.versions().at(before), 1U);
    EXPECT_EQ(window.versions().at(next), 0U);
    WindowUpdateOptions sum;
    sum.self_weight = 2;
    sum.src_weights = Weights{{before, 4.0}, {next, 8.0}};
    window.update(sum);
    EXPECT_EQ(tensor, filled<double>(many, (context.rank() + 1) + (before + 1)));
    window.free();
  });
}

TEST_P(Windows, AccumulateAddsAndLeavesVersions) {
  on_ring(3, [](Context& context) {
    auto tensor = filled<double>(many, 1);
    Window window = context.create_window("w", tensor, zeros());
    for (int i = 1; i <= 3; ++i) window.accumulate(filled<double>(many, i));
    context.barrier();
    for (const auto& [rank, version] : window.versions()) EXPECT_EQ(version, 0U) << "of rank " << rank;
    window.update_then_collect();
    EXPECT_EQ(tensor, filled<double>(many, 1 + 6 + 6));
    window.update_then_collect();
    EXPECT_EQ(tensor, filled<double>(many, 13)) << "the buffers are empty";
    context.barrier();
    window.accumulate(filled<double>(many, 1));
    context.barrier();
    window.update_then_collect();
    EXPECT_EQ(tensor, filled<double>(many, 15));
    window.free();
  });
}

TEST_P(Windows, AccumulateAddsToWhatAnUpdateHasLeft) {
  on_ring(2, [](Context& context) {
    auto tensor = filled<double>(9, 0);
    Window window = context.create_window("w", tensor, zeros());
    const int other = 1 - context.rank();
    WindowUpdateOptions sum;
    sum.self_weight = 0;
    sum.src_weights = Weights{{other, 1.0}};
    window.put(filled<double>(9, 10));
    context.barrier();
    window.update(sum);
    EXPECT_EQ(tensor, filled<double>(9, 10));
    context.barrier();
    WindowPutOptions half;
    half.dst_weights = Weights{{other, 0.5}};
    window.accumulate(filled<double>(9, 4), half);
    context.barrier();
    window.update(sum);
    EXPECT_EQ(tensor, filled<double>(9, 12));
    window.free();
  });
}

TEST_P(Windows, GetReadsTheTensorAsItIsNow) {
  for (const bool in_arena : {false, true}) {
    on_ring(3, [&](Context& context) {
      std::vector<float> mine(many);
      SharedArray<float> shared = context.make_shared<float>(many);
      const Tensor tensor(in_arena ? shared.data() : mine.data(), DType::Float32, Shape(many));
      const auto fill = [&](float value) { std::fill_n(static_cast<float*>(tensor.data), many, value); };
      fill(0);
      Window window = context.create_window("w", tensor, zeros());
      fill(static_cast<float>(context.rank() + 1));
      context.barrier();
      const int next = (context.rank() + 1) % 3;
      WindowGetOptions half;
      half.src_weights = Weights{{next, 0.5}};
      window.get();
      window.get(half);
      const int before = (context.rank() + 2) % 3;
      EXPECT_EQ(window.versions(), (std::map<int, std::uint64_t>{{before, 1}, {next, 2}}));
      context.barrier();
      WindowUpdateOptions to_output;
      std::vector<float> output(many);
      to_output.output = output;
      window.update(to_output);
      const float mean =
          static_cast<float>(context.rank() + 1 + before + 1) + 0.5F * static_cast<float>(next + 1);
      EXPECT_EQ(output, filled(many, mean / 3));
      EXPECT_EQ(static_cast<float*>(tensor.data)[many - 1], static_cast<float>(context.rank() + 1))
          << "the window's tensor stays";
      window.free();
    });
  }
}

TEST_P(Windows, ResetEmptiesTheBuffersThatAreNamed) {
  on_ring(3, [](Context& context) {
    auto tensor = filled(4, 0);
    Window window = context.create_window("w", tensor, zeros());
    window.put(filled(4, 1));
    context.barrier();
    const int next = (context.rank() + 1) % 3;
    const int before = (context.rank() + 2) % 3;
    WindowUpdateOptions only_next;
    only_next.self_weight = 1;
    only_next.src_weights = Weights{{next, 1.0}};
    only_next.reset = true;
    window.update(only_next);
    EXPECT_EQ(tensor, filled(4, 1));
    window.update_then_collect();
    EXPECT_EQ(tensor, filled(4, 2)) << "what rank " << before << " has put is still there";
    window.free();
  });
}

TEST_P(Windows, PushSumWeightsTravelWithTheTensors) {
  on_ring(4, [](Context& context) {
    auto tensor = filled<double>(3, context.rank());
    Window window = context.create_window("w", tensor, zeros());
    context.use_associated_p(true);
    EXPECT_EQ(window.associated_p(), 1.0);
    WindowPutOptions thirds;
    thirds.self_weight = 1.0 / 4;
    thirds.dst_weights.emplace();
    for (const int rank : window.destinations()) thirds.dst_weights->emplace(rank, 3.0 / 8);
    for (int round = 0; round < 60; ++round) {
      window.accumulate(tensor, thirds);
      context.barrier();
      window.update_then_collect();
      context.barrier();
    }
    EXPECT_NEAR(tensor[0] / window.associated_p(), 1.5, 1e-12);
    std::vector<double> mass{window.associated_p(), tensor[0]};
    AllreduceOptions sum;
    sum.reduction = Reduction::Sum;
    context.allreduce(mass, mass, sum);
    EXPECT_NEAR(mass[0], 4, 1e-12);
    EXPECT_NEAR(mass[1], 6, 1e-12);
    window.free();
  });
}

TEST_P(Windows, SeveralOperationsAreInFlightInTheirOrder) {
  on_ring(3, [](Context& context) {
    auto tensor = filled<double>(many, context.rank());
    Window window = context.create_window("w", tensor, zeros());
    std::vector<std::vector<double>> values;
    std::vector<Handle> handles;
    for (int i = 0; i < 8; ++i) values.push_back(filled<double>(many, i));
    for (int i = 0; i < 8; ++i) {
      handles.push_back(i == 0 ? window.put_async(values[0])
                               : window.accumulate_async(values[static_cast<std::size_t>(i)]));
    }
    for (Handle& handle : handles) handle.wait();
    context.barrier();
    window.update_then_collect_async().wait();
    EXPECT_EQ(tensor, filled<double>(many, context.rank() + 2 * 28));
    window.free();
  });
}

TEST_P(Windows, SeveralWindowsDoNotMix) {
  on_ring(2, [](Context& context) {
    auto a = filled<std::int32_t>(10, 1);
    auto b = filled<double>(20, 2);
    Window first = context.create_window("a", a, zeros());
    Window second = context.create_window("b", b, zeros());
    first.accumulate(a);
    second.accumulate(b);
    context.barrier();
    first.update_then_collect();
    second.update_then_collect();
    EXPECT_EQ(a, filled<std::int32_t>(10, 2));
    EXPECT_EQ(b, filled<double>(20, 4));
    first.free();
    second.free();
  });
}

TEST_P(Windows, OpenToAnyRankThatBothName) {
  run_job(GetParam(), 4, [](Context& context) {
    context.set_topology(ring_graph(4));
    const int opposite = (context.rank() + 2) % 4;
    auto tensor = filled(7, context.rank());
    WindowOptions options = zeros();
    options.src_ranks = options.dst_ranks = std::vector<int>{opposite};
    Window window = context.create_window("w", tensor, options);
    EXPECT_EQ(window.sources(), std::vector<int>{opposite});
    window.put(tensor);
    context.barrier();
    window.update();
    EXPECT_EQ(tensor, filled(7, (context.rank() + opposite) / 2.0));
    window.free();
  });
}

TEST_P(Windows, OfAGroupConcernsNobodyElse) {
  run_job(GetParam(), 5, [](Context& context) {
    if (context.rank() % 2 == 0) {
      auto tensor = filled<double>(3, context.rank());
      WindowOptions options = zeros();
      options.group = {4, 0, 2};
      Window window = context.create_window("w", tensor, options);
      window.put(tensor);
      OperationOptions of_group;
      of_group.group = options.group;
      context.barrier(of_group);
      window.update();
      EXPECT_DOUBLE_EQ(tensor[0], 2);
      window.free();
    }
    context.barrier();
  });
}

TEST_P(Windows, OfOneRankIsItself) {
  run_job(GetParam(), 1, [](Context& context) {
    auto tensor = filled(5, 3);
    Window window = context.create_window("w", tensor);
    window.put(tensor);
    window.get();
    window.update();
    window.update_then_collect();
    EXPECT_EQ(tensor, filled(5, 3));
    EXPECT_TRUE(window.versions().empty());
    window.free();
  });
}

TEST_P(Windows, OfNothingAndOfNoDimensionWork) {
  on_ring(2, [](Context& context) {
    std::vector<float> none;
    Window empty = context.create_window("empty", none);
    empty.put(none);
    empty.get();
    empty.update();
    double scalar = context.rank();
    Window single = context.create_window("scalar", Tensor(&scalar, DType::Float64, Shape()));
    single.put(Tensor(&scalar, DType::Float64, Shape()));
    context.barrier();
    single.update();
    EXPECT_EQ(scalar, 0.5);
    empty.free();
    single.free();
  });
}

TEST_P(Windows, KnowAllDtypesThatMeanSomething) {
  on_ring(2, [](Context& context) {
    for (const DType dtype :
         {DType::Bool, DType::UInt8, DType::Int8, DType::Int16, DType::Int32, DType::Int64, DType::Float16,
          DType::BFloat16, DType::Float32, DType::Float64}) {
      std::vector<std::byte> bytes(8 * size_of(dtype));
      const Tensor tensor(bytes.data(), dtype, Shape(8));
      const auto one = [&] {
        std::vector<std::byte> ones(bytes.size());
        for (std::size_t i = 0; i < 8; ++i) {
          std::byte* const at = &ones[i * size_of(dtype)];
          switch (dtype) {
            case DType::Float64:
              *reinterpret_cast<double*>(at) = 1;
              break;
            case DType::Float32:
              *reinterpret_cast<float*>(at) = 1;
              break;
            case DType::Float16:
              *reinterpret_cast<std::uint16_t*>(at) = 0x3c00;
              break;
            case DType::BFloat16:
              *reinterpret_cast<std::uint16_t*>(at) = 0x3f80;
              break;
            default:
              *at = std::byte{1};
          }
        }
        return ones;
      }();
      Window window = context.create_window("w", tensor, zeros());
      const ConstTensor ones(one.data(), dtype, Shape(8));
      window.put(ones);
      context.barrier();
      if (dtype == DType::Bool) {
        EXPECT_THROW(window.accumulate(ones), InvalidArgument);
        EXPECT_THROW(window.update_then_collect(), InvalidArgument);
      } else {
        window.update_then_collect();
        EXPECT_EQ(bytes, one) << name_of(dtype);
        if (!is_floating(dtype)) {
          EXPECT_THROW(window.update(), InvalidArgument) << name_of(dtype);
        }
      }
      window.free();
    }
  });
}

TEST_P(Windows, AMutexKeepsWhoNeedsItWaiting) {
  on_ring(2, [](Context& context) {
    auto tensor = filled<double>(100, 0);
    Window window = context.create_window("w", tensor, zeros());
    const int other = 1 - context.rank();
    // Both add to the buffer at rank 1 and to the tensor there, under the same mutex.
    for (int round = 0; round < 50; ++round) {
      if (context.rank() == 0) {
        WindowPutOptions locked;
        locked.require_mutex = true;
        window.accumulate(filled<double>(100, 1), locked);
      } else {
        WindowLock lock = window.lock_own();
        WindowUpdateOptions collect;
        collect.self_weight = 1;
        collect.src_weights = Weights{{other, 1.0}};
        collect.reset = true;
        window.update(collect);
      }
    }
    context.barrier();
    if (context.rank() == 1) {
      window.update_then_collect();
      EXPECT_EQ(tensor, filled<double>(100, 50));
    }
    context.barrier();
    window.free();
  });
}

TEST_P(Windows, WhoHoldsTheMutexKeepsAPutOut) {
  on_ring(2, [](Context& context) {
    auto tensor = filled<double>(10, 0);
    Window window = context.create_window("w", tensor, zeros());
    Handle put;
    if (context.rank() == 1) {
      WindowLock lock = window.lock_own();
      context.barrier();  // rank 0 puts only now
      context.barrier();
      EXPECT_EQ(window.versions().at(0), 0U);
      lock.release();
    } else {
      WindowPutOptions locked;
      locked.require_mutex = true;
      context.barrier();
      put = window.put_async(tensor, locked);
      EXPECT_FALSE(put.wait_for(std::chrono::milliseconds(20)));
      context.barrier();
      put.wait();
    }
    context.barrier();
    if (context.rank() == 1) {
      EXPECT_EQ(window.versions().at(0), 1U);
    }
    window.free();
  });
}

TEST_P(Windows, WhoEditsItsTensorKeepsGetsOut) {
  on_ring(2, [](Context& context) {
    SharedArray<double> tensor = context.make_shared<double>(1000);
    Window window = context.create_window("w", tensor, zeros());
    if (context.rank() == 1) {
      WindowLock edit = window.edit();
      std::fill_n(tensor.data(), 500, 1.0);
      window.put(tensor);  // its own calls go on
      context.barrier();
      context.barrier();
      std::fill_n(tensor.data(), 1000, 2.0);
      edit.release();
    } else {
      context.barrier();
      Handle get = window.get_async();
      EXPECT_FALSE(get.wait_for(std::chrono::milliseconds(20)));
      context.barrier();
      get.wait();
      WindowUpdateOptions copy;
      copy.self_weight = 0;
      copy.src_weights = Weights{{1, 1.0}};
      window.update(copy);
      EXPECT_TRUE(std::all_of(tensor.begin(), tensor.end(), [](double value) { return value == 2; }));
    }
    context.barrier();
    window.free();
  });
}

TEST_P(Windows, ATargetThatComputesDelaysNobody) {
  on_ring(2, [](Context& context) {
    auto tensor = filled<double>(many, 0);
    Window window = context.create_window("w", tensor, zeros());
    if (context.rank() == 0) {
      for (int i = 1; i <= 20; ++i) window.put(filled<double>(many, i));
      window.get();  // also of a tensor in private memory
    }
    // Rank 1 has made no call meanwhile; it has only been waiting in one that needs rank 0 alone.
    context.barrier();
    if (context.rank() == 1) {
      EXPECT_EQ(window.versions().at(0), 20U);
      window.update();
      EXPECT_EQ(tensor, filled<double>(many, 10));
    }
    context.barrier();
    window.free();
  });
}

WindowOptions averaging() {
  WindowOptions options = zeros();
  options.averages = true;
  return options;
}

TEST_P(Windows, AverageIsTheValueOfBoth) {
  on_ring(4, [](Context& context) {
    auto tensor = filled<double>(many, 1 << context.rank());
    Window window = context.create_window("w", tensor, averaging());
    // Even ranks with the one after them.
    if (context.rank() % 2 == 0) window.average_with(context.rank() + 1);
    context.barrier();
    const double first = 1 << (context.rank() / 2 * 2);
    EXPECT_EQ(tensor, filled<double>(many, 1.5 * first));
    window.free();
  });
}

/// In any order, also while others average with the same ranks: all values stay multiples of a power of two,
/// so the sum is exact.
TEST_P(Windows, AveragesKeepTheSum) {
  on_ring(4, [](Context& context) {
    auto tensor = filled<double>(100, 1 << context.rank());
    Window window = context.create_window("w", tensor, averaging());
    for (int round = 0; round < 6; ++round) {
      for (const int peer : window.destinations()) window.average_with(peer);
      const WindowLock edit = window.edit();
      for (double& value : tensor) value += 1;
    }
    context.barrier();
    EXPECT_EQ(std::ranges::count(tensor, tensor[0]), 100);
    AllreduceOptions sum;
    sum.reduction = Reduction::Sum;
    context.allreduce(tensor, tensor, sum);
    EXPECT_EQ(tensor[0], 15 + 4 * 6);
    window.free();
  });
}

TEST_P(Windows, AverageOnlyWhereAllHaveOpenedThemForIt) {
  on_ring(2, [](Context& context) {
    auto tensor = filled<float>(10, 1);
    Window window = context.create_window("w", tensor);
    EXPECT_THROW(window.average_with(1 - context.rank()), InvalidArgument);
    window.free();
    EXPECT_THROW(
        static_cast<void>(context.create_window("w", tensor, context.rank() == 0 ? averaging() : zeros())),
        Mismatch);
    auto counts = filled<std::int32_t>(10, 1);
    window = context.create_window("w", counts, averaging());
    EXPECT_THROW(window.average_with(1 - context.rank()), InvalidArgument);
    EXPECT_THROW(window.average_with(context.rank()), InvalidArgument);
    window.free();
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, Windows, testing::ValuesIn(all_ranks),
                         [](const auto& info) { return testing::PrintToString(info.param); });

}  // namespace
}  // namespace bluefog::test
