#include "faults/slice_job.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <span>
#include <thread>

#include <gtest/gtest.h>

#include <bluefog/error.hpp>
#include <bluefog/graphs.hpp>

#include "multi/job.hpp"

namespace bluefog::test {

namespace {

/// Just more than goes without slices, and no multiple of anything.
constexpr std::size_t elements = 16 * 1024 + 37;

Tensor tensor_of(const SharedMemory& memory) {
  const std::int64_t extents[] = {static_cast<std::int64_t>(elements)};
  return {memory.data(), DType::Float32, Shape(extents)};
}

}  // namespace

std::ostream& operator<<(std::ostream& out, Layout layout) {
  return out << (layout == Layout::InPlace      ? "InPlace"
                 : layout == Layout::OutOfPlace ? "OutOfPlace"
                                                : "Mixed");
}

std::shared_ptr<engine::Operation> run(engine::Session& session, engine::Request request) {
  auto operation = session.engine().submit(std::move(request), false);
  session.engine().wait(*operation, base::TimePoint::max());
  if (operation->error()) std::rethrow_exception(operation->error());
  return operation;
}

Config slice_config() {
  Config config = test_config();
  config.store = "plain";  // not measured: jobs are many and short
  return config;
}

SliceRank::SliceRank(engine::Session& session, Layout layout)
    : session_(session),
      front_(session.transport().allocate(elements * sizeof(float))),
      back_(session.transport().allocate(elements * sizeof(float))),
      in_place_(layout == Layout::InPlace || (layout == Layout::Mixed && session.config().rank % 2 == 0)) {
  auto* values = static_cast<float*>(front_.data());
  for (std::size_t i = 0; i < elements; ++i) {
    values[i] = static_cast<float>(session.config().rank + 1) + static_cast<float>(i % 1000) / 7;
  }
}

void SliceRank::mix() {
  NeighborAllreduceOptions options;
  options.schedule = static_schedule(exponential_two_graph(session_.config().size));
  options.meet = true;
  run(session_, session_.requests().neighbor_allreduce(tensor_of(front_),
                                                       tensor_of(in_place_ ? front_ : back_), options));
  if (!in_place_) std::swap(front_, back_);
}

std::vector<float> SliceRank::values() const {
  const auto* values = static_cast<const float*>(front_.data());
  return {values, values + elements};
}

History undisturbed(int size, Layout layout) {
  Config config = slice_config();
  config.undo_log = false;
  const auto sessions = engine::Session::in_process(size, config);
  History history(mixings + 1, std::vector<std::vector<float>>(static_cast<std::size_t>(size)));
  std::vector<std::jthread> threads;
  for (std::size_t rank = 0; rank < sessions.size(); ++rank) {
    threads.emplace_back([&, rank] {
      SliceRank own(*sessions[rank], layout);
      for (auto& mixing : history) {
        mixing[rank] = own.values();
        if (&mixing != &history.back()) own.mix();
      }
      sessions[rank]->shutdown();
    });
  }
  return history;
}

std::vector<int> gather(engine::Session& session, const Group& group, int value) {
  OperationOptions options;
  options.group = group;
  const std::int64_t extents[] = {1};
  const auto operation =
      run(session, session.requests().allgather({&value, DType::Int32, Shape(extents)}, options));
  std::vector<int> values(group.size());
  std::memcpy(values.data(), operation->gathered.get(), values.size() * sizeof(int));
  return values;
}

Course mix_until_lost(SliceRank& rank, const std::vector<int>& mortals, Fate& fate) {
  Course course;
  try {
    for (; course.completed < mixings; ++course.completed) rank.mix();
  } catch (const PeerLost& error) {
    course.lost = true;
    EXPECT_NE(std::find(mortals.begin(), mortals.end(), error.peer()), mortals.end()) << error.what();
  }
  fate.spare();
  return course;
}

void expect_whole(const SliceRank& rank, const Course& course, const History& expected) {
  const std::vector<float> values = rank.values();
  const std::vector<float>& right =
      expected[static_cast<std::size_t>(course.completed)][static_cast<std::size_t>(rank.number())];
  EXPECT_EQ(std::memcmp(values.data(), right.data(), elements * sizeof(float)), 0)
      << "after " << course.completed << " mixings the tensor of rank " << rank.number() << " is torn";
}

void expect_agreement(engine::Session& session, Course course, const std::vector<int>& mortals) {
  Group group(static_cast<std::size_t>(session.config().size));
  std::iota(group.begin(), group.end(), 0);
  std::vector<int> all;
  try {
    if (!course.lost) all = gather(session, group, course.completed);
  } catch (const PeerLost&) {
    course.lost = true;  // at the very end of its last mixing
  }
  if (course.lost) {
    const auto is_mortal = [&](int member) {
      return std::find(mortals.begin(), mortals.end(), member) != mortals.end();
    };
    if (is_mortal(session.config().rank)) return;
    std::erase_if(group, is_mortal);
    all = gather(session, group, course.completed);
  }
  EXPECT_EQ(all, std::vector<int>(group.size(), course.completed)) << "the survivors disagree";
}

void mix_and_check(engine::Session& session, Layout layout, const History& expected,
                   const std::vector<int>& mortals, Fate& fate) {
  SliceRank rank(session, layout);
  const Course course = mix_until_lost(rank, mortals, fate);
  expect_whole(rank, course, expected);
  expect_agreement(session, course, mortals);
}

}  // namespace bluefog::test
