#pragma once
/// @file windows.hpp  What the tests of windows share.

#include <vector>

#include <gtest/gtest.h>

#include "multi/job.hpp"

namespace bluefog::test {

/// Each test on every kind of ranks.
class WindowSuite : public testing::TestWithParam<Ranks> {
 protected:
  /// On a ring in both directions.
  static void on_ring(int size, const Body& body, const Config& config = test_config()) {
    run_job(
        GetParam(), size,
        [&](Context& context) {
          context.set_topology(ring_graph(context.size()));
          body(context);
        },
        config);
  }
};

template <class T = float>
[[nodiscard]] std::vector<T> filled(std::size_t count, double value) {
  return std::vector<T>(count, static_cast<T>(value));
}

inline WindowOptions zeros() {
  WindowOptions options;
  options.zero_init = true;
  return options;
}

}  // namespace bluefog::test
