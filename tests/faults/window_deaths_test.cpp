// A rank that is killed before any store or letter of the window protocol: what it has given counts wholly or
// not at all, its locks go to others, and the survivors go on, with all their mass.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <signal.h>

#include "engine/session.hpp"
#include "multi/job.hpp"
#include "window/windows.hpp"

namespace bluefog::test {
namespace {

constexpr int size = 3;
constexpr int victim = 2;
constexpr std::size_t elements = 1000;

/// Counts the stores of this process, and kills it before one.
class Executioner final : public engine::StoreHook {
 public:
  explicit Executioner(std::uint64_t store) : left_(store) {}
  void arm() { is_armed_ = true; }
  void before_store() override {
    if (is_armed_ && left_-- == 0) ::raise(SIGKILL);
  }

 private:
  std::atomic<bool> is_armed_{false};
  std::atomic<std::uint64_t> left_;
};

/// A job of this test, seen from one rank.
class Rank {
 public:
  Rank(const Config& config, Executioner& executioner) {
    engine::Interposition interposition;
    interposition.window_hook = &executioner;
    session_ = engine::Session::join(config, interposition);
    window::Windows::of(*session_).moves_push_sum_weights = true;
  }
  ~Rank() { session_->shutdown(); }

  Window open(Tensor tensor) {
    WindowOptions options;
    options.zero_init = true;
    options.src_ranks.emplace();
    for (int rank = 0; rank < size; ++rank) {
      if (rank != session_->config().rank) options.src_ranks->push_back(rank);
    }
    options.dst_ranks = options.src_ranks;
    window::Creation creation;
    window::Windows& windows = window::Windows::of(*session_);
    creation.core = std::make_shared<window::Core>(windows, "w", tensor, true);
    windows.begin(creation, tensor, options);
    wait(creation.operation);
    core_ = windows.finish(creation);
    return {session_, core_};
  }
  void barrier(const Group& group = {}) {
    OperationOptions options;
    options.group = group;
    wait(session_->engine().submit(session_->requests().barrier(options), false));
  }
  [[nodiscard]] bool is_gone(int rank) {
    return session_->transport().state(rank) != transport::PeerState::Alive;
  }
  /// Push-sum weight of a buffer that was taken last.
  [[nodiscard]] double weight_from(int rank) { return core_->neighbor(rank)->reader->weight(); }
  [[nodiscard]] SharedMemory allocate(std::size_t bytes) { return session_->transport().allocate(bytes); }

 private:
  void wait(const std::shared_ptr<engine::Operation>& operation) {
    ASSERT_TRUE(
        session_->engine().wait(*operation, session_->engine().clock().now() + std::chrono::minutes(1)));
    if (operation->error()) std::rethrow_exception(operation->error());
  }

