#pragma once
/// @file hosts.hpp  What the tests of ranks that are connected by TCP share.

#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "multi/descriptors.hpp"
#include "multi/job.hpp"

namespace bluefog::test {

inline Config tcp_config() {
  return with_transport_of(Ranks::TcpProcesses, 0, test_config());
}

inline void expect_clean(const std::vector<RankEnd>& ends, const std::set<std::size_t>& except = {}) {
  for (std::size_t rank = 0; rank < ends.size(); ++rank) {
    if (except.count(rank) > 0) continue;
    EXPECT_TRUE(ends[rank].is_clean())
        << "rank " << rank << ", signal " << ends[rank].signal << ": " << ends[rank].failures;
  }
}

template <class E>
std::string text_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const E& error) {
    return error.what();
  } catch (const std::exception& error) {
    return std::string("another kind of error: ") + error.what();
  }
  return "no error";
}

inline void expect_in(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "\"" << part << "\" is not in: " << text;
}

inline void expect_mean(Context& context, std::size_t count) {
  std::vector<double> x(count, static_cast<double>(context.rank()));
  context.allreduce(std::span<const double>(x), std::span(x));
  EXPECT_EQ(x.front(), static_cast<double>(context.size() - 1) / 2);
  EXPECT_EQ(x.back(), x.front());
}

inline std::vector<int> pids_of_all(Context& context) {
  const std::vector<std::int64_t> own{::getpid()};
  const GatheredTensor all = context.allgather(std::span<const std::int64_t>(own));
  const auto* const pids = reinterpret_cast<const std::int64_t*>(all.data.get());
  return {pids, pids + context.size()};
}

}  // namespace bluefog::test
