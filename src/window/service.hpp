#pragma once
/// @file service.hpp  What a window does for others while its rank does something else.

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "window/operation.hpp"
#include "window/store_trials.hpp"

namespace bluefog::window {

/// Grants the wishes of far neighbours, and copies a private tensor to where near ones can read it. An errand
/// for as long as the window is open.
class Service final : public Operation {
 public:
  explicit Service(std::shared_ptr<Core> shared);
  ~Service() override;
  [[nodiscard]] bool is_service() const override { return true; }

 private:
  [[nodiscard]] Task run() override;
  [[nodiscard]] bool has_work();
  [[nodiscard]] bool has_pressing_work();
  [[nodiscard]] Task serve_until(std::string_view what, base::FunctionRef<bool()> condition);
  [[nodiscard]] Task acquire_tensor(RankLock& own);
  void grant_locks();
  void fill_mirror();
  void refuse_wishes();
  [[nodiscard]] Task send_tensor(const FarWishes::Get& wish);
  [[nodiscard]] Task make_near_means();
  [[nodiscard]] Task make_far_mean(FarWishes::Mean wish);
  [[nodiscard]] Task make_mean(std::byte* theirs);
  [[nodiscard]] Task send_pieces(int rank, std::uint64_t request, double weight, const std::byte* bytes);

  std::vector<std::byte> snapshot_;  ///< kept for its memory
  std::optional<StoreTrials> mirror_trials_;
};

}  // namespace bluefog::window
