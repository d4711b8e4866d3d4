// Windows: what each operation does to tensors and buffers, whatever carries the ranks.

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "multi/job.hpp"

namespace bluefog::test {
namespace {

class Windows : public testing::TestWithParam<Ranks> {
 protected:
  /// On so many ranks, on a ring in both directions.
  void on_ring(int size, const Body& body) {
    run_job(GetParam(), size, [&](Context& context) {
      context.set_topology(ring_graph(context.size()));
      body(context);
    });
  }
};

std::vector<float> filled(std::size_t count, int value) {
  return std::vector<float>(count, static_cast<float>(value));
}

TEST_P(Windows, PutReplacesTheBufferOfTheSender) {
  on_ring(3, [](Context& context) {
    auto tensor = filled(10, context.rank());
    WindowOptions zeros;
    zeros.zero_init = true;
    Window window = context.create_window("w", tensor, zeros);
    window.put(tensor);
    context.barrier();
    for (const auto& [rank, version] : window.versions()) EXPECT_EQ(version, 1U) << "of rank " << rank;
    window.update();
    EXPECT_EQ(tensor, filled(10, 1));  // (0 + 1 + 2) / 3
    for (const auto& [rank, version] : window.versions()) EXPECT_EQ(version, 0U) << "of rank " << rank;
    context.barrier();
    window.free();
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, Windows, testing::ValuesIn(all_ranks), [](const auto& info) {
  return testing::PrintToString(info.param);
});

}  // namespace
}  // namespace bluefog::test
