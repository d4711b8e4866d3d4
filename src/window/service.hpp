#pragma once
/// @file service.hpp  What a window does for others while its rank does something else.

#include <memory>
#include <vector>

#include "window/operation.hpp"

namespace bluefog::window {

/// Grants the wishes of far neighbours, and copies a private tensor to where near ones can read it. An errand
/// for as long as the window is open.
class Service final : public Operation {
 public:
  explicit Service(std::shared_ptr<Core> core) : Operation(std::move(core), "window service", false) {}
  [[nodiscard]] bool is_service() const override { return true; }

 private:
  [[nodiscard]] Task run() override;
  [[nodiscard]] bool has_work();
  [[nodiscard]] bool has_pressing_work();
  [[nodiscard]] Task acquire_tensor(RankLock& own);
  void grant_locks();
  void fill_mirror();
  void refuse_wishes();
  [[nodiscard]] Task send_tensor(const FarWishes::Get& wish);

  std::vector<std::byte> snapshot_;  ///< kept for its memory
};

}  // namespace bluefog::window
