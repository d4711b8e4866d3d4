#pragma once
/// @file slice_job.hpp  A job whose ranks mix their tensors by slices until one dies, and what must be true
/// then.

#include <cstddef>
#include <ostream>
#include <string>
#include <vector>

#include <bluefog/shared_memory.hpp>

#include "engine/session.hpp"
#include "faults/mortal.hpp"

namespace bluefog::test {

/// Where the mixed values go.
enum class Layout {
  InPlace,
  OutOfPlace,
  Mixed,  ///< in place on even ranks only
};
std::ostream& operator<<(std::ostream& out, Layout layout);

/// How often each rank mixes. The first time the component is not known yet, afterwards a post is a vote.
inline constexpr int mixings = 3;

/// Makes a call and waits for it. @throws what it ends with
std::shared_ptr<engine::Operation> run(engine::Session& session, engine::Request request);

/// Settings of such a job.
[[nodiscard]] Config slice_config();

/// One rank with its tensor, in shared memory.
class SliceRank {
 public:
  SliceRank(engine::Session& session, Layout layout);
  /// Mixes over the exponential-2 graph. @throws what the operation throws
  void mix();
  [[nodiscard]] std::vector<float> values() const;
  [[nodiscard]] int number() const { return session_.config().rank; }

 private:
  engine::Session& session_;
  SharedMemory front_;
  SharedMemory back_;
  bool in_place_;
};

/// values[m][r] of rank r after m mixings, all ranks alive and without a log.
using History = std::vector<std::vector<std::vector<float>>>;
[[nodiscard]] History undisturbed(int size, Layout layout);

/// What every member of the group gives, in the group's order.
[[nodiscard]] std::vector<int> gather(engine::Session& session, const Group& group, int value);

/// How far a rank has come.
struct Course {
  int completed = 0;
  bool lost = false;  ///< the next mixing failed
};

/// Mixes until a rank is lost, or `mixings` times.
/// @param mortals  ranks that may die, but only while they mix
/// @param fate     of this rank
[[nodiscard]] Course mix_until_lost(SliceRank& rank, const std::vector<int>& mortals, Fate& fate);
/// The tensor is what the mixings that succeeded make of it, bit for bit.
void expect_whole(const SliceRank& rank, const Course& course, const History& expected);
/// All that cannot die have succeeded equally often, and still work together.
void expect_agreement(engine::Session& session, Course course, const std::vector<int>& mortals);
/// All of this.
void mix_and_check(engine::Session& session, Layout layout, const History& expected,
                   const std::vector<int>& mortals, Fate& fate);

}  // namespace bluefog::test
