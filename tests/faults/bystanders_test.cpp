// Operations that do not need the rank that died.

#include <algorithm>
#include <atomic>
#include <new>
#include <ostream>
#include <span>
#include <vector>

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>

#include <bluefog/error.hpp>

#include "multi/job.hpp"

namespace bluefog::test {
namespace {

/// A word that all processes of a job see.
class SharedFlag {
 public:
  SharedFlag()
      : flag_(new (::mmap(nullptr, sizeof(Flag), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
                  Flag(false)) {}
  SharedFlag(const SharedFlag&) = delete;
  SharedFlag& operator=(const SharedFlag&) = delete;
  ~SharedFlag() { ::munmap(flag_, sizeof(Flag)); }
  void set() const { flag_->store(true); }
  [[nodiscard]] bool is_set() const { return flag_->load(); }

 private:
  using Flag = std::atomic<bool>;
  Flag* flag_;
};

struct Way {
  const char* name;
  bool meet;
  bool shared;
};
std::ostream& operator<<(std::ostream& out, const Way& way) {
  return out << way.name;
}

class Pairs : public testing::TestWithParam<Way> {
 protected:
  /// The group of two mixes the numbers of its ranks, of which every element must become the mean.
  static void mix(Context& context, std::span<float> x, const Group& pair) {
    std::fill(x.begin(), x.end(), static_cast<float>(context.rank()));
    NeighborAllreduceOptions options;
    options.group = pair;
    options.meet = GetParam().meet;
    context.neighbor_allreduce(std::span<const float>(x), x, options);
    const float mean = static_cast<float>(pair[0] + pair[1]) / 2;
    ASSERT_TRUE(std::all_of(x.begin(), x.end(), [mean](float element) { return element == mean; }));
  }
};

TEST_P(Pairs, AreNotDisturbedByADeathInAnother) {
  constexpr std::size_t count = 200'000;
  const SharedFlag is_over;
  const auto ends = run_processes(4, [&](const Config& config) {
    Context context(config);
    std::vector<float> own(GetParam().shared ? 0 : count);
    auto shared = context.make_shared<float>(GetParam().shared ? count : 1);
    const std::span<float> x = GetParam().shared ? shared.span() : std::span(own);
    context.barrier();
    if (context.rank() < 2) {
      int after = 0;
      while (after < 20) {
        mix(context, x, {0, 1});
        // Both see the flag after the same mixing, or they would part.
        std::vector<float> sum{is_over.is_set() ? 1.0F : 0.0F};
        AllreduceOptions options;
        options.group = {0, 1};
        context.allreduce(std::span<const float>(sum), std::span(sum), options);
        if (sum[0] > 0) ++after;
      }
      return;
    }
    try {
      for (int i = 0;; ++i) {
        if (context.rank() == 3 && i == 5) ::raise(SIGKILL);
        mix(context, x, {2, 3});
      }
    } catch (const PeerLost& error) {
      EXPECT_EQ(error.peer(), 3) << error.what();
    }
    is_over.set();
  });
  EXPECT_EQ(ends[3].signal, SIGKILL) << "the fault did not happen";
  for (int rank = 0; rank < 3; ++rank) {
    const RankEnd& end = ends[static_cast<std::size_t>(rank)];
    EXPECT_TRUE(end.is_clean()) << "rank " << rank << ": " << end.failures;
  }
}

INSTANTIATE_TEST_SUITE_P(Ways, Pairs,
                         testing::Values(Way{"Slices", true, true}, Way{"RingMeeting", true, false},
                                         Way{"ZeroCopy", false, true}, Way{"Ring", false, false}),
                         testing::PrintToStringParamName());

TEST(Neighbors, OfThoseThatLostOneGetWhatTheyNeed) {
  // On a ring of five, rank 2 is needed by 1 and 3 only. They fail, but 0 and 4 need only what these had to
  // send.
  const auto ends = run_processes(5, [](const Config& config) {
    Context context(config);
    context.barrier();
    if (context.rank() == 2) ::raise(SIGKILL);
    std::vector<double> x{static_cast<double>(context.rank())};
    std::vector<double> y(1);
    NeighborAllreduceOptions options;
    options.schedule = static_schedule(ring_graph(5));
    const auto mix = [&] { context.neighbor_allreduce(std::span<const double>(x), std::span(y), options); };
    if (context.rank() == 1 || context.rank() == 3) {
      try {
        mix();
        ADD_FAILURE() << "mixed without rank 2";
      } catch (const PeerLost& error) {
        EXPECT_EQ(error.peer(), 2) << error.what();
      }
    } else {
      mix();
      EXPECT_DOUBLE_EQ(y[0], context.rank() == 0 ? 5.0 / 3 : 7.0 / 3);
    }
    OperationOptions survivors;
    survivors.group = {0, 1, 3, 4};
    context.barrier(survivors);
  });
  EXPECT_EQ(ends[2].signal, SIGKILL) << "the fault did not happen";
  for (const int rank : {0, 1, 3, 4}) {
    const RankEnd& end = ends[static_cast<std::size_t>(rank)];
    EXPECT_TRUE(end.is_clean()) << "rank " << rank << ": " << end.failures;
  }
}

}  // namespace
}  // namespace bluefog::test
