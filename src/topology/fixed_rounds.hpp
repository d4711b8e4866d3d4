#pragma once
/// @file fixed_rounds.hpp  A schedule whose rounds are made once and then repeat.

#include <string>
#include <utility>
#include <vector>

#include <bluefog/schedule.hpp>

namespace bluefog::topology {

class FixedRounds final : public Schedule {
 public:
  /// @param rounds  at least one, all of one size
  FixedRounds(std::string name, std::vector<Topology> rounds)
      : name_(std::move(name)), rounds_(std::move(rounds)) {}
  [[nodiscard]] std::string_view name() const override { return name_; }
  [[nodiscard]] int size() const override { return rounds_.front().size(); }
  [[nodiscard]] std::uint64_t period() const override { return rounds_.size(); }
  [[nodiscard]] Topology round(std::uint64_t t) const override { return rounds_[t % rounds_.size()]; }

 private:
  std::string name_;
  std::vector<Topology> rounds_;
};

}  // namespace bluefog::topology
