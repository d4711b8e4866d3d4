#include "window/store_trials.hpp"

#include <algorithm>

#include "window/layout.hpp"

namespace bluefog::window {

namespace {

using mixing::StoreKind;

/// The first touch of a slot takes longer than all that follow.
constexpr std::uint64_t untold_deliveries = first_slots;
/// So rare that what a trial loses is not felt; more often until both kinds are known.
constexpr std::uint64_t deliveries_per_trial = 128;
constexpr std::uint64_t deliveries_per_early_trial = 8;

constexpr StoreKind other_than(StoreKind kind) {
  return kind == StoreKind::Plain ? StoreKind::Streaming : StoreKind::Plain;
}

}  // namespace

base::Duration StoreTrials::Record::median() const {
  const auto [a, b, c] = times_;
  return std::max(std::min(a, b), std::min(std::max(a, b), c));
}

StoreKind StoreTrials::faster() {
  const Record& usual = record_of(usual_);
  const Record& other = record_of(other_than(usual_));
  const bool has_choice = usual.is_full() && other.is_full();
  return has_choice && other.median() < usual.median() ? other_than(usual_) : usual_;
}

StoreKind StoreTrials::begin() {
  elapsed_ = {};
  const bool is_early = !record_of(other_than(usual_)).is_full();
  const std::uint64_t turn = deliveries_ % (is_early ? deliveries_per_early_trial : deliveries_per_trial);
  const bool is_trial = deliveries_ > 0 && turn == 0;
  kind_ = is_trial ? other_than(faster()) : faster();
  return kind_;
}

void StoreTrials::end() {
  if (++deliveries_ > untold_deliveries) record_of(kind_).add(elapsed_);
}

}  // namespace bluefog::window
