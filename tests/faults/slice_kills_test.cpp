// A rank that is killed at the stores of the slice protocol; ranks are processes. slice_deaths_test has every
// store; here a sample of them, or with SLICE_KILLS=all every one.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <signal.h>

#include "faults/mortal.hpp"
#include "faults/slice_job.hpp"
#include "multi/job.hpp"

namespace bluefog::test {
namespace {

struct Kills {
  int size;
  std::vector<int> victims;  ///< each after the one before; its stores count from then
  std::uint64_t stride;      ///< between the stores that are tried
};
std::ostream& operator<<(std::ostream& out, const Kills& kills) {
  out << kills.size << "RanksWithout";
  for (const int victim : kills.victims) out << (victim == kills.victims.front() ? "" : "And") << victim;
  return out;
}

bool sweeps_all() {
  const char* wish = std::getenv("SLICE_KILLS");
  return wish != nullptr && std::string_view(wish) == "all";
}

class SliceKills : public testing::TestWithParam<Kills> {
 protected:
  /// Runs the job; victim i is killed at store stores[i].
  /// @returns whether all were
  [[nodiscard]] bool happen(const std::vector<std::uint64_t>& stores) {
    const auto& victims = GetParam().victims;
    const auto ends = run_processes(
        GetParam().size,
        [&](const Config& config) {
          Fate fate;
          const auto own = std::find(victims.begin(), victims.end(), config.rank);
          if (own != victims.end()) {
            fate = Fate(stores[static_cast<std::size_t>(own - victims.begin())], [] { ::raise(SIGKILL); });
          }
          MortalStores bulk(fate);
          const auto session = engine::Session::join(config, mortal(fate, bulk));
          if (own != victims.end() && own != victims.begin()) {
            fate.count_when([&session, before = *(own - 1)] {
              return session->transport().state(before) == transport::PeerState::Lost;
            });
          }
          mix_and_check(*session, Layout::InPlace, expected_, victims, fate);
        },
        slice_config());
    bool all = true;
    std::string text = "killed";
    for (std::size_t i = 0; i < victims.size(); ++i) {
      text += " rank " + std::to_string(victims[i]) + " at store " + std::to_string(stores[i]);
      all = all && ends[static_cast<std::size_t>(victims[i])].signal == SIGKILL;
    }
    for (std::size_t rank = 0; rank < ends.size(); ++rank) {
      const bool is_victim =
          ends[rank].signal == SIGKILL &&
          std::find(victims.begin(), victims.end(), static_cast<int>(rank)) != victims.end();
      EXPECT_TRUE(is_victim || ends[rank].is_clean())
          << text << ", rank " << rank << ": " << ends[rank].failures;
    }
    return all && !HasFailure();
  }

  [[nodiscard]] std::uint64_t stride() const { return sweeps_all() ? 1 : GetParam().stride; }

 private:
  History expected_ = undisturbed(GetParam().size, Layout::InPlace);
};

TEST_P(SliceKills, TearNothing) {
  std::uint64_t kills = 0;
  for (std::uint64_t first = 0;; first += stride()) {
    if (GetParam().victims.size() == 1) {
      if (!happen({first})) break;
      ++kills;
      continue;
    }
    std::uint64_t second = 0;
    for (; happen({first, second}); second += stride()) ++kills;
    if (second == 0) break;
  }
  EXPECT_GT(kills, 5U) << "too few kills to say anything";
}

/// Ends the process in the middle of the first bulk store.
class KilledInASlice final : public engine::BulkStores {
 public:
  void combine(DType dtype, std::span<const mixing::Row> rows, std::span<const void* const> inputs,
               std::span<void* const> outputs, std::size_t count, mixing::StoreKind store) override {
    mixing::combine_rows(dtype, rows, inputs, outputs, count / 2, store);
    ::raise(SIGKILL);
  }
  void store_logged(const mixing::LoggedRows& rows, std::size_t first, std::size_t count,
                    const std::byte* log, std::size_t stride) override {
    rows.store(first, count / 2, log, stride);
    ::raise(SIGKILL);
  }
};

TEST(UndoLog, DecidesWhetherTheOthersCanFinish) {
  constexpr int victim = 2;
  const History expected = undisturbed(3, Layout::InPlace);
  for (const bool undo_log : {true, false}) {
    Config config = slice_config();
    config.undo_log = undo_log;
    const auto ends = run_processes(
        3,
        [&](const Config& own) {
          Fate fate;
          KilledInASlice killed;
          const auto session = engine::Session::join(
              own, {{}, own.rank == victim ? static_cast<engine::BulkStores*>(&killed) : nullptr});
          SliceRank rank(*session, Layout::InPlace);
          const Course course = mix_until_lost(rank, {victim}, fate);
          EXPECT_TRUE(course.lost);
          EXPECT_EQ(course.completed, undo_log ? 1 : 0);
          if (undo_log) expect_whole(rank, course, expected);
          expect_agreement(*session, course, {victim});
        },
        config);
    EXPECT_EQ(ends[victim].signal, SIGKILL) << "the fault did not happen";
    EXPECT_TRUE(ends[0].is_clean()) << ends[0].failures;
    EXPECT_TRUE(ends[1].is_clean()) << ends[1].failures;
  }
}

INSTANTIATE_TEST_SUITE_P(Processes, SliceKills,
                         testing::Values(Kills{2, {0}, 1}, Kills{3, {2}, 1}, Kills{4, {0}, 5},
                                         Kills{5, {3}, 7}, Kills{3, {2, 0}, 23}),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace bluefog::test
