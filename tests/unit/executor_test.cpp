#include "base/executor.hpp"

#include <chrono>

#include <gtest/gtest.h>

namespace bluefog::base {
namespace {

using namespace std::chrono_literals;

TEST(ThreadExecutor, WhoIsBusyLooksAtTheClockToo) {
  ThreadExecutor executor;
  const auto bell = executor.make_doorbell();
  const TimePoint deadline = executor.clock().now() + 20ms;
  executor.wait(*bell, false, deadline, [] { return Turn::Busy; });
  EXPECT_GE(executor.clock().now(), deadline);
}

}  // namespace
}  // namespace bluefog::base
