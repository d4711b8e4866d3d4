// The protocol of a window's edge: whatever the owner does between any two stores of the writer, or the
// writer between any two of the owner, nothing is torn, lost or counted twice.

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <ostream>
#include <random>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "window/edge_reader.hpp"
#include "window/edge_writer.hpp"

namespace bluefog::window {
namespace {

constexpr std::size_t elements = 8;

/// Does something before a store of its edge; once.
class Interruption final : public StoreHook {
 public:
  void at(std::uint64_t store, std::function<void()> action) {
    count_ = 0;
    at_ = store;
    action_ = std::move(action);
  }
  void before_store() override {
    if (count_++ != at_ || !action_) return;
    const auto action = std::exchange(action_, nullptr);
    action();
  }
  [[nodiscard]] bool has_happened() const { return action_ == nullptr; }

 private:
  std::uint64_t count_ = 0;
  std::uint64_t at_ = 0;
  std::function<void()> action_;
};

struct Seen {
  double value;
  double weight;
  friend bool operator==(const Seen&, const Seen&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Seen& seen) {
    return out << seen.value << " with weight " << seen.weight;
  }
};

struct Death {};

class Edge {
 public:
  Edge()
      : reader_(
            header_, [this] { return add_slot(); }, DType::Float64, elements, Stores(&owner)),
        writer_(
            header_, [this](std::uint64_t offset) { return slot(offset); }, DType::Float64, elements,
            Stores(&sender)) {}

  void put(double value, double weight) { deliver(Delivery::Put, value, weight); }
  void accumulate(double value, double weight) { deliver(Delivery::Accumulate, value, weight); }
  Seen update() {
    reader_.take();
    return seen();
  }
  Seen collect() {
    const Seen taken = update();
    reader_.reset();
    return taken;
  }
  void get(double value, double weight) {
    std::fill_n(reinterpret_cast<double*>(reader_.spare()), elements, value);
    reader_.replace();
    reader_.set_weight(weight);
    reader_.count_get();
  }
  [[nodiscard]] EdgeReader& reader() { return reader_; }

  Interruption owner;
  Interruption sender;

 private:
  void deliver(Delivery delivery, double value, double weight) {
    const std::vector<double> tensor(elements, value);
    const auto* const bytes = reinterpret_cast<const std::byte*>(tensor.data());
    do {
      writer_.begin(delivery);
      writer_.write(bytes, 1.0, 0, elements);
    } while (!writer_.publish(weight));
  }
  std::pair<std::byte*, std::uint64_t> add_slot() {
    slots_.emplace_back(elements, -1e9);
    return {slot(slots_.size() - 1), slots_.size() - 1};
  }
  std::byte* slot(std::uint64_t offset) { return reinterpret_cast<std::byte*>(slots_[offset].data()); }
  [[nodiscard]] Seen seen() const {
    if (reader_.value() == nullptr) return {0, reader_.weight()};
    const auto* const values = reinterpret_cast<const double*>(reader_.value());
    EXPECT_TRUE(std::all_of(values, values + elements, [&](double value) { return value == values[0]; }))
        << "torn: from " << values[0] << " to " << values[elements - 1];
    return {values[0], reader_.weight()};
  }

