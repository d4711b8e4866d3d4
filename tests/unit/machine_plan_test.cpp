// Slices of machines, of equal size and not: who owns what, and whose parts of means go to whom.

#include "mixing/machine_plan.hpp"

#include <algorithm>
#include <map>
#include <vector>

#include <gtest/gtest.h>

namespace bluefog {
namespace {

using mixing::MachineMap;
using mixing::MachinePlan;
using mixing::MixingRow;

/// Of a machine that exchanges means with all others.
MixingRow row_of(int machine, const MachineMap& machines) {
  MixingRow row;
  row.rank = machine;
  row.form = mixing::RowForm::Uniform;
  for (int other = 0; other < machines.count(); ++other) {
    if (other != machine) row.sources.push_back({other, 0.5});
  }
  row.destinations = row.sources;
  return row;
}

TEST(MachineMap, NumbersMachinesAndTheirRanks) {
  const MachineMap machines(std::vector<int>{2, 1, 3});
  EXPECT_EQ(machines.count(), 3);
  EXPECT_EQ(machines.first_rank(2), 3);
  EXPECT_EQ(machines.size_of(2), 3);
  EXPECT_EQ(machines.machine_of(1), 0);
  EXPECT_EQ(machines.machine_of(2), 1);
  EXPECT_EQ(machines.local_rank(5), 2U);
  EXPECT_NE(machines.hash(), MachineMap(std::vector{1, 2, 3}).hash());
}

TEST(MachineMap, SlicesCoverTheTensorOnce) {
  for (int size = 1; size <= 9; ++size) {
    const MachineMap machines(std::vector<int>{size});
    for (const std::size_t element : {2U, 4U, 8U}) {
      for (const std::size_t count : {0U, 1U, 31U, 64U, 1000U, 65'537U}) {
        std::size_t covered = 0;
        for (int rank = 0; rank < size; ++rank) {
          const auto slice = machines.slice_of(rank, count, element);
          EXPECT_EQ(slice.first, covered);
          EXPECT_TRUE(slice.first * element % 64 == 0 || slice.first == count);
          covered = slice.last;
        }
        EXPECT_EQ(covered, count);
      }
    }
  }
}

/// Every byte of a rank's slice of another machine's mean comes from exactly one owner, who knows of it.
void expect_parts_to_fit(const MachineMap& machines, int ranks, std::size_t count) {
  std::map<int, MachinePlan> plans;
  for (int rank = 0; rank < ranks; ++rank) {
    plans[rank] = make_machine_plan(rank, machines, row_of(machines.machine_of(rank), machines));
  }
  for (const auto& [rank, plan] : plans) {
    const auto own = machines.slice_of(rank, count, 4);
    std::map<std::size_t, std::size_t> come;
    for (const auto& part : plan.sources) {
      EXPECT_EQ(plan.inputs[part.input], machines.machine_of(part.rank));
      const auto theirs = machines.slice_of(part.rank, count, 4);
      const std::size_t first = std::max(own.first, theirs.first);
      const std::size_t last = std::min(own.last, theirs.last);
      come[part.input] += last > first ? last - first : 0;
      const auto& there = plans[part.rank].destinations;
      EXPECT_TRUE(std::any_of(there.begin(), there.end(),
                              [rank = rank](const auto& destination) { return destination.rank == rank; }));
    }
    EXPECT_EQ(come.size(), plan.inputs.size() - 1);
    for (const auto& [input, elements] : come) EXPECT_EQ(elements, own.last - own.first);
  }
}

TEST(MachinePlan, PartsFitForAllSizesOfMachines) {
  for (int a = 1; a <= 8; ++a) {
    for (int b = 1; b <= 8; ++b) {
      for (const std::size_t count : {0U, 5U, 100U, 321U, 50'001U}) {
        expect_parts_to_fit(MachineMap(std::vector{a, b, 3}), a + b + 3, count);
      }
    }
  }
}

TEST(MachinePlan, EqualMachinesExchangeBetweenEqualMembers) {
  const MachineMap machines(std::vector<int>{4, 4, 4});
  const MachinePlan plan = make_machine_plan(5, machines, row_of(1, machines));
  EXPECT_EQ(plan.inputs, (std::vector{1, 0, 2}));
  ASSERT_EQ(plan.sources.size(), 2U);
  EXPECT_EQ(plan.sources[0].rank, 1);
  EXPECT_EQ(plan.sources[1].rank, 9);
  EXPECT_EQ(plan.destinations[0].rank, 1);
  EXPECT_EQ(plan.destinations[1].rank, 9);
}

TEST(MachinePlan, RowsNameMachinesByTheirFirstRanks) {
  const MachineMap machines(std::vector<int>{2, 1, 3});
  const MixingRow named = named_by_first_ranks(row_of(1, machines), 2, machines);
  EXPECT_EQ(named.rank, 2);
  EXPECT_NE(named.source(0), nullptr);
  EXPECT_NE(named.destination(3), nullptr);
  EXPECT_EQ(named.sources.size(), 2U);
}

}  // namespace
}  // namespace bluefog
