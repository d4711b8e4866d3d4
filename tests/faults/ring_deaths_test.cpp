// A rank that dies at every store of the exchange of private tensors, which the others mix in place: each of
// them ends with the mixed tensor, or with PeerLost and the tensor that it had.

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <bluefog/error.hpp>
#include <bluefog/graphs.hpp>

#include "faults/mortal_job.hpp"
#include "faults/slice_job.hpp"

namespace bluefog::test {
namespace {

constexpr int size = 4;
constexpr int victim = 2;
/// More chunks than the ring of a slot holds, so that ranks wait for each other.
constexpr std::size_t elements = 10 * 128 * 1024 + 5;

float first_value(int rank, std::size_t element) {
  return static_cast<float>(rank) + static_cast<float>(element % 64) / 64;
}

/// Rank r of a ring of four averages r - 1, r and r + 1. Exact in binary, but for the division.
float mixed_value(int rank, std::size_t element) {
  const int before = (rank + size - 1) % size;
  const int after = (rank + 1) % size;
  std::vector<int> ranks{before, rank, after};
  std::sort(ranks.begin(), ranks.end());
  float sum = 0;
  for (const int source : ranks) sum += first_value(source, element);
  return sum / 3;
}

bool holds(const std::vector<float>& x, int rank, float (*value)(int, std::size_t)) {
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (x[i] != value(rank, i)) return false;
  }
  return true;
}

enum class Outcome { Mixed, AsItWas, Dead };

class RingDeaths : public testing::TestWithParam<bool> {};

TEST_P(RingDeaths, LeaveATensorMixedOrAsItWas) {
  const bool meet = GetParam();
  std::uint64_t store = 0;
  std::vector<std::vector<float>> tensors(size);  // outlive the ranks: a dead one may still look at its own
  int served = 0;
  const auto happens = [&] {
    std::vector<Outcome> outcomes(size, Outcome::Dead);
    std::vector<std::uint64_t> mixed_chunks(size);
    const std::size_t dead =
        run_with_deaths(size, slice_config(), {{victim, store}}, [&](engine::Session& session, Fate& fate) {
          const int rank = session.config().rank;
          std::vector<float>& x = tensors[static_cast<std::size_t>(rank)];
          x.resize(elements);
          for (std::size_t i = 0; i < elements; ++i) x[i] = first_value(rank, i);
          const std::int64_t extents[] = {static_cast<std::int64_t>(elements)};
          const Tensor tensor(x.data(), DType::Float32, Shape(extents));
          session.requests().set_topology(ring_graph(size), false);
          NeighborAllreduceOptions options;
          options.meet = meet;
          const auto operation =
              session.engine().submit(session.requests().neighbor_allreduce(tensor, tensor, options), false);
          session.engine().wait(*operation, base::TimePoint::max());
          mixed_chunks[static_cast<std::size_t>(rank)] = operation->consumed;
          try {
            if (operation->error()) std::rethrow_exception(operation->error());
            fate.spare();
            EXPECT_TRUE(holds(x, rank, mixed_value)) << "rank " << rank << " succeeded with wrong values";
            outcomes[static_cast<std::size_t>(rank)] = Outcome::Mixed;
          } catch (const PeerLost& error) {
            EXPECT_EQ(error.peer(), victim) << error.what();
            EXPECT_TRUE(holds(x, rank, first_value)) << "rank " << rank << " failed with a torn tensor";
            outcomes[static_cast<std::size_t>(rank)] = Outcome::AsItWas;
          }
        });
    EXPECT_FALSE(HasFailure()) << "after the death of rank " << victim << " at store " << store;
    // Rank 0 is no neighbour of the one that dies: once it has begun, nothing may keep it from its end.
    EXPECT_TRUE(outcomes[0] == Outcome::Mixed || mixed_chunks[0] == 0)
        << "rank 0 had mixed " << mixed_chunks[0] << " chunks when a neighbour gave up, at store " << store;
    served += outcomes[0] == Outcome::Mixed && outcomes[1] == Outcome::AsItWas ? 1 : 0;
    return dead == 1 && !HasFailure();
  };
  while (happens()) ++store;
  EXPECT_GT(store, 40U) << "too few stores to be the whole protocol";
  EXPECT_GT(served, 0) << "rank 0 never got from rank 1, which failed, what it needed";
}

INSTANTIATE_TEST_SUITE_P(Exchange, RingDeaths, testing::Bool(),
                         [](const auto& info) { return info.param ? "Meeting" : "NeighboursOnly"; });

}  // namespace
}  // namespace bluefog::test