  EdgeHeader header_{};
  std::deque<std::vector<double>> slots_;
  EdgeReader reader_;
  EdgeWriter writer_;
};

TEST(WindowEdge, StartsAsZero) {
  Edge edge;
  EXPECT_EQ(edge.update(), (Seen{0, 0}));
}

TEST(WindowEdge, APutIsSeenAgainAndAgain) {
  Edge edge;
  edge.put(3, 0.5);
  EXPECT_EQ(edge.update(), (Seen{3, 0.5}));
  EXPECT_EQ(edge.update(), (Seen{3, 0.5}));
}

TEST(WindowEdge, TheLastPutCounts) {
  Edge edge;
  for (int i = 1; i <= 5; ++i) edge.put(i, i);
  EXPECT_EQ(edge.update(), (Seen{5, 5}));
}

TEST(WindowEdge, AccumulateAddsToWhatIsUnreadAndToWhatIsKept) {
  Edge edge;
  edge.put(1, 1);
  edge.accumulate(2, 2);
  EXPECT_EQ(edge.update(), (Seen{3, 3}));
  edge.accumulate(4, 4);
  edge.accumulate(8, 8);
  EXPECT_EQ(edge.update(), (Seen{15, 15}));
}

TEST(WindowEdge, CollectLeavesZero) {
  Edge edge;
  edge.accumulate(2, 0.25);
  EXPECT_EQ(edge.collect(), (Seen{2, 0.25}));
  EXPECT_EQ(edge.update(), (Seen{0, 0}));
  edge.accumulate(1, 0.5);
  EXPECT_EQ(edge.collect(), (Seen{1, 0.5}));
}

TEST(WindowEdge, AGetReplacesWhatIsUnread) {
  Edge edge;
  edge.put(1, 1);
  edge.get(7, 0.75);
  EXPECT_EQ(edge.update(), (Seen{7, 0.75}));
  edge.accumulate(1, 0.25);
  EXPECT_EQ(edge.update(), (Seen{8, 1}));
}

TEST(WindowEdge, VersionsCountPutsAndGets) {
  Edge edge;
  edge.put(1, 1);
  edge.put(1, 1);
  edge.accumulate(1, 1);
  edge.get(1, 1);
  EXPECT_EQ(edge.reader().versions(), 3U);
  edge.update();
  EXPECT_EQ(edge.reader().versions(), 3U) << "who takes the value says when they are forgotten";
  edge.reader().forget_versions();
  EXPECT_EQ(edge.reader().versions(), 0U);
  edge.put(1, 1);
  EXPECT_EQ(edge.reader().versions(), 1U);
}

TEST(WindowEdge, ThreeSlotsAreEnoughForPutsAndForPushSum) {
  Edge puts;
  Edge push_sum;
  for (int i = 0; i < 100; ++i) {
    puts.put(i, 1);
    if (i % 3 == 0) puts.update();
    push_sum.accumulate(i, 1);
    if (i % 3 == 0) push_sum.collect();
  }
  EXPECT_EQ(puts.reader().slots(), 3U);
  EXPECT_EQ(push_sum.reader().slots(), 3U);
}

// --- one end at work between two stores of the other

/// Something that one end does, and what it means for the value, or for what was collected.
struct Deed {
  const char* name;
  void (*act)(Edge& edge, double& collected);
  Seen (*mean)(Seen value, double& collected);
};
std::ostream& operator<<(std::ostream& out, const Deed& deed) {
  return out << deed.name;
}

constexpr Deed sender_deeds[] = {
    {"put", [](Edge& edge, double&) { edge.put(64, 0.5); },
     [](Seen, double&) {
       return Seen{64, 0.5};
     }},
    {"accumulate", [](Edge& edge, double&) { edge.accumulate(16, 0.25); },
     [](Seen value, double&) {
       return Seen{value.value + 16, value.weight + 0.25};
     }},
};
constexpr Deed owner_deeds[] = {
    {"update", [](Edge& edge, double&) { edge.update(); }, [](Seen value, double&) { return value; }},
    {"collect", [](Edge& edge, double& collected) { collected += edge.collect().value; },
     [](Seen value, double& collected) {
       collected += value.value;
       return Seen{0, 0};
     }},
    {"get", [](Edge& edge, double&) { edge.get(1024, 0.125); },
     [](Seen, double&) {
       return Seen{1024, 0.125};
     }},
};

/// What the edge holds before.
struct Before {
  const char* name;
  void (*prepare)(Edge& edge);
  bool is_unread = false;
};
std::ostream& operator<<(std::ostream& out, const Before& before) {
  return out << before.name;
}
constexpr Before starts[] = {
    {"zero", [](Edge&) {}},
    {"unread put", [](Edge& edge) { edge.put(1, 1); }, true},
    {"unread sum", [](Edge& edge) { edge.accumulate(1, 1); }, true},
    {"kept put", [](Edge& edge) { edge.put(1, 1), edge.update(); }},
    {"kept put and unread sum", [](Edge& edge) { edge.put(1, 1), edge.update(), edge.accumulate(2, 2); },
     true},
    {"kept put and unread put", [](Edge& edge) { edge.put(1, 1), edge.update(), edge.put(2, 2); }, true},
    {"kept get", [](Edge& edge) { edge.get(1, 1); }},
    {"unread put and sum", [](Edge& edge) { edge.put(1, 1), edge.accumulate(2, 2); }, true},
};

Seen value_of(const Before& before) {
  Edge edge;
  before.prepare(edge);
  return edge.update();
}

struct Outcome {
  Seen value;
  double collected;
  friend bool operator==(const Outcome&, const Outcome&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Outcome& outcome) {
    return out << outcome.value << ", collected " << outcome.collected;
  }
};

Outcome outcome_of(Seen value, const Deed& first, const Deed& second) {
  double collected = 0;
  value = first.mean(value, collected);
  return {second.mean(value, collected), collected};
}

using Meeting = std::tuple<Before, Deed, Deed>;
class WindowEdgeMeetings : public testing::TestWithParam<Meeting> {
 protected:
  /// `inner` happens before each store of `outer` in turn.
  void expect_either_order(const Deed& outer, const Deed& inner, Interruption Edge::*interruption,
                           std::uint64_t least_stores) {
    const Before& before = std::get<0>(GetParam());
    const Seen start = value_of(before);
    bool has_happened = true;
    std::uint64_t stores = 0;
    for (; has_happened; ++stores) {
      Edge edge;
      before.prepare(edge);
      double collected = 0;
      (edge.*interruption).at(stores, [&] { inner.act(edge, collected); });
      outer.act(edge, collected);
      has_happened = (edge.*interruption).has_happened();
      if (!has_happened) break;
      (edge.*interruption).at(~std::uint64_t{0}, nullptr);
      const Outcome outcome{edge.update(), collected};
      EXPECT_TRUE(outcome == outcome_of(start, outer, inner) || outcome == outcome_of(start, inner, outer))
          << outcome << " after " << inner << " before store " << stores << " of " << outer;
    }
    EXPECT_GE(stores, least_stores);
  }
};

TEST_P(WindowEdgeMeetings, TheOwnerActsBetweenStoresOfTheSender) {
  const auto& [before, sender, owner] = GetParam();
  expect_either_order(sender, owner, &Edge::sender, 4);
}

TEST_P(WindowEdgeMeetings, TheSenderActsBetweenStoresOfTheOwner) {
  const auto& [before, sender, owner] = GetParam();
  expect_either_order(owner, sender, &Edge::owner, before.is_unread ? 1 : 0);
}

TEST_P(WindowEdgeMeetings, TheSenderDiesBeforeAnyStore) {
  const auto& [before, sender, owner] = GetParam();
  const Seen start = value_of(before);
  for (std::uint64_t store = 0;; ++store) {
    Edge edge;
    before.prepare(edge);
    double collected = 0;
    edge.sender.at(store, [] { throw Death(); });
    try {
      sender.act(edge, collected);
      ASSERT_GT(store, 1U);
      break;
    } catch (const Death&) {
    }
    // Nothing of the deed has happened: its last store is the one that counts.
    owner.act(edge, collected);
    double expected_collected = 0;
    const Seen expected = owner.mean(start, expected_collected);
    EXPECT_EQ(edge.update(), expected) << "died before store " << store;
    EXPECT_EQ(collected, expected_collected);
  }
}

INSTANTIATE_TEST_SUITE_P(Edge, WindowEdgeMeetings,
                         testing::Combine(testing::ValuesIn(starts), testing::ValuesIn(sender_deeds),
                                          testing::ValuesIn(owner_deeds)));

/// Both ends at random, each interrupted by the other at random, and that again.
TEST(WindowEdge, KeepsItsMassInAnyOrder) {
  const std::uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto below = [&](std::uint32_t bound) { return random() % bound; };
  Edge edge;
  double given = 0;
  double collected = 0;
  for (int step = 0; step < 20000; ++step) {
    const auto accumulate = [&] {
      const double value = 1 + below(1000);
      edge.accumulate(value, value);
      given += value;
    };
    const auto collect = [&] {
      if (below(2) == 0) edge.update();
      const Seen taken = edge.collect();
      EXPECT_EQ(taken.value, taken.weight);
      collected += taken.value;
    };
    if (below(2) == 0) {
      edge.owner.at(below(6), accumulate);
      edge.sender.at(below(6), nullptr);
      collect();
    } else {
      edge.sender.at(below(8), collect);
      edge.owner.at(below(6), nullptr);
      accumulate();
    }
    edge.owner.at(0, nullptr);
    edge.sender.at(0, nullptr);
  }
  collected += edge.collect().value;
  EXPECT_EQ(collected, given);
  EXPECT_LE(edge.reader().slots(), most_slots);
}

}  // namespace
}  // namespace bluefog::window
