// A rank that dies at every store of the slice protocol. Ranks are threads here, so a rank that dies is one
// whose stores have no effect from some moment on; the others are told, as the watch of a process would.

#include <atomic>
#include <cstdint>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "faults/mortal.hpp"
#include "faults/slice_job.hpp"

namespace bluefog::test {
namespace {

/// Thrown through a rank at its end.
struct Died {};

/// Which store of which rank is not done any more. Others in the same job count only after the first has
/// died.
struct Death {
  int rank;
  std::uint64_t store;
};

/// Runs a job of threads in which these deaths happen, and checks the survivors.
/// @returns how many of them were reached
std::size_t run_with_deaths(int size, Layout layout, const History& expected,
                            const std::vector<Death>& deaths) {
  std::vector<std::shared_ptr<engine::Session>> sessions;
  std::vector<Fate> fates(static_cast<std::size_t>(size));
  std::vector<int> mortals;
  std::atomic<std::size_t> dead{0};
  for (std::size_t i = 0; i < deaths.size(); ++i) {
    const int rank = deaths[i].rank;
    mortals.push_back(rank);
    Fate& fate = fates[static_cast<std::size_t>(rank)];
    fate = Fate(deaths[i].store, [&sessions, &dead, rank] {
      ++dead;
      for (const auto& session : sessions) {
        if (session->config().rank != rank)
          static_cast<MortalTransport&>(session->transport()).inner().set_lost(rank);
      }
      throw Died();
    });
    if (i > 0) fate.count_when([&dead, i] { return dead >= i; });
  }
  std::vector<MortalStores> stores(fates.begin(), fates.end());
  std::vector<engine::Interposition> interpositions;
  for (std::size_t rank = 0; rank < fates.size(); ++rank)
    interpositions.push_back(mortal(fates[rank], stores[rank]));
  sessions = engine::Session::in_process(size, slice_config(), interpositions);
  {
    std::vector<std::jthread> threads;
    for (const auto& session : sessions) {
      threads.emplace_back([&] {
        try {
          mix_and_check(*session, layout, expected, mortals,
                        fates[static_cast<std::size_t>(session->config().rank)]);
        } catch (const Died&) {
        } catch (const std::exception& error) {
          ADD_FAILURE() << "rank " << session->config().rank << ": " << error.what();
        }
      });
    }
  }
  for (const auto& session : sessions) session->shutdown();
  return dead;
}

struct Sweep {
  int size;
  Layout layout;
  int first;        ///< which rank dies
  int second = -1;  ///< and which after it, while it finishes what the first has left behind, or not
  int third = -1;
  std::uint64_t stride = 1;  ///< of the first death, when there are more
};
std::ostream& operator<<(std::ostream& out, const Sweep& sweep) {
  out << sweep.size << "Ranks" << sweep.layout << "Without" << sweep.first;
  if (sweep.second >= 0) out << "And" << sweep.second;
  if (sweep.third >= 0) out << "And" << sweep.third;
  return out;
}

class SliceDeaths : public testing::TestWithParam<Sweep> {
 protected:
  /// Whether the deaths were all reached.
  [[nodiscard]] bool happen(const std::vector<Death>& deaths) {
    const std::size_t reached = run_with_deaths(GetParam().size, GetParam().layout, expected_, deaths);
    std::string text = "of";
    for (const Death& death : deaths)
      text += " rank " + std::to_string(death.rank) + " at store " + std::to_string(death.store);
    EXPECT_FALSE(HasFailure()) << "after the death " << text;
    return reached == deaths.size() && !HasFailure();
  }

 private:
  History expected_ = undisturbed(GetParam().size, GetParam().layout);
};

TEST_P(SliceDeaths, TearNothing) {
  const Sweep sweep = GetParam();
  if (sweep.second < 0) {
    std::uint64_t store = 0;
    while (happen({{sweep.first, store}})) ++store;
    EXPECT_GT(store, 30U) << "too few stores to be the whole protocol";
    return;
  }
  std::uint64_t pairs = 0;
  for (std::uint64_t first = 0; happen({{sweep.first, first}}); first += sweep.stride) {
    std::uint64_t second = 0;
    for (; happen({{sweep.first, first}, {sweep.second, second}});
         second += sweep.third < 0 ? 1 : sweep.stride) {
      ++pairs;
      if (sweep.third < 0) continue;
      for (std::uint64_t third = 0; third <= second; third += sweep.stride) {
        static_cast<void>(happen({{sweep.first, first}, {sweep.second, second}, {sweep.third, third}}));
      }
    }
  }
  EXPECT_GT(pairs, 30U) << "too few deaths for what there is to finish";
}

INSTANTIATE_TEST_SUITE_P(One, SliceDeaths,
                         testing::Values(Sweep{2, Layout::InPlace, 0}, Sweep{2, Layout::InPlace, 1},
                                         Sweep{3, Layout::InPlace, 0}, Sweep{3, Layout::InPlace, 2},
                                         Sweep{4, Layout::InPlace, 0}, Sweep{4, Layout::InPlace, 3},
                                         Sweep{5, Layout::InPlace, 0}, Sweep{5, Layout::InPlace, 2},
                                         Sweep{3, Layout::OutOfPlace, 0}, Sweep{3, Layout::OutOfPlace, 1},
                                         Sweep{3, Layout::Mixed, 0}, Sweep{3, Layout::Mixed, 1}),
                         testing::PrintToStringParamName());
INSTANTIATE_TEST_SUITE_P(Nested, SliceDeaths,
                         testing::Values(Sweep{3, Layout::InPlace, 2, 0, -1, 13},
                                         Sweep{3, Layout::InPlace, 0, 1, -1, 13},
                                         Sweep{4, Layout::InPlace, 1, 0, 2, 31}),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace bluefog::test
