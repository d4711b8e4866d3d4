// A rank that dies at every store of the slice protocol; ranks are threads.

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "faults/mortal_job.hpp"
#include "faults/slice_job.hpp"

namespace bluefog::test {
namespace {

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
    std::vector<int> mortals;
    std::string text = "of";
    for (const Death& death : deaths) {
      mortals.push_back(death.rank);
      text += " rank " + std::to_string(death.rank) + " at store " + std::to_string(death.store);
    }
    const std::size_t reached =
        run_with_deaths(GetParam().size, slice_config(), deaths, [&](engine::Session& session, Fate& fate) {
          mix_and_check(session, GetParam().layout, expected_, mortals, fate);
        });
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
