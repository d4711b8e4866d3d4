#include <bluefog/schedule.hpp>

#include "base/hash.hpp"

namespace bluefog {

Schedule::~Schedule() = default;

Schedule::Facts Schedule::find_facts() const {
  Facts facts;
  facts.hash = base::hash_bytes(name().data(), name().size());
  facts.hash = base::hash_combine(facts.hash, static_cast<std::uint64_t>(size()));
  for (std::uint64_t t = 0; t < period(); ++t) {
    const Topology topology = round(t);
    facts.hash = base::hash_combine(facts.hash, topology.hash());
    facts.preserves_constants = facts.preserves_constants && topology.preserves_constants();
    facts.preserves_mean = facts.preserves_mean && topology.preserves_mean();
  }
  return facts;
}

std::shared_ptr<const Topology> Schedule::shared_round(std::uint64_t t) const {
  const std::uint64_t number = t % period();
  const std::lock_guard lock(rounds_mutex_);
  KeptRound& kept = rounds_[number % kept_rounds];
  if (kept.topology == nullptr || kept.number != number) {
    kept = {number, std::make_shared<const Topology>(round(number))};
  }
  return kept.topology;
}

const Schedule::Facts& Schedule::facts() const {
  std::call_once(facts_found_, [this] { facts_ = find_facts(); });
  return facts_;
}

std::uint64_t Schedule::hash() const {
  return facts().hash;
}
bool Schedule::preserves_constants() const {
  return facts().preserves_constants;
}
bool Schedule::preserves_mean() const {
  return facts().preserves_mean;
}

}  // namespace bluefog