  std::shared_ptr<engine::Session> session_;
  std::shared_ptr<window::Core> core_;
};

/// What the buffer of the victim holds.
struct Buffer {
  double value;
  double weight;
  friend bool operator==(const Buffer&, const Buffer&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Buffer& buffer) {
    return out << buffer.value << " with weight " << buffer.weight;
  }
};
constexpr Buffer before{100, 1};

enum class Place { PrivateMemory, Arena, OtherHosts };
const char* name_of(Place place) {
  constexpr const char* names[] = {"InPrivateMemory", "InArena", "OnOtherHosts"};
  return names[static_cast<int>(place)];
}

struct Deed {
  const char* name;
  std::function<void(Window&, const Tensor&)> act;
  Buffer after;
  int least_stores;
  bool moves_a_tensor = false;  ///< of rank 0, if it was asked in time
};
std::ostream& operator<<(std::ostream& out, const Deed& deed) {
  return out << deed.name;
}

Weights to_survivors(double weight) {
  return {{0, weight}, {1, weight}};
}

WindowPutOptions halved() {
  WindowPutOptions options;
  options.dst_weights = to_survivors(0.5);
  options.require_mutex = true;
  return options;
}

const std::vector<Deed>& deeds() {
  static const std::vector<Deed> all{
      {"Put", [](Window& window, const Tensor& value) { window.put(value, halved()); }, {200, 0.5}, 12},
      {"Accumulate",
       [](Window& window, const Tensor& value) { window.accumulate(value, halved()); },
       {300, 1.5},
       14},
      {"AccumulateAndKeepHalf",
       [](Window& window, const Tensor& value) {
         WindowPutOptions options = halved();
         options.self_weight = 0.5;
         window.accumulate(value, options);
       },
       {300, 1.5},
       16},
      {"Get",
       [](Window& window, const Tensor&) {
         WindowGetOptions options;
         options.require_mutex = true;
         window.get(options);
       },
       before, 8},
      {"Update",
       [](Window& window, const Tensor&) {
         WindowUpdateOptions options;
         options.require_mutex = true;
         window.update(options);
       },
       before, 6},
      {"Collect", [](Window& window, const Tensor&) { window.update_then_collect(); }, before, 6},
      {"Lock",
       [](Window& window, const Tensor&) {
         WindowLock there = window.lock();
         WindowLock here = window.lock_own();
         WindowLock edit = window.edit();
       },
       before, 5},
      {"Average", [](Window& window, const Tensor&) { window.average_with(0); }, before, 7, true},
      {"Free",
       [](Window& window, const Tensor&) {
         Handle freed = window.free_async();
         static_cast<void>(freed.wait_for(std::chrono::milliseconds(50)));  // the others do not free yet
         freed.cancel();
       },
       before, 2},
  };
  return all;
}

void be_victim(Rank& rank, const Deed& deed, Executioner& executioner, const Tensor& tensor) {
  Window window = rank.open(tensor);
  std::vector<double> value(elements, before.value);
  window.put(value);
  rank.barrier();
  std::ranges::fill(value, 400);
  executioner.arm();
  deed.act(window, value);
}

void expect_lost(const std::function<void()>& call) {
  try {
    call();
    ADD_FAILURE() << "went well without rank " << victim;
  } catch (const PeerLost& lost) {
    EXPECT_EQ(lost.peer(), victim);
  }
}

void survive(Rank& rank, const Config& config, const Deed& deed, const Tensor& tensor) {
  const int other = 1 - config.rank;
  Window window = rank.open(tensor);
  auto* const own = static_cast<double*>(tensor.data);
  std::fill_n(own, elements, 1.0);
  rank.barrier();
  // Busy with each other while it happens.
  WindowPutOptions to_other;
  to_other.dst_weights = Weights{{other, 1.0}};
  to_other.require_mutex = true;
  WindowUpdateOptions of_other;
  of_other.self_weight = 1;
  of_other.src_weights = Weights{{other, 1.0}};
  of_other.reset = true;
  of_other.require_mutex = true;
  const std::vector<double> one(elements, 1.0);
  double given = 0;
  while (!rank.is_gone(victim) || given < 20) {
    window.accumulate(one, to_other);
    window.update(of_other);
    ++given;
  }

  // A lock that the dead held is taken over; its buffer is whole.
  std::vector<double> output(elements);
  WindowUpdateOptions of_victim;
  of_victim.self_weight = 0;
  of_victim.src_weights = Weights{{victim, 1.0}};
  of_victim.require_mutex = true;
  of_victim.output = output;
  window.update(of_victim);
  EXPECT_EQ(std::ranges::count(output, output[0]), static_cast<std::ptrdiff_t>(elements)) << "torn";
  const Buffer seen{output[0], rank.weight_from(victim)};
  EXPECT_TRUE(seen == before || seen == deed.after) << seen;
  static_cast<void>(window.lock_own());
  static_cast<void>(window.edit());
  expect_lost([&] { window.put(one); });
  expect_lost([&] { window.get(); });
  expect_lost([&] { static_cast<void>(window.lock(std::vector<int>{victim})); });

  const Group survivors{0, 1};
  rank.barrier(survivors);
  window.update(of_other);
  rank.barrier(survivors);
  // Each learns how many ones the other has given.
  window.put(std::vector<double>(elements, given), to_other);
  rank.barrier(survivors);
  std::vector<double> given_here(elements);
  of_other.self_weight = 0;
  of_other.output = given_here;
  window.update(of_other);
  if (!deed.moves_a_tensor || config.rank != 0) {
    EXPECT_EQ(own[0], 1 + given_here[0]);
  }
  EXPECT_EQ(own[elements - 1], own[0]);
  window.free();
}

class WindowDeaths : public testing::TestWithParam<std::tuple<Deed, Place>> {
 protected:
  /// @returns whether the victim was killed at that store
  [[nodiscard]] bool happen(std::uint64_t store) {
    const auto& [deed, place] = GetParam();
    const auto run = [&, &deed = deed, place = place](const Config& config) {
      Executioner executioner(store);
      std::vector<double> memory(elements, 400);
      Rank rank(config, executioner);
      const SharedMemory shared = rank.allocate(elements * sizeof(double));
      const Tensor tensor(place == Place::Arena ? shared.data() : memory.data(), DType::Float64,
                          Shape(elements));
      if (config.rank == victim) return be_victim(rank, deed, executioner, tensor);
      survive(rank, config, deed, tensor);
    };
    const Ranks ranks = place == Place::OtherHosts ? Ranks::TcpProcesses : Ranks::Processes;
    const auto ends = run_processes(size, run, with_transport_of(ranks, size, test_config()));
    for (int rank = 0; rank < victim; ++rank) {
      EXPECT_TRUE(ends[static_cast<std::size_t>(rank)].is_clean())
          << "rank " << rank << ": " << ends[static_cast<std::size_t>(rank)].failures << " signal "
          << ends[static_cast<std::size_t>(rank)].signal;
    }
    const RankEnd& end = ends[victim];
    EXPECT_TRUE(end.signal == SIGKILL || end.is_clean()) << end.failures;
    return end.signal == SIGKILL;
  }
};

TEST_P(WindowDeaths, LeaveWhatCounts) {
  std::uint64_t store = 0;
  for (; happen(store); ++store) ASSERT_FALSE(HasFailure()) << "killed at store " << store;
  ASSERT_FALSE(HasFailure()) << "not killed";
  const bool is_far = std::get<1>(GetParam()) == Place::OtherHosts;
  EXPECT_GE(store, static_cast<std::uint64_t>(is_far ? 2 : std::get<0>(GetParam()).least_stores));
}

INSTANTIATE_TEST_SUITE_P(AtEveryStore, WindowDeaths,
                         testing::Combine(testing::ValuesIn(deeds()),
                                          testing::Values(Place::PrivateMemory, Place::Arena,
                                                          Place::OtherHosts)),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param).name) +
                                  name_of(std::get<1>(info.param));
                         });

}  // namespace
}  // namespace bluefog::test
