#include "window/store_trials.hpp"

#include <algorithm>

#include "window/layout.hpp"

namespace bluefog::window {

namespace {

using mixing::StoreKind;

/// By then every slot that the writer uses in turn has been filled by this kind of stores.
constexpr int untold_deliveries = first_slots;
constexpr int deliveries_of_trial = untold_deliveries + 3;
/// In the end so rare that what a trial loses is not felt; often at first, when one may have been disturbed.
constexpr int deliveries_before_first = deliveries_of_trial;
constexpr int most_deliveries_between = 256;
constexpr int rarer_by = 4;
/// Nothing that is left of the other kind slows a delivery down so much.
constexpr int hopeless = 3;

constexpr StoreKind other_than(StoreKind kind) {
  return kind == StoreKind::Plain ? StoreKind::Streaming : StoreKind::Plain;
}

}  // namespace

base::Duration StoreTrials::Record::median() const {
  const auto [a, b, c] = times_;
  return std::max(std::min(a, b), std::min(std::max(a, b), c));
}

StoreTrials::StoreTrials(StoreKind usual, const base::Clock& clock)
    : clock_(clock), usual_(usual), kind_(usual), tried_(usual), between_trials_(deliveries_before_first) {}

StoreKind StoreTrials::faster() const {
  const Record& usual = record_of(usual_);
  const Record& other = record_of(other_than(usual_));
  const bool has_choice = usual.is_full() && other.is_full();
  return has_choice && other.median() < usual.median() ? other_than(usual_) : usual_;
}

StoreKind StoreTrials::next() {
  if (left_of_trial_ == 0) {
    if (since_trial_ < between_trials_) return faster();
    tried_ = other_than(faster());
    left_of_trial_ = deliveries_of_trial;
  }
  return tried_;
}

StoreKind StoreTrials::begin() {
  elapsed_ = {};
  const StoreKind kind = next();
  if (kind != kind_) in_a_row_ = 0;
  kind_ = kind;
  return kind;
}

void StoreTrials::end() {
  ++since_trial_;
  if (++in_a_row_ > untold_deliveries) record_of(kind_).add(elapsed_);
  if (left_of_trial_ == 0) return;
  const Record& best = record_of(other_than(kind_));
  if (best.is_full() && elapsed_ > hopeless * best.median()) {
    record_of(kind_).fill(elapsed_);
    left_of_trial_ = 1;
  }
  if (--left_of_trial_ > 0) return;
  since_trial_ = 0;
  between_trials_ = std::min(between_trials_ * rarer_by, most_deliveries_between);
}

}  // namespace bluefog::window
